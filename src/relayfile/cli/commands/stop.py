"""`relayfile stop`."""

import argparse

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.errors import UsageError

DESCRIPTION = """\
Stop keeping a directory equal to its workspace. Its files stay as they are; edits made while it is stopped are
found and sent when it starts again. Without DIR: the mirror of the working directory, or the only one."""
EXAMPLES = """\
  relayfile stop ./acme
  relayfile stop --all"""


def arguments(parser: Parser) -> None:
    """`stop [DIR] | --all`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")
    parser.add_argument("--all", action="store_true", help="every mirror of this machine")


def run(asked: argparse.Namespace, context: Context) -> int:
    """No daemon keeps the mirrors that were named."""
    from relayfile.mirror import launch, registry

    if asked.all and asked.directory is not None:
        raise UsageError("stop takes DIR or --all, not both. Nothing was stopped.", code="bad_arguments")
    chosen = registry.all(context.home) if asked.all else [mirrors.the_one(context.home, asked.directory)]
    done = []
    for record in chosen:
        was_running = launch.stop(context.home, record)
        context.output.say(f"{record.directory}: {'stopped' if was_running else 'was not running'}")
        done.append({"directory": record.directory, "mirror": record.id, "was_running": was_running})
    if not chosen:
        context.output.say("no mirror on this machine: nothing to stop")
    context.output.data(done, "")
    return 0
