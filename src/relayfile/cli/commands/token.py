"""`relayfile token create|list|revoke`."""

import argparse

import msgspec

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser, inner
from relayfile.client import api
from relayfile.core.machine_tokens import shown
from relayfile.credentials import machine
from relayfile.errors import NotFound, RelayfileError, UsageError
from relayfile.model import Secret
from relayfile.wire.machine_tokens import TokenRow

DESCRIPTION = """\
Tokens for programs without a person: CI, agents, scripts on another machine. Each has a name, scopes no wider than
the sign-in that makes it, and an end; it acts for you, survives your logout, and is ended by `token revoke`.

A command uses one in place of a sign-in when RELAYFILE_TOKEN holds it, or a file that --token-file or
RELAYFILE_TOKEN_FILE names; never an argument, which every process of the machine can read. RELAYFILE_SERVER names its
server, or the second line of the file, else the server of your sign-in is meant.

A scope is fs:read, fs:write, ops:read, sync:read or sync:trigger; with a path, as in fs:read:/docs, it holds for that
folder and everything below it."""
EXAMPLES = """\
  relayfile token create --name ci --scope fs:read:/docs --ttl 90d            prints the token, this once
  relayfile token create --name agent --scope fs:read --scope fs:write --workspace acme --save agent.token
  relayfile tree acme --token-file agent.token
  relayfile token list --all
  relayfile token revoke ci                                                   refused from its next request on"""


def arguments(parser: Parser) -> None:
    """`token create | list | revoke NAME…`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|revoke")
    create = inner(
        verbs, "create", "a new token, on stdout this once", "token create --name ci --scope fs:read:/docs --ttl 90d"
    )
    create.add_argument("--name", required=True, metavar="NAME", help="what it is for")
    create.add_argument("--scope", required=True, action="append", metavar="SCOPE", help="may be given several times")
    create.add_argument("--workspace", metavar="WORKSPACE", help="only this one; default: every one of mine")
    create.add_argument("--ttl", default="90d", metavar="TIME", help="how long it lives: 12h, 90d; at most 366d")
    create.add_argument("--save", metavar="FILE", help="into a new file that only you can read, not to stdout")
    listing = inner(verbs, "list", "the live tokens of mine; an owner sees all", "token list --all")
    listing.add_argument("--all", action="store_true", help="those that expired or were revoked, too")
    revoke = inner(verbs, "revoke", "end tokens", "token revoke ci")
    revoke.add_argument("names", nargs="+", metavar="NAME", help="a name or an id, as `token list` shows it")


def run(asked: argparse.Namespace, context: Context) -> int:
    """What was asked for is on stdout, in a file, or ended."""
    {"create": _create, "list": _list, "revoke": _revoke}[asked.verb](asked, context)
    return 0


def _create(asked: argparse.Namespace, context: Context) -> None:
    from relayfile.server.config import duration_s

    ttl_s = duration_s(asked.ttl)
    with connect.signed_in(context) as server:
        workspace = connect.among_mine(server, asked.workspace).id if asked.workspace else None
        made = server.call(api.make_machine_token(asked.name, asked.scope, ttl_s=ttl_s, workspace=workspace))
        fields = {**msgspec.to_builtins(made.row), "server": server.api_url}
        context.output.say(
            f"machine token {made.row.name!r} ({made.row.id}): {', '.join(map(shown, made.row.scopes))}, "
            f"until {_minute(made.row.expires_at)}"
        )
        if asked.save is None:
            context.output.say("this is the only time it is shown:")
            context.output.data({**fields, "token": made.token}, made.token)
            return
        try:
            machine.save(asked.save, Secret(made.token), server.api_url)
        except RelayfileError:
            # Nobody could ever use it: it must not stay alive unseen.
            server.call(api.revoke_machine_token(made.row.id))
            raise
    context.output.say(f"it is in {asked.save}, with its server: --token-file {asked.save}")
    context.output.data({**fields, "file": asked.save}, "")


def _list(asked: argparse.Namespace, context: Context) -> None:
    with connect.signed_in(context) as server:
        found = server.call(api.machine_tokens(ended=asked.all))
    rows = [
        (
            one.name,
            one.id,
            one.username,
            ", ".join(map(shown, one.scopes)),
            one.workspace or "all",
            _minute(one.first_used_at) or "never",
            _minute(one.last_used_at) or "never",
            _end(one),
        )
        for one in found
    ]
    head = ("NAME", "ID", "BY", "SCOPES", "WORKSPACE", "FIRST USED", "LAST USED", "ENDS")
    context.output.table(msgspec.to_builtins(found), head, rows)
    if not found:
        context.output.say("no machine token: `relayfile token create --name NAME --scope SCOPE` makes one")


def _revoke(asked: argparse.Namespace, context: Context) -> None:
    with connect.signed_in(context) as server:
        alive = server.call(api.machine_tokens())
        chosen = [_meant(name, alive) for name in asked.names]  # all of them, before any is ended
        for one in chosen:
            server.call(api.revoke_machine_token(one.id))
            context.output.say(f"{one.name} ({one.id}): revoked")
    context.output.data([{"id": one.id, "name": one.name} for one in chosen], "")


def _meant(name: str, alive: list[TokenRow]) -> TokenRow:
    found = [one for one in alive if one.id == name] or [one for one in alive if one.name == name]
    if not found:
        raise NotFound(
            f"no live machine token {name!r} among yours. Nothing was revoked.",
            code="token_not_found",
            hint="`relayfile token list` shows them",
        )
    if len(found) > 1:
        ids = ", ".join(f"{one.id} (of {one.username})" for one in found)
        raise UsageError(
            f"{name!r} is the name of {len(found)} tokens: {ids}. Nothing was revoked.", hint="use the id"
        )
    return found[0]


def _end(one: TokenRow) -> str:
    if one.revoked_at is not None:
        return f"revoked {_minute(one.revoked_at)} by {one.revoked_by}"
    return f"{_minute(one.expires_at)}" + (" (expired)" if one.state == "expired" else "")


def _minute(at: str | None) -> str:
    """The moment to the minute: 2026-01-31 09:15Z."""
    return f"{at[:10]} {at[11:16]}Z" if at else ""
