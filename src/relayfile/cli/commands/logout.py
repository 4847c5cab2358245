"""`relayfile logout`."""

import argparse

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.credentials import profiles

DESCRIPTION = """\
End this sign-in, here and on the server. Mirrors that use it stop syncing, keep every file, go on recording local
edits, and resume by themselves after the next `relayfile login`."""
EXAMPLES = """\
  relayfile logout
  relayfile logout --profile other"""


def arguments(parser: Parser) -> None:
    """It takes none of its own."""
    del parser


def run(asked: argparse.Namespace, context: Context) -> int:
    """No login is left in the profile."""
    del asked
    profile = profiles.choose(context.home, context.profile)
    session = connect.login_of(context, profile)
    server = session.state().api_url
    told = session.logout()
    if server is None:
        context.output.say("there was no sign-in")
    elif told:
        context.output.say(f"signed out of {server}")
    else:
        context.output.say(
            f"signed out here; {server} could not be told: there it ends by itself, or with `relayfile auth revoke`"
        )
    context.output.data({"server": server, "profile": profile, "server_told": told}, "")
    return 0
