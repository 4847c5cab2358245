"""`relayfile auth sessions|revoke|log`."""

import argparse
import json

import msgspec

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser, everywhere
from relayfile.cli.terminal import printable
from relayfile.client import api
from relayfile.wire.auth import AuditRow, SessionRow

DESCRIPTION = """\
Who holds a credential of mine, how to end one, and what happened to their tokens: each issue, renewal, replay,
refusal and revocation, with the client, host and process that asked. Never a token."""
EXAMPLES = """\
  relayfile auth sessions
  relayfile auth revoke 3f9c2ab01d5e7788       its tokens stop working within a second
  relayfile auth log
  relayfile auth log --json | jq -r 'select(.event == "rejected")'"""

_PAGE = 1000


def arguments(parser: Parser) -> None:
    """`auth sessions | revoke ID… | log [--after N]`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="sessions|revoke|log")
    verbs.add_parser("sessions", parents=[everywhere()], help="the live sign-ins of mine; an owner sees all")
    revoke = verbs.add_parser("revoke", parents=[everywhere()], help="end sign-ins, and what they enrolled")
    revoke.add_argument("ids", nargs="+", metavar="ID", help="as `auth sessions` shows it")
    log = verbs.add_parser("log", parents=[everywhere()], help="every token event, oldest first")
    log.add_argument("--after", type=int, default=0, metavar="N", help="only events after number N")


def run(asked: argparse.Namespace, context: Context) -> int:
    """What was asked for is on stdout, or ended."""
    with connect.signed_in(context) as server:
        if asked.verb == "sessions":
            _sessions(context, server.call(api.sessions()))
        elif asked.verb == "log":
            _log(context, server, asked.after)
        else:
            for session in asked.ids:
                server.call(api.revoke_session(session))
                context.output.say(f"{session}: ended")
            context.output.data([{"id": session} for session in asked.ids], "")
    return 0


def _sessions(context: Context, found: list[SessionRow]) -> None:
    rows = [
        (
            one.id,
            one.client + (" (this one)" if one.current else ""),
            one.host or "",
            _minute(one.last_used_at),
            _minute(one.expires_at),
            "theft detection off: old client" if one.old_clients else "",
        )
        for one in found
    ]
    context.output.table(msgspec.to_builtins(found), ("ID", "CLIENT", "HOST", "LAST USED", "ENDS", ""), rows)


def _log(context: Context, server: connect.Signed, after: int) -> None:
    """One line an event; with --json one object a line, so that a log of any length can be streamed."""
    while page := server.call(api.auth_events(after, _PAGE)):
        for event in page:
            print(json.dumps(msgspec.to_builtins(event)) if context.output.as_json else _line(event))
        after = page[-1].n


def _line(event: AuditRow) -> str:
    generation = "" if event.generation is None else f".{event.generation}"
    who = " ".join(str(part) for part in (event.client, event.host, event.pid and f"pid {event.pid}") if part)
    why = f" ({event.reason})" if event.reason else ""
    return printable(f"{event.at}  {event.event:<10} {(event.family or '-') + generation:<22} {who}{why}")


def _minute(at: str) -> str:
    """The moment to the minute: 2026-01-31 09:15Z."""
    return f"{at[:10]} {at[11:16]}Z" if at else ""
