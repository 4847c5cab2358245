"""`relayfile down`."""

import argparse

from relayfile.cli import embedded
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.core.session import PROFILE_OF_UP
from relayfile.mirror import launch, registry

DESCRIPTION = """\
Stop what `up` started: its mirrors, then the server on this machine. Nothing is deleted: files stay, edits made
meanwhile are found and sent by the next `relayfile up`. Mirrors of other servers go on."""
EXAMPLES = """\
  relayfile down
  relayfile up          and all of it runs again"""


def arguments(parser: Parser) -> None:
    """It takes none of its own."""
    del parser


def run(asked: argparse.Namespace, context: Context) -> int:
    """No mirror of the embedded server runs, and it does not either."""
    del asked
    stopped = []
    with embedded.alone(context.home):
        for record in registry.all(context.home):
            if record.profile == PROFILE_OF_UP and launch.stop(context.home, record):
                context.output.say(f"mirror   {record.directory} stopped")
                stopped.append({"directory": record.directory, "mirror": record.id})
        server_stopped = embedded.stop(context.home)
    if server_stopped:
        context.output.say("server   stopped")
    if not stopped and not server_stopped:
        context.output.say("nothing of `up` was running")
    context.output.data({"mirrors": stopped, "server": server_stopped}, "")
    return 0
