"""What `relayfile auth status` finds out, and how it says it.

First what the files tell, then (unless asked not to) what answers at the server's address, and then the server
itself, with this very sign-in: if that needs a renewal it is made, as any command would. So what it says was just
tried.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgspec

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.output import moment, plural, span
from relayfile.client import api, probe
from relayfile.client.probe import NotReached, Reached
from relayfile.client.transport_sync import SyncClient
from relayfile.core import causes
from relayfile.core.session import LoginState, Phase, as_fields, how_to_sign_in, parked, ran_out, remedy
from relayfile.credentials import profiles, trouble
from relayfile.credentials.session import Session
from relayfile.errors import (
    Damaged,
    Forbidden,
    LoginRequired,
    Misconfigured,
    NotFound,
    ProtocolMismatch,
    RelayfileError,
    Unavailable,
    UsageError,
)
from relayfile.mirror import launch, registry
from relayfile.wire.auth import ClientName, ProcessRow, user_agent
from relayfile.wire.control import timestamp

_GONE_SHOWN = 3
_NEAR_THE_END_S = 60.0
"""The two ends are told by two clocks: what is nearer to the other than this is the same."""
_UNUSABLE = frozenset({Phase.CONFIG_ERROR, Phase.PERSIST_FAILED})


@dataclass(frozen=True)
class Failure:
    """What went wrong last, and when. `since_mended`: a renewal succeeded after it."""

    at: float | None
    cause: str
    since_mended: bool = False


@dataclass(frozen=True)
class Found:
    """Everything that was found out about one sign-in. `reached` None: the server was not asked.

    `ran_out`: by this machine's clock nothing of it is left.
    """

    profile: str
    state: LoginState
    ran_out: bool
    renewed_at: float | None
    failure: Failure | None
    reached: Reached | NotReached | None = None
    refused: RelayfileError | None = None
    processes: list[ProcessRow] = field(default_factory=list)
    daemons: list[tuple[int, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """That of what must be done first: sign in, mend this machine, or try again later."""
        if parked(self.state):
            return LoginRequired.exit_code
        if self.state.phase in _UNUSABLE:
            return Misconfigured.exit_code
        if isinstance(self.reached, NotReached):
            wrong = self.reached.kind is causes.Kind.WRONG_SERVICE
            return ProtocolMismatch.exit_code if wrong else Unavailable.exit_code
        if self.reached is None and self.ran_out:
            return LoginRequired.exit_code
        return self.refused.exit_code if self.refused else 0


def report(context: Context, *, offline: bool) -> int:
    """The picture of the sign-in, or of the machine token that stands in for it, is on stdout; its exit code."""
    if connect.machine_token(context) is not None:
        return _of_token(context, offline=offline)
    found = _of_sign_in(context, offline=offline)
    context.output.data(_fields(found), _text(found))
    return found.exit_code


def _of_sign_in(context: Context, *, offline: bool) -> Found:
    profile = profiles.the_one(context.home, context.profile)
    session = connect.login_of(context, profile)
    state = session.state() if offline else connect.mended(session)
    reached: Reached | NotReached | None = None
    refused: RelayfileError | None = None
    processes: list[ProcessRow] = []
    if not offline and state.api_url is not None and not parked(state) and state.phase is not Phase.CONFIG_ERROR:
        reached = probe.look(state.api_url, session.clock)
        if isinstance(reached, Reached):
            try:
                processes = _asked(session, state)
            except RelayfileError as error:
                refused = error
            state = _contradicted(session.state(), refused)
    return Found(
        profile=profile,
        state=state,
        ran_out=ran_out(state, session.clock.wall()),
        renewed_at=_renewed_at(session),
        failure=_failure(session, state, reached, refused),
        reached=reached,
        refused=refused,
        processes=processes,
        daemons=_daemons(context, profile),
        others=[name for name in profiles.names(context.home) if name != profile],
    )


def _contradicted(state: LoginState, refused: RelayfileError | None) -> LoginState:
    """The state that the files tell, unless the server has just said that this sign-in is worth nothing."""
    if isinstance(refused, LoginRequired) and not parked(state):
        return replace(state, phase=Phase.AUTH_FAILED, code=refused.code, reason=refused.message)
    return state


def _asked(session: Session, state: LoginState) -> list[ProcessRow]:
    """The server knows this sign-in; the processes that hold a credential of its family, where it can tell."""
    assert state.api_url is not None
    with SyncClient(state.api_url, session.token, "cli", renew=session.renew_now) as client:
        try:
            family = client.call(api.whoami()).family
            return client.call(api.session_processes(family)) if family is not None else []
        except (NotFound, Forbidden, UsageError):  # an older server that does not know the question took the token
            return []


def _renewed_at(session: Session) -> float | None:
    with suppress(Damaged, Misconfigured):
        pair = session.file.read(session.clock).pair
        return pair.grant.issued_at if pair else None
    return None


def _failure(
    session: Session, state: LoginState, reached: Reached | NotReached | None, refused: RelayfileError | None
) -> Failure | None:
    """What stands in the way now; else the last trouble that a renewal had, whoever made it."""
    now = session.clock.wall()
    match state.phase:
        case Phase.NO_SESSION:
            return Failure(None, "never signed in here")
        case Phase.LOGGED_OUT:
            return Failure(state.since, "signed out here")
        case Phase.AUTH_FAILED | Phase.CLIENT_REJECTED:
            by = f" by {state.by}" if state.by else ""
            cause = f"revoked{by}" if state.by and state.reason == "revoked" else causes.ended(state.reason) + by
            return Failure(state.since, cause)
        case Phase.CONFIG_ERROR | Phase.PERSIST_FAILED:
            return Failure(None, state.reason or "this machine must be mended")
    if isinstance(reached, NotReached):
        return Failure(now, causes.failed(reached.kind, reached.cause))
    if refused is not None:
        return Failure(now, refused.message)
    if (last := trouble.last(session.file.path)) is None:
        return None
    renewed_at = _renewed_at(session)
    return Failure(last.at, causes.failed(last.kind, last.cause), renewed_at is not None and renewed_at > last.at)


def _daemons(context: Context, profile: str) -> list[tuple[int, str]]:
    """The running mirrors of this machine that this sign-in is behind: pid and directory."""
    mine = (record for record in registry.all(context.home) if record.profile == profile)
    records = [record for record in mine if record.token_file is None]
    running = [(launch.pid(context.home, record), record.directory) for record in records]
    return [(pid, directory) for pid, directory in running if pid is not None]


def _fields(found: Found) -> dict[str, object]:
    """For programs; no secret in it."""
    reached = found.reached
    return {
        "profile": found.profile,
        **as_fields(found.state),
        "ran_out": found.ran_out,
        "last_renewal": timestamp(found.renewed_at),
        "last_failure": found.failure
        and {"at": timestamp(found.failure.at), "cause": found.failure.cause, "mended": found.failure.since_mended},
        "reachable": None if reached is None else isinstance(reached, Reached),
        "unreachable_kind": str(reached.kind) if isinstance(reached, NotReached) else None,
        "server_version": reached.version if isinstance(reached, Reached) else None,
        "clock_skew": _ahead_s(found),
        "processes": [
            {**msgspec.to_builtins(one), "running": _running(one, found.daemons)} for one in found.processes
        ],
        "daemons": [{"pid": pid, "directory": directory} for pid, directory in found.daemons],
        "other_profiles": found.others,
        "exit": found.exit_code,
    }


def _text(found: Found) -> str:
    """For people: a line a fact."""
    state, reached = found.state, found.reached
    who = state.account or ("nobody" if state.api_url is None else "somebody")
    lines = [f"{who} at {state.api_url or 'no server'} (profile {found.profile})"]
    told: list[tuple[str, str | None]] = [
        ("state", "ran out: needs re-login" if found.ran_out and not parked(state) else _state_in_words(state)),
        ("access token", _ends_in(state.access_left_s, ran_out=found.ran_out)),
        ("sign-in", _until(state, ran_out=found.ran_out)),
        ("last renewal", _renewal_in_words(found)),
        ("last failure", _failure_in_words(found.failure) if found.failure else "none known"),
        ("server", _server_in_words(reached)),
        ("clock", causes.clock(_ahead_s(found))),
        ("other profiles", ", ".join(found.others) or None),
    ]
    if parked(state):
        told = [(name, text) for name, text in told if name not in {"access token", "sign-in"}]
    lines += [f"  {name:<15}{text}" for name, text in told if text]
    gone = [one for one in found.processes if _running(one, found.daemons) is False]
    shown = [one for one in found.processes if one not in gone]
    lines += [f"  {'process':<15}{_process_in_words(one, found.daemons)}" for one in [*shown, *gone[:_GONE_SHOWN]]]
    if len(gone) > _GONE_SHOWN:
        lines.append(f"  {'':<15}and {plural(len(gone) - _GONE_SHOWN, 'process', 'processes')} before that ended")
    if not found.processes:
        lines += [f"  {'process':<15}pid {pid} keeps {directory} (running)" for pid, directory in found.daemons]
    again = how_to_sign_in(state.api_url, state.profile) if found.ran_out else None
    if hint := remedy(state) or again or (found.refused.hint if found.refused else None):
        lines.append(f"  next: {hint}")
    return "\n".join(lines)


def _state_in_words(state: LoginState) -> str:
    match state.phase:
        case Phase.DUE:
            return "signed in, renewal due"
        case Phase.NO_SESSION | Phase.LOGGED_OUT:
            return "not signed in"
        case Phase.AUTH_FAILED | Phase.CLIENT_REJECTED:
            return "auth-failed: needs re-login"
        case Phase.VALID:
            return "signed in"
        case _:
            return f"{state.phase.value}: {state.reason or ''}".rstrip(": ")


def _ends_in(left_s: float | None, *, ran_out: bool) -> str | None:
    if left_s is None:
        return None
    if ran_out:
        return "has ended"
    return f"ends in {span(left_s)}" if left_s > 0 else "has ended; the next use renews it"


def _renewal_in_words(found: Found) -> str | None:
    if found.renewed_at is None:
        return None
    generation = found.state.generation
    which = "" if generation is None else " (at the sign-in)" if generation == 1 else f" (number {generation - 1})"
    return moment(found.renewed_at) + which


def _until(state: LoginState, *, ran_out: bool) -> str | None:
    """Until when, and whether that moves: no renewal prolongs it beyond its absolute end."""
    at, end = state.refresh_expires_at, state.absolute_expires_at
    if at is None:
        return None
    if ran_out:
        return f"ended {moment(at)}, by the clock of this machine"
    if end is not None and at > end - _NEAR_THE_END_S:
        return f"until {moment(at)} at the latest"
    return f"until {moment(at)}, later with each renewal" + (f", {moment(end)} at the latest" if end else "")


def _failure_in_words(failure: Failure) -> str:
    at = f"{moment(failure.at)}: " if failure.at else ""
    return at + failure.cause + (" (renewed since)" if failure.since_mended else "")


def _server_in_words(reached: Reached | NotReached | None) -> str | None:
    match reached:
        case Reached():
            return f"answers, relayfile {reached.version or 'of version 1'}"
        case NotReached():
            return causes.failed(reached.kind, reached.cause)
        case None:
            return None


def _ahead_s(found: Found) -> float | None:
    """How far this machine's clock is ahead: as just seen, else as the last renewal told."""
    seen = found.reached.clock_ahead_s if isinstance(found.reached, Reached) else None
    return found.state.clock_skew_s if seen is None else seen


def _running(process: ProcessRow, daemons: list[tuple[int, str]]) -> bool | None:
    """Whether it still runs; None: it is of another machine, or nobody can tell."""
    if process.pid is None or process.host != ClientName.parse(user_agent("0", "cli")).host:
        return None
    if process.pid in {os.getpid(), *(pid for pid, _ in daemons)}:
        return True
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return None
    return True


def _process_in_words(process: ProcessRow, daemons: list[tuple[int, str]]) -> str:
    running = _running(process, daemons)
    where = {True: "this command" if process.pid == os.getpid() else "running", False: "ended", None: ""}[running]
    kept = dict(daemons).get(process.pid or 0) if running else None
    parts = [
        process.client,
        process.host or "",
        f"pid {process.pid}" if process.pid else "",
        where,
        f"keeps {kept}" if kept else "",
        "own credential" if process.kind == "daemon" else "",
        f"{process.first_at[:16]}Z to {process.last_at[:16]}Z",
    ]
    return ", ".join(part for part in parts if part)


def _of_token(context: Context, *, offline: bool) -> int:
    with connect.signed_in(context) as server:
        assert server.machine is not None
        fields: dict[str, object] = {"server": server.api_url, "source": server.machine.source}
        if offline:
            said = f"machine token of {server.machine.source} at {server.api_url}\n  {'state':<15}not asked"
            context.output.data(fields | {"state": "not-asked", "exit": 0}, said)
            return 0
        try:
            me = server.call(api.whoami())
        except RelayfileError as error:
            fields |= {"state": _of_failure(error), "code": error.code, "reason": error.message, "hint": error.hint}
            said = f"machine token of {server.machine.source} at {server.api_url}\n  {'state':<15}{error.message}"
            context.output.data(
                fields | {"exit": error.exit_code}, said + (f"\n  next: {error.hint}" * bool(error.hint))
            )
            return error.exit_code
    fields |= {"state": "valid", "token": me.token, "account": me.username, "scope": me.scope}
    lines = [
        f"machine token {me.token!r} of {me.username} at {server.api_url} (from {server.machine.source})",
        f"  {'state':<15}good until {me.expires_at[:16]}Z",
        f"  {'scopes':<15}{me.scope}",
    ]
    context.output.data(fields | {"expires_at": me.expires_at, "exit": 0}, "\n".join(lines))
    return 0


def _of_failure(error: RelayfileError) -> str:
    """What a failed use of a token says of it: only the server's own word refuses it."""
    return "refused" if isinstance(error, LoginRequired | Forbidden) else "unreachable"
