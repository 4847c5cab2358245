"""From the words of a command to a signed-in client, and to one workspace on its server."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from relayfile.cli.context import Context
from relayfile.client import api
from relayfile.client.answers import NOT_RELAYFILE, is_no_server
from relayfile.client.exchange import open_session
from relayfile.client.origin import Origin
from relayfile.client.transport_sync import OFFLINE, SyncClient
from relayfile.core import schedule
from relayfile.core.session import (
    DAMAGED,
    PROFILE_OF_UP,
    LoginState,
    Phase,
    how_to_sign_in,
    parked,
    remedy,
    sentence,
)
from relayfile.credentials import machine, profiles
from relayfile.credentials.home import DEFAULT_PROFILE, Home
from relayfile.credentials.machine import MachineToken
from relayfile.credentials.session import Session
from relayfile.errors import (
    Forbidden,
    LoginRequired,
    Misconfigured,
    NotFound,
    ProtocolMismatch,
    RelayfileError,
    Unavailable,
    UsageError,
)
from relayfile.mirror import registry, status
from relayfile.mirror.registry import Record
from relayfile.wire.auth import WorkspaceRow

T = TypeVar("T")

_CHOSEN = "current-workspace.json"


@dataclass(frozen=True)
class Signed:
    """A server, as the login of one profile or a machine token may use it. Close it, or use it in a `with`.

    Either `session` or `machine` is there.
    """

    context: Context
    profile: str
    api_url: str
    session: Session | None
    client: SyncClient
    machine: MachineToken | None = None

    def call(self, request: api.Request[T]) -> T:
        """The answer to `request`; raises as `SyncClient.call`."""
        try:
            return self.client.call(request)
        except LoginRequired as error:  # who raised it knows neither the profile nor where a token came from
            if self.machine is None:
                error.hint = how_to_sign_in(self.api_url, profiles.named(self.profile))
            else:
                error.hint = f"put another token into {self.machine.source}: `relayfile token create` makes one"
            raise
        except Forbidden as error:
            if self.machine is not None:
                error.hint = f"{self.machine.source} is used here; --profile {self.profile} uses a sign-in instead"
            raise
        except Unavailable as error:
            if is_no_server(error):
                raise ProtocolMismatch(
                    f"{self.api_url}: {error.message}", code=NOT_RELAYFILE, hint=error.hint, status=error.status
                ) from error
            if error.code == OFFLINE and self.profile == PROFILE_OF_UP:
                error.hint = "`relayfile up` starts the server of this machine again"
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()


@dataclass(frozen=True)
class Workspace:
    """One workspace and the client that may reach it. Use it in a `with`."""

    server: Signed
    id: str
    name: str

    def call(self, request: api.Request[T]) -> T:
        """The answer to `request`; raises as `Signed.call`."""
        return self.server.call(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.client.close()


@dataclass(frozen=True)
class Chosen:
    """The workspace that `relayfile workspace use` chose, at which server."""

    workspaceId: str  # noqa: N815 - the name in the file, as in `workspace list --json`
    name: str
    apiUrl: str  # noqa: N815


def login_of(context: Context, profile: str, *, server: str | None = None, wait: bool = True) -> Session:
    """The login of a profile, in a home that is closed to others; what was mended on opening it is said.

    `server` is where it should be, for the hint; without `wait` a lock that somebody holds is not waited for.

    Raises:
        Misconfigured: others may enter the home, and that cannot be mended.
    """
    if notice := context.home.close():
        context.output.say(notice)
    limits = None if wait else schedule.Limits(lock_wait_s=0.0)
    return open_session(context.home, profile, "cli", notice=context.output.say, server=server, limits=limits)


def mended(session: Session) -> LoginState:
    """The state of a login; a file that was damaged holds the newest pair of its history again, if it can (R9)."""
    state = session.state()
    if state.code == DAMAGED:
        with suppress(RelayfileError):
            session.token()
        state = session.state()
    return state


def require_login(context: Context, profile: str, server: str | None = None) -> LoginState:
    """The state of a login that can be used, or that will mend itself. `server` is where it should be, for the hint.

    Raises:
        LoginRequired: a person must sign in first.
        Misconfigured: this machine must be mended first.
    """
    state = mended(login_of(context, profile, server=server))
    if parked(state):
        raise LoginRequired(
            f"{_of(profile)}: {sentence(state)}. Nothing was changed.",
            code=state.code,
            hint=remedy(state),
        )
    if state.phase is Phase.CONFIG_ERROR:
        raise Misconfigured(f"{_of(profile)}: {sentence(state)}", code=state.code, hint=remedy(state))
    return state


def signed_in(context: Context, profile: str | None = None) -> Signed:
    """A client for the login of `profile`; without one for the machine token there is, or the login R16 chooses.

    Raises:
        LoginRequired: there is none, or it ended; Misconfigured: it cannot be read.
    """
    if profile is None and (token := machine_token(context)) is not None:
        return _with_token(context, token)
    if profile is None:
        profile = profiles.the_one(context.home, context.profile)
    state = require_login(context, profile)
    if state.api_url is None:
        raise LoginRequired(f"{_of(profile)} names no server", hint=how_to_sign_in(None, profiles.named(profile)))
    session = login_of(context, profile)
    client = SyncClient(state.api_url, session.token, "cli", renew=session.renew_now)
    return Signed(context, profile, state.api_url, session, client)


def machine_token(context: Context) -> MachineToken | None:
    """The machine token that stands in for a sign-in; None: there is none, or a sign-in was named.

    Raises:
        UsageError, Misconfigured: as `machine.found`.
    """
    if context.profile is not None:
        if context.token_file is not None:
            raise UsageError("--token-file or --profile: a command uses one of them. Nothing was done.")
        return None
    token = machine.found(context.token_file)
    if token is not None and token.open_to_others:
        context.output.say(f"{token.path} can be read by others: `chmod 600 {token.path}`")
    return token


def say_what_stands_before(context: Context) -> None:
    """Who has just signed in is told when commands would use a machine token and not this sign-in."""
    with suppress(RelayfileError):
        if (token := machine.found()) is not None:
            named = " (RELAYFILE_TOKEN_FILE)" if token.path else ""
            context.output.say(f"commands use the machine token of {token.source}{named} and not this sign-in")


def to_workspace(context: Context, wanted: str | None) -> Workspace:
    """The workspace with that name or id; without one, that of `workspace use`.

    A name is looked up in the profile that this machine knows it from: that of a mirror or of `workspace use` (R16).

    Raises:
        NotFound: no such workspace among mine; UsageError: the name alone does not say which one.
    """
    if wanted is None:
        return _current(context)
    profile = context.profile
    if machine_token(context) is None:
        profile = profile or _profile_that_knows(context.home, wanted)
    server = signed_in(context, profile)
    try:
        return among_mine(server, wanted)
    except BaseException:
        server.client.close()
        raise


def among_mine(server: Signed, wanted: str) -> Workspace:
    """The workspace of mine on this server that `wanted` names, by id or by name.

    Raises:
        NotFound: none does. UsageError: several have that name.
    """
    mine = server.call(api.workspaces())
    found = [one for one in mine if one.workspace_id == wanted] or [one for one in mine if one.name == wanted]
    if len(found) > 1:
        ids = ", ".join(one.workspace_id for one in found)
        raise UsageError(f"{wanted!r} is the name of {len(found)} workspaces of yours: {ids}", hint="use the id")
    if not found:
        raise _unknown(server, wanted, mine)
    return Workspace(server, found[0].workspace_id, found[0].name)


def chosen(home: Home, profile: str, api_url: str | None = None) -> Chosen | None:
    """What `workspace use` chose for this profile, as long as its login is at the same server."""
    try:
        found = json.loads(_chosen_file(home, profile).read_text("utf-8"))
        kept = Chosen(str(found["workspaceId"]), str(found["name"]), str(found["apiUrl"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if api_url in {None, kept.apiUrl} else None


def choose(home: Home, profile: str, workspace: Chosen | None) -> None:
    """`workspace` is the one meant where a command names none; None: none is."""
    path = _chosen_file(home, profile)
    if workspace is None:
        path.unlink(missing_ok=True)
        return
    # With a machine token there may be no sign-in, and so no folder, yet.
    home.prepare(*(() if profile == DEFAULT_PROFILE else ("profiles", profile)))
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(asdict(workspace)) + "\n", "utf-8")
    part.replace(path)


def _with_token(context: Context, token: MachineToken) -> Signed:
    """A client that uses a machine token. Without a word on its server, the one of the login that R16 chooses."""
    profile = profiles.choose(context.home)
    api_url = token.api_url or login_of(context, profile).api_url()
    if api_url is None:
        raise UsageError(
            f"{token.source} holds a token, but which server is it for? Nothing was sent.",
            code="no_server",
            hint=f"set {machine.SERVER} to its address, or write the address on the file's second line",
        )
    url = Origin.parse(api_url).url
    return Signed(context, profile, url, None, SyncClient(url, lambda: token.token, "cli"), token)


def _current(context: Context) -> Workspace:
    server = signed_in(context)
    kept = chosen(context.home, server.profile, server.api_url)
    if kept is None:
        raise UsageError(
            "which workspace? None was named, and none is chosen.",
            code="which_workspace",
            hint="name one, or choose one with `relayfile workspace use NAME`",
        )
    return Workspace(server, kept.workspaceId, kept.name)


def _profile_that_knows(home: Home, wanted: str) -> str | None:
    """The one profile in which this machine knows that workspace; None: it knows it in none."""
    mirrored = [record for record in registry.all(home) if wanted in {record.workspace, record.workspace_name}]
    kept = {profile: chosen(home, profile) for profile in profiles.names(home)}
    used = {profile for profile, one in kept.items() if one and wanted in {one.workspaceId, one.name}}
    known = used | {record.profile for record in mirrored}
    if len(known) > 1:  # a mirror outlives its workspace: one that was deleted is not meant any more
        known = used | {record.profile for record in mirrored if not status.workspace_is_gone(home, record)}
    if len(known) > 1:
        raise UsageError(
            f"{wanted!r} is known in several sign-ins: {', '.join(sorted(known))}. Nothing was changed.",
            code="which_profile",
            hint=f"add --profile {min(known)}, or use the workspace's id",
        )
    return next(iter(known), None)


def _unknown(server: Signed, wanted: str, mine: list[WorkspaceRow]) -> NotFound:
    names = ", ".join(sorted(one.name for one in mine)[:8]) or "none yet"
    others = [name for name in profiles.names(server.context.home) if name != server.profile]
    elsewhere = f"; another sign-in: --profile {others[0]}" if others else ""
    return NotFound(
        f"no workspace {wanted!r} among yours at {server.api_url}. Nothing was changed.",
        code="workspace_not_found",
        hint=f"yours: {names}; `relayfile workspace create NAME` makes one{elsewhere}",
    )


def _chosen_file(home: Home, profile: str) -> Path:
    return home.credentials(profile).with_name(_CHOSEN)


def _of(profile: str) -> str:
    return "the sign-in" if profile == DEFAULT_PROFILE else f"the sign-in of profile {profile!r}"


def prepare_root(
    there: Workspace, directory: str, *, shared_login: bool | None = None, new: bool = False, moved: bool = False
) -> Record:
    """`directory` is the root of a mirror of that workspace; raises as `mirror.root.prepare`."""
    from relayfile.mirror import root

    return root.prepare(
        there.server.context.home,
        directory,
        workspace=there.id,
        workspace_name=there.name,
        api_url=there.server.api_url,
        profile=there.server.profile,
        shared_login=shared_login,
        new=new,
        moved=moved,
    )
