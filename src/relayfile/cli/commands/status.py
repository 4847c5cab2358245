"""`relayfile status`, where `boot` cannot answer it: stopped mirrors, --json, --check, chosen directories.

Still a quick command: it may load json and dataclasses, but no asyncio, TLS or HTTP library (tests/test_startup.py).
"""

import argparse
import json
from typing import TYPE_CHECKING, NoReturn

from relayfile.cli import local
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.terminal import STDOUT, wants_colour, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayfile.credentials.session import Session
    from relayfile.mirror.registry import Record
    from relayfile.wire.control import Fragment

DESCRIPTION = """\
Every mirror of this machine: its state and why, whether it is proven equal to the workspace, how far it is, the
edits still to be sent, and the sign-in behind it. `equal to evt_N` is said only after the digests of both trees were
compared, never because a process is alive."""
EXAMPLES = """\
  relayfile status
  relayfile status ./acme --json         {"mirrors":[{…}],"login":{…}}
  relayfile status --check || notify     for health checks

Exit codes: 0 when it could report. With --check, of the gravest mirror: 0 working, 4 sign in, 6 a person must decide,
75 stopped or offline, 78 mend this machine, 70 damaged. Without a mirror, of the sign-in: 0, 4 or 78."""

_TIMEOUT_S = 5.0
_HEALTH = {
    "stopped": 75,
    "offline": 75,
    "damaged": 70,
    "halted": 6,
    "conflict": 6,
    "paused": 6,
    "auth-failed": 4,
    "config-error": 78,
}
_GRAVEST_FIRST = (78, 70, 4, 6, 75)


def arguments(parser: Parser) -> None:
    """`status [DIR…] [--check]`."""
    parser.add_argument("directories", nargs="*", metavar="DIR", help="only these mirrors")
    parser.add_argument("--check", action="store_true", help="the exit code tells the health of the mirrors")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The picture is on stdout."""
    from relayfile.cli import mirrors

    records = mirrors.chosen(context.home, asked.directories)
    report(context, records)
    if not asked.check:
        return 0
    if not records:
        return _health_without_mirrors(context)
    codes = {_HEALTH.get(str(_fragment(context, record)["state"]), 0) for record in records}
    return next((code for code in _GRAVEST_FIRST if code in codes), 0)


def _health_without_mirrors(context: Context) -> int:
    """That of what a command would use: a machine token, or the sign-in."""
    from relayfile.core.session import Phase, parked
    from relayfile.credentials import machine

    if context.profile is None and machine.found(context.token_file) is not None:
        return 0
    state = _sign_in(context, _profile(context, [])).state()
    return 4 if parked(state) else 78 if state.phase is Phase.CONFIG_ERROR else 0


def report(context: Context, records: "Sequence[Record]") -> None:
    """The picture of these mirrors is on stdout."""
    if context.output.as_json:
        fragments = [_fragment(context, record) for record in records]
        context.output.data({"mirrors": fragments, "login": _login(context, _profile(context, records))}, "")
    else:
        context.output.data(None, _text(context, records) or _nothing_yet(context))


def _fragment(context: Context, record: "Record") -> "Fragment":
    """The mirror as its daemon sees it; where none answers, as its files tell."""
    from relayfile.mirror import registry, status

    try:
        answer = local.ask(registry.control_socket(context.home, record.id), "GET", "/status?format=json", _TIMEOUT_S)
        found: Fragment = json.loads(answer.body())
    except (OSError, ValueError):
        return status.stopped(context.home, record, _login_behind(context, record))
    return found


def _text(context: Context, records: "Sequence[Record]") -> str:
    from relayfile.mirror import registry, status

    colour = wants_colour(STDOUT)
    target = f"/status?format=text&width={width()}&color={int(colour)}"
    parts = []
    for record in records:
        try:
            answer = local.ask(registry.control_socket(context.home, record.id), "GET", target, _TIMEOUT_S)
            parts.append(answer.body().decode())
        except OSError:
            fragment = status.stopped(context.home, record, _login_behind(context, record))
            parts.append(status.text(fragment, width=width(), colour=colour))
    return "\n".join(sorted(parts))  # as `boot` does


def _profile(context: Context, records: "Sequence[Record]") -> str:
    """The one `--profile` names, else that of the first mirror, else that of a command without one."""
    from relayfile.credentials import profiles

    return context.profile or (records[0].profile if records else profiles.choose(context.home))


def _login(context: Context, profile: str, server: str | None = None) -> dict[str, object]:
    """Where the sign-in of a profile stands, as its files tell; `server` is where it should be."""
    from relayfile.core.session import as_fields

    return {"profile": profile, **as_fields(_sign_in(context, profile, server).state())}


def _sign_in(context: Context, profile: str, server: str | None = None) -> "Session":
    from relayfile.credentials import profiles
    from relayfile.credentials.file import CredentialFile
    from relayfile.credentials.session import Session

    file = CredentialFile(context.home.credentials(profile), context.home.stash_places, notice=context.output.say)
    return Session(file, _NeverRenews(), profile=profiles.named(profile), server=server)


def _login_behind(context: Context, record: "Record") -> dict[str, object]:
    """What the daemon of a stopped mirror will live on: its own credential if it has one."""
    from relayfile.core.session import as_fields
    from relayfile.credentials import profiles
    from relayfile.credentials.daemon import DaemonLogin
    from relayfile.credentials.daemon_file import DaemonFile
    from relayfile.credentials.own import Purpose

    if record.token_file is not None:
        from relayfile.credentials.machine_login import MachineLogin

        login_of_token = MachineLogin(record.token_file, record.api_url, _NeverRenews().ask)
        return {"profile": record.profile, **as_fields(login_of_token.state())}
    kept = DaemonFile(context.home.mirror(record.id))
    if record.shared_login or kept.read() is None:
        return _login(context, record.profile, record.api_url)
    purpose = Purpose(record.api_url, record.workspace, record.id, profiles.named(record.profile))
    login = DaemonLogin(kept, _sign_in(context, record.profile, record.api_url), _NeverRenews(), purpose)
    return {"profile": record.profile, **as_fields(login.state())}


class _NeverRenews:
    """What these logins would renew and enrol with: to look at a login must not change it."""

    def _never(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("`status` asked for more than to look")

    renew = revoke = enrol = new_key = thumbprint = ask = _never


def _nothing_yet(context: Context) -> str:
    login = _login(context, _profile(context, []))
    way = "`relayfile up DIR`, or `relayfile mount WORKSPACE DIR`"
    return f"no mirror on this machine yet: {way}\nlogin: {login['text']}"
