"""`relayfile whoami`."""

import argparse

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import moment
from relayfile.client import api
from relayfile.wire.control import timestamp

DESCRIPTION = "Ask the server who this sign-in is."
EXAMPLES = """\
  relayfile whoami
  relayfile whoami --profile local --json"""


def arguments(parser: Parser) -> None:
    """It takes none of its own."""
    del parser


def run(asked: argparse.Namespace, context: Context) -> int:
    """The account is on stdout."""
    del asked
    with connect.signed_in(context) as server:
        me = server.call(api.whoami())
        ends_at = server.session.state().refresh_expires_at if server.session else None
    until = moment(ends_at)
    fields = {
        "account": me.account,
        "username": me.username,
        "kind": me.kind,
        "server": server.api_url,
        "profile": server.profile,
        "family": me.family,
        "generation": me.generation,
        "scope": me.scope,
        "accessExpiresAt": me.expires_at,
        "signInExpiresAt": timestamp(ends_at),
        "token": me.token,
    }
    if server.machine is not None:
        said = f"machine token {me.token!r} of {me.username} at {server.api_url} (from {server.machine.source})"
        context.output.data(fields, f"{said}, may {me.scope} until {me.expires_at[:16]}Z")
        return 0
    context.output.data(
        fields,
        f"{me.username} at {server.api_url} (profile {server.profile})"
        + (f", signed in until {until}" * bool(until)),
    )
    return 0
