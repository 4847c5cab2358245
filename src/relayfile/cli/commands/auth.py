"""`relayfile auth status|sessions|revoke|log`."""

import argparse
import json

import msgspec

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser, inner, whole_number
from relayfile.cli.terminal import printable
from relayfile.client import api
from relayfile.wire.auth import AuditRow, SessionRow

DESCRIPTION = """\
How this sign-in is: whose, where, until when, which processes hold a credential of it, when it was last renewed, and
what went wrong last, with its cause. Further, who holds a credential of mine, how to end one, and what happened to
their tokens: each issue, renewal, replay, refusal and revocation, with the client, host and process that asked. Never
a token.

Exit codes of `auth status`: 0 it works, 4 sign in, 75 the server cannot be reached now, 76 something else answers
there, 77 not allowed, 78 mend this machine."""
EXAMPLES = """\
  relayfile auth status
  relayfile auth status --offline              what the files tell, no request
  relayfile auth sessions
  relayfile auth revoke 3f9c2ab01d5e7788       its tokens stop working within a second
  relayfile auth log
  relayfile auth log --json | jq -r 'select(.event == "rejected")'"""

_PAGE = 1000


def arguments(parser: Parser) -> None:
    """`auth status | sessions | revoke ID… | log [--after N]`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="status|sessions|revoke|log")
    status = inner(verbs, "status", "how this sign-in is, and why", "auth status --offline")
    status.add_argument("--offline", action="store_true", help="ask nobody: only what the files of this machine tell")
    inner(verbs, "sessions", "the live sign-ins of mine; an owner sees all", "auth sessions")
    revoke = inner(verbs, "revoke", "end sign-ins, and what they enrolled", "auth revoke 3f9c2ab01d5e7788")
    revoke.add_argument("ids", nargs="+", metavar="ID", help="as `auth sessions` shows it")
    log = inner(verbs, "log", "every token event, oldest first", "auth log --after 120 --json")
    log.add_argument("--after", type=whole_number(0), default=0, metavar="N", help="only events after number N")


def run(asked: argparse.Namespace, context: Context) -> int:
    """What was asked for is on stdout, or ended; the exit code of `status` tells how the sign-in is."""
    if asked.verb == "status":
        from relayfile.cli import auth_status

        return auth_status.report(context, offline=asked.offline)
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
            one.kind,
            _who(one.client, one.host, one.pid) + (" (this one)" if one.current else ""),
            _minute(one.created_at),
            _minute(one.last_used_at),
            _minute(one.expires_at),
            _about(one),
        )
        for one in found
    ]
    context.output.table(
        msgspec.to_builtins(found), ("ID", "KIND", "BY", "FIRST USED", "LAST USED", "ENDS", ""), rows
    )


def _about(one: SessionRow) -> str:
    """What else a person should know of it: its mirror, who uses it now, what is unusual."""
    last = _who(one.last_client, one.last_host, one.last_pid)
    facts = [
        f"mirror {one.mirror} of {one.workspace}" if one.mirror else "",
        f"last used by {last}" if one.last_client and last != _who(one.client, one.host, one.pid) else "",
        "theft detection off: old client" if one.old_clients else "",
    ]
    return ", ".join(filter(None, facts))


def _who(client: str, host: str | None, pid: int | None) -> str:
    """A process as people name it: `relayfile/1.0 cli at box7, pid 42`."""
    return client + (f" at {host}" if host else "") + (f", pid {pid}" if pid else "")


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
