"""Who a request comes from, and what it may do in a workspace. Every data route asks here first.

What was checked is remembered until the token expires, and forgotten at once when a family ends or a membership
changes. An access token lives until its own expiry; only the end of its family ends it sooner (R3).
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import apsw

from relayfile.core.scopes import ACCOUNT, ACTIONS, Scopes
from relayfile.errors import Forbidden, LoginRequired, NotFound, RelayfileError, Unavailable
from relayfile.model import Principal
from relayfile.server.keys import AUDIENCE, Keys
from relayfile.server.store import families, machine_tokens, tokens, workspaces
from relayfile.server.store.database import Database
from relayfile.server.store.families import Ending
from relayfile.wire.auth import ACCESS_PREFIX, rfc3339
from relayfile.wire.machine_tokens import MACHINE_PREFIX

_OLD_PREFIXES: Final = ("relay_pa_", "relay_ws_", "relay_id_", "relay_ag_")
_REMEMBERED: Final = 10_000
_READ_ONLY: Final = frozenset({"fs:read", "ops:read", "sync:read"})
_ROLES: Final[Mapping[str, frozenset[str]]] = {
    "owner": frozenset(ACTIONS) - {ACCOUNT},
    "editor": _READ_ONLY | {"fs:write", "sync:trigger"},
    "viewer": _READ_ONLY,
}
WORKSPACE_DELETED: Final = "workspace_deleted"
_LOGIN: Final = "sign in: run `relayfile login`"
_NEW_TOKEN: Final = "make another with `relayfile token create`"  # noqa: S105 - what to do
_USE_NOTED_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """A principal in one workspace: its token's scopes, narrowed by its role there."""

    principal: Principal
    workspace: str
    scopes: Scopes
    role: str

    def require(self, action: str, path: str | None) -> None:
        """`action` is allowed on `path` (None: on some path at all).

        Raises:
            Forbidden: code `forbidden`, "missing required scope: fs:read".
        """
        if not self.scopes.allows(action, path):
            raise Forbidden(f"missing required scope: {action}")


def presented(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer …` header; None when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Bearer:
    """Checks bearer tokens against families, memberships and workspaces. Used from the event loop only."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys
        self._principals: dict[bytes, Principal] = {}
        self._accesses: dict[tuple[Principal, str], Access] = {}
        self._changes = 0
        self._waiting: dict[str, set[asyncio.Future[str]]] = {}
        self._used: dict[str, float] = {}

    async def principal(self, token: str | None) -> Principal:
        """The principal that `token` proves. `relay_pa_` and its like are stripped.

        Raises:
            LoginRequired: code `login_required`, `token_invalid`, `token_expired` or `token_revoked`.
        """
        if not token:
            raise LoginRequired("no bearer token", hint=_LOGIN)
        for prefix in _OLD_PREFIXES:
            token = token.removeprefix(prefix)
        digest = tokens.digest(token)
        found = self._principals.get(digest)
        while found is None:
            changes = self._changes
            candidate = await self._looked_up(token, digest)
            if changes == self._changes:  # nothing ended while we looked
                _make_room(self._principals)
                found = self._principals[digest] = candidate
        if found.expires_at <= time.time():
            self._principals.pop(digest, None)
            raise _expired(found)
        if found.token is not None:
            await self._note_use(found.token)
        return found

    async def access(self, principal: Principal, workspace: str) -> Access:
        """What `principal` may do in `workspace`.

        Raises:
            NotFound: `workspace_not_found`: unknown, or not a member.
            RelayfileError: 410 `workspace_deleted`.
            Forbidden: the token is of another workspace, or has no scopes here.
        """
        found = self._accesses.get((principal, workspace))
        while found is None:
            changes = self._changes
            candidate = await self._allowed(principal, workspace)
            if changes == self._changes:
                _make_room(self._accesses)
                found = self._accesses[principal, workspace] = candidate
        return found

    async def revoked(self, principal: Principal, workspace: str | None = None) -> str:
        """The reason, once the principal's family has ended; until then it waits. Expiry does not count (R3).

        A machine token has no family: its own end counts, by time or by revocation.
        With a workspace also when that is deleted: the reason is then `WORKSPACE_DELETED`.
        """
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        names = [name for name in (principal.family, principal.token, workspace) if name is not None]
        left_s = None if principal.token is None else max(0.0, principal.expires_at - time.time())
        for name in names:
            self._waiting.setdefault(name, set()).add(answer)
        try:
            # Registered first, asked second: an end between the two is heard twice, never missed.
            if reason := await self._database.read(partial(_over, principal, workspace)):
                return reason
            async with asyncio.timeout(left_s):
                return await answer
        except TimeoutError:
            return "expired"
        finally:
            for name in names:
                self._waiting[name].discard(answer)
                if not self._waiting[name]:
                    del self._waiting[name]

    def ended(self, gone: Iterable[str], reason: str) -> None:
        """Tokens of these families, and these machine tokens, are refused from now on; who waits hears of it."""
        over = frozenset(gone)
        self._changes += 1
        self._principals = {
            key: each for key, each in self._principals.items() if each.family not in over and each.token not in over
        }
        for family in over:
            self._tell(family, reason)

    def changed(self) -> None:
        """A membership is not what it was, or there is a new one; what was remembered of them is forgotten."""
        self._changes += 1
        self._accesses.clear()

    def deleted(self, workspace: str) -> None:
        """The workspace is gone: 410 from now on, and who waits in `revoked` for it hears of it."""
        self.changed()
        self._tell(workspace, WORKSPACE_DELETED)

    def _tell(self, name: str, reason: str) -> None:
        for answer in self._waiting.get(name, ()):
            if not answer.done():
                answer.set_result(reason)

    async def _looked_up(self, token: str, digest: bytes) -> Principal:
        if token.startswith(ACCESS_PREFIX):
            return await self._opaque(digest)
        if token.startswith(MACHINE_PREFIX):
            return await self._machine(digest)
        return await self._workspace_token(token)

    async def _machine(self, digest: bytes) -> Principal:
        known = await self._database.read(lambda connection: machine_tokens.by_digest(connection, digest))
        if known is None:
            raise LoginRequired("the machine token is not one of this server", code="token_invalid", hint=_NEW_TOKEN)
        if known.revoked_at is not None:
            raise LoginRequired(
                f"the machine token {known.name!r} was revoked by {known.revoked_by} at {rfc3339(known.revoked_at)}",
                code="token_revoked",
                hint=_NEW_TOKEN,
                details={"reason": f"revoked by {known.revoked_by}"},
            )
        return Principal(
            account=known.account,
            subject=known.name,
            scopes=frozenset(known.scopes),
            expires_at=known.expires_at,
            workspace=known.workspace,
            token=known.id,
            labels={"kind": "machine"},
        )

    async def _note_use(self, token: str) -> None:
        """Its use is on record, to the minute; one that cannot be recorded now is still a use."""
        now = time.time()
        if now - self._used.get(token, 0.0) < _USE_NOTED_EVERY_S:
            return
        self._used[token] = now
        with suppress(Unavailable):
            await self._database.write(lambda connection: machine_tokens.used(connection, token, now))

    async def _opaque(self, digest: bytes) -> Principal:
        known = await self._database.read(lambda connection: tokens.known(connection, digest))
        if known is None:
            raise LoginRequired("the access token is not one of this server", code="token_invalid", hint=_LOGIN)
        if known.ended is not None:
            ending = await self._database.read(lambda connection: families.ending(connection, known.family))
            raise _ended(ending or Ending(known.ended))
        return Principal(
            account=known.account,
            subject=known.username,
            scopes=frozenset(known.scopes.split()),
            expires_at=known.expires_at,
            workspace=known.workspace,
            family=known.family,
            labels={"kind": known.kind},
        )

    async def _workspace_token(self, token: str) -> Principal:
        claims = self._keys.verify(token)
        match claims:
            case {
                "wks": str(workspace),
                "sub": str(subject),
                "acc": str(account),
                "fam": str(family),
                "aud": "relayfile",
                "exp": int() | float() as expires_at,
                "scopes": [*words],
            }:
                pass
            case _:
                raise LoginRequired(f"the token lacks a claim, or is not for {AUDIENCE}", code="token_invalid")
        if expires_at <= time.time():
            raise LoginRequired("the workspace token has expired", code="token_expired")
        if ending := await self._database.read(lambda connection: families.ending(connection, family)):
            raise _ended(ending)
        scopes = frozenset(str(word) for word in words)
        return Principal(account, subject, scopes, float(expires_at), workspace, family, {"kind": "workspace"})

    async def _allowed(self, principal: Principal, workspace: str) -> Access:
        if principal.workspace not in {None, workspace}:
            raise Forbidden("workspace mismatch")
        standing = await self._database.read(
            lambda connection: workspaces.standing(connection, principal.account, workspace)
        )
        if standing is None:
            raise NotFound(
                f"no workspace {workspace[:80]!r} that you are a member of",
                code="workspace_not_found",
                hint="`relayfile workspace list` shows yours",
            )
        if standing.deleted:
            raise RelayfileError(
                f"the workspace {standing.workspace.name!r} was deleted",
                code=WORKSPACE_DELETED,
                status=410,
                hint="the files of its mirrors stay; `relayfile mount WORKSPACE DIR --new` keeps them in another one",
            )
        role = standing.workspace.role
        scopes = Scopes.parse(principal.scopes, workspace=workspace).only(_ROLES[role])
        if not scopes.grants:
            raise Forbidden("token has no scopes")
        return Access(principal, workspace, scopes, role)


def _over(principal: Principal, workspace: str | None, connection: apsw.Connection) -> str | None:
    """Why this principal has no business in this workspace any more; None while it may have."""
    reason = families.ended(connection, principal.family) if principal.family is not None else None
    if principal.token is not None:
        known = machine_tokens.by_id(connection, principal.token)
        reason = "unknown" if known is None else f"revoked by {known.revoked_by}" if known.revoked_at else None
    if reason is None and workspace is not None:
        standing = workspaces.standing(connection, principal.account, workspace)
        return WORKSPACE_DELETED if standing is not None and standing.deleted else None
    return reason


def _ended(ending: Ending) -> LoginRequired:
    """The error that says by whose hand the credential behind a token ended."""
    details = {
        "reason": ending.reason,
        "endedBy": ending.by,
        "endedFrom": ending.host,
        "endedAt": rfc3339(ending.at) if ending.at else None,
    }
    return LoginRequired(
        f"the credential behind this token has ended: {ending.words()}",
        code="token_revoked",
        hint=_LOGIN,
        details={name: value for name, value in details.items() if value},
    )


def _expired(found: Principal) -> LoginRequired:
    """The error that says its time is over."""
    if found.token is None:
        return LoginRequired("the access token has expired", code="token_expired", hint=_LOGIN)
    at = rfc3339(found.expires_at)
    return LoginRequired(
        f"the machine token {found.subject!r} expired at {at}", code="token_expired", hint=_NEW_TOKEN
    )


def _make_room(remembered: dict[Any, Any]) -> None:
    """It has room for one more; when full, the ones remembered first are forgotten and will be checked again."""
    if len(remembered) >= _REMEMBERED:
        for key in list(remembered)[: _REMEMBERED // 10]:
            del remembered[key]
