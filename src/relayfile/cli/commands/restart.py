"""`relayfile restart`."""

import argparse

from relayfile.cli import connect, mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.core.session import parked
from relayfile.errors import UsageError

DESCRIPTION = """\
Stop a mirror and start it again. It resumes where it was; nothing is fetched twice. A restart is never needed to
recover from a fault: it is for a new version of the program. A mirror whose own credential was refused asks for a new
one, as with `mount`. Without DIR: as with `stop`."""
EXAMPLES = """\
  relayfile restart ./acme
  relayfile restart --all"""


def arguments(parser: Parser) -> None:
    """`restart [DIR] | --all`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")
    parser.add_argument("--all", action="store_true", help="every mirror of this machine, also the stopped ones")


def run(asked: argparse.Namespace, context: Context) -> int:
    """A new daemon keeps each of the mirrors that were named."""
    from relayfile.mirror import launch, registry

    if asked.all and asked.directory is not None:
        raise UsageError("restart takes DIR or --all, not both. Nothing was stopped.", code="bad_arguments")
    chosen = registry.all(context.home) if asked.all else [mirrors.the_one(context.home, asked.directory)]
    # before any is stopped: what keeps a login from being looked at leaves every mirror running
    profiles = {record.profile for record in chosen}
    vouches = {profile: not parked(connect.login_of(context, profile).state()) for profile in profiles}
    for record in chosen:
        launch.stop(context.home, record)
        if vouches[record.profile]:
            mirrors.readmit(context.home, record)
        launch.start(context.home, record)
        context.output.say(f"{record.directory}: running")
    context.output.data([{"directory": record.directory, "mirror": record.id} for record in chosen], "")
    return 0
