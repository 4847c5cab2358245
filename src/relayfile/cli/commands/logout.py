"""`relayfile logout`."""

import argparse

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.client import api
from relayfile.credentials import profiles

DESCRIPTION = """\
End this sign-in, here and on the server. Mirrors that use it stop syncing, keep every file, go on recording local
edits, and resume by themselves after the next `relayfile login`. A mirror with a credential of its own goes on;
--everywhere ends those too."""
EXAMPLES = """\
  relayfile logout
  relayfile logout --profile other
  relayfile logout --everywhere        a laptop was lost: no machine is signed in any more"""


def arguments(parser: Parser) -> None:
    """`--everywhere`."""
    parser.add_argument(
        "--everywhere",
        action="store_true",
        help="end every sign-in of this account on the server, on all machines, and every credential of a mirror",
    )


def run(asked: argparse.Namespace, context: Context) -> int:
    """No login is left in the profile; with --everywhere no sign-in of the account anywhere."""
    profile = profiles.the_one(context.home, context.profile)
    ended = None
    if asked.everywhere:
        with connect.signed_in(context, profile) as server:  # first: who cannot tell the server changes nothing
            ended = server.call(api.sign_out_everywhere()).ended
    session = connect.login_of(context, profile)
    out = session.logout()
    place, told = out.api_url, out.told or ended is not None
    if place is None:
        context.output.say("there was no sign-in")
    elif ended is not None:
        many = "1 credential has" if ended == 1 else f"{ended} credentials have"
        context.output.say(f"signed out of {place} everywhere: {many} ended. Machine tokens: `relayfile token list`")
    elif told:
        context.output.say(f"signed out of {place}")
    else:
        context.output.say(
            f"signed out here; {place} could not be told: there it ends by itself, or with `relayfile auth revoke`"
        )
    answer = {"server": place, "profile": profile, "server_told": told}
    context.output.data(answer if ended is None else {**answer, "ended": ended}, "")
    return 0
