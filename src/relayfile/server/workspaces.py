"""Workspaces and the tokens of one workspace: `/api/v1/workspaces…` and `/v1/tokens/refresh` (3-protocol B.3.3).

Workspaces exist only by POST here (R26). Join, delegation and mount session are for v1 clients; ours use their
sign-in's own token on the data routes (R4).
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile.core.families import Outcome
from relayfile.core.scopes import Scopes
from relayfile.errors import Forbidden, LoginRequired, RelayfileError, Unavailable, UsageError
from relayfile.model import Principal
from relayfile.server.auth import NO_STORE, outcome_header
from relayfile.server.bearer import Access, Bearer
from relayfile.server.grants import Grants, Issued, Wish
from relayfile.server.intake import Place, address_of, body, caller, client_of, manager
from relayfile.server.keys import AUDIENCE, Keys
from relayfile.server.store import accounts, audit, workspaces
from relayfile.server.store.database import Database
from relayfile.server.store.families import DELEGATION
from relayfile.server.store.workspaces import Workspace
from relayfile.wire.auth import (
    DelegationAnswer,
    DelegationRefreshed,
    DelegationRequest,
    JoinAnswer,
    JoinRequest,
    MountSessionAnswer,
    MountSessionRequest,
    V1Refresh,
    WorkspaceRequest,
    WorkspaceResolved,
    WorkspaceRow,
    rfc3339,
)

TOKEN_TTL_S: Final = 3_600
_SUGGESTED: Final = 55 / 60
_DELEGATION_MAX_S: Final = 86_400
_CAST_KEY: Final = "relaycast-is-not-served-here"
"""v1 clients insist on a non-empty `relaycastApiKey`; it opens nothing (R26)."""

_MOUNT: Final = "mount_session"
_ALL: Final = ("fs:read", "fs:write", "ops:read", "sync:read", "sync:trigger")
_LIKE_AN_ID: Final = re.compile(r"rw_[0-9a-f]{16}", re.IGNORECASE | re.ASCII)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Pass:
    """A signed workspace token and its times."""

    token: str
    issued_at: float
    expires_at: float
    scopes: list[str]

    @property
    def refresh_at(self) -> float:
        """When its holder should get the next."""
        return self.issued_at + (self.expires_at - self.issued_at) * _SUGGESTED


class WorkspaceRoutes:
    """Workspaces, and the tokens v1 clients use inside them."""

    def __init__(self, *, database: Database, keys: Keys, bearer: Bearer, grants: Grants, place: Place) -> None:
        self._database = database
        self._keys = keys
        self._bearer = bearer
        self._grants = grants
        self._place = place

    def routes(self) -> list[BaseRoute]:
        """The control plane of workspaces."""
        one = "/api/v1/workspaces/{id}"
        return [
            Route("/api/v1/workspaces", _v1(self.mine), methods=["GET"]),
            Route("/api/v1/workspaces", _v1(self.create), methods=["POST"]),
            Route(one, _v1(self.delete), methods=["DELETE"]),
            Route(f"{one}/resolve", _v1(self.resolve), methods=["GET"]),
            Route(f"{one}/join", _v1(self.join), methods=["POST"]),
            Route(f"{one}/relayfile/delegated-token", _v1(self.delegate), methods=["POST"]),
            Route(f"{one}/relayfile/mount-session", _v1(self.mount_session), methods=["POST"]),
            Route("/v1/tokens/refresh", _v1(self.refresh), methods=["POST"]),
        ]

    async def mine(self, request: Request) -> Response:
        """The workspaces I am a member of; with a token of one workspace, that one."""
        principal = await caller(self._bearer, request)
        rows = await self._database.read(lambda connection: workspaces.of_member(connection, principal.account))
        return _json([self._row(request, row) for row in rows if principal.workspace in {None, row.id}])

    async def create(self, request: Request) -> Response:
        """A new workspace with an empty log; 409 `workspace_exists` when a living one of mine has the name."""
        principal = await manager(self._bearer, request)
        name = _name((await body(request, WorkspaceRequest)).name)
        made = await self._database.write(
            lambda connection: workspaces.create(connection, principal.account, name, time.time())
        )
        if made is None:
            raise UsageError(
                f"you already have a workspace named {name!r}; nothing was changed",
                code="workspace_exists",
                status=409,
                hint="use it, or choose another name",
            )
        self._bearer.changed()
        return _json(self._row(request, made), 201)

    async def delete(self, request: Request) -> Response:
        """The workspace is gone, for every member, for good; only its owner may do that."""
        principal = await manager(self._bearer, request)
        access = await self._bearer.access(principal, request.path_params["id"])
        if access.role != "owner":
            raise Forbidden("only the owner of a workspace may delete it")
        await self._database.write(lambda connection: workspaces.delete(connection, access.workspace, time.time()))
        self._bearer.deleted(access.workspace)
        return Response(status_code=204, headers=NO_STORE)

    async def resolve(self, request: Request) -> Response:
        """Both of v1's names for a workspace; here they are one."""
        access = await self._access(request)
        return _json(WorkspaceResolved(access.workspace, access.workspace, provisioned=True))

    async def join(self, request: Request) -> Response:
        """A workspace token for an agent (R4 a)."""
        access = await self._access(request)
        asked = await body(request, JoinRequest)
        if asked.permissions.readonly or asked.permissions.ignored:
            raise UsageError(
                "permissions are not supported at join; ask for scopes with paths", code="invalid_request"
            )
        made = await self._pass(request, access, asked.agent_name, asked.scopes or _ALL, "join")
        answer = JoinAnswer(
            workspace_id=access.workspace,
            token=made.token,
            token_issued_at=rfc3339(made.issued_at),
            token_expires_at=rfc3339(made.expires_at),
            suggested_refresh_at=rfc3339(made.refresh_at),
            relayfile_url=self._place.base(request),
            ws_url=self._place.live(request, access.workspace),
            relaycast_api_key=_CAST_KEY,
            scopes=made.scopes,
        )
        return _json(answer)

    async def mount_session(self, request: Request) -> Response:
        """What the v1 mount binary needs to mirror a subtree.

        v1's SDK asks with a token from `join`: what it gets then is for the same agent and ends with that token.
        """
        access = await self._access(request)
        asked = await body(request, MountSessionRequest)
        if asked.mode not in {"poll", "fuse"}:
            raise UsageError("mode must be poll or fuse", code="invalid_mode")
        if not asked.local_dir or "\0" in asked.local_dir:
            raise UsageError("localDir is missing", code="invalid_local_dir")
        if not asked.remote_path.startswith("/") or "/../" in asked.remote_path + "/":
            raise UsageError("remotePath must be absolute", code="invalid_remote_path")
        made = await self._pass(
            request, access, asked.agent_name, asked.scopes or _below([asked.remote_path]), _MOUNT
        )
        answer = MountSessionAnswer(
            workspace_id=access.workspace,
            relayfile_base_url=self._place.base(request),
            relayfile_token=made.token,
            ws_url=self._place.live(request, access.workspace),
            remote_path=asked.remote_path,
            local_dir=asked.local_dir,
            mode=asked.mode,
            scopes=made.scopes,
            token_issued_at=rfc3339(made.issued_at),
            expires_at=rfc3339(made.expires_at),
            suggested_refresh_at=rfc3339(made.refresh_at),
            relaycast_api_key=_CAST_KEY,
        )
        return _json(answer)

    async def delegate(self, request: Request) -> Response:
        """A workspace token with a refresh token of its own, for at most a day: a family begun by this sign-in."""
        access = await self._access(request)
        if access.principal.family is None or access.principal.workspace is not None:
            raise Forbidden("only a sign-in can delegate; use this token itself", code="needs_reauth")
        asked = await body(request, DelegationRequest)
        if not 0 < asked.ttl_seconds <= TOKEN_TTL_S or not 0 < asked.delegation_ttl_seconds <= _DELEGATION_MAX_S:
            raise UsageError("ttlSeconds is at most 3600, delegationTtlSeconds at most 86400", code="invalid_request")
        words = _granted(access, asked.scopes or _below(asked.relayfile_mount_paths))
        if any(" " in word for word in words):
            raise UsageError("a delegation's paths cannot have spaces", code="invalid_scope")
        agent = _agent(asked.agent_name, access)
        wish = Wish(
            client=client_of(request),
            scopes=" ".join(words),
            old_clients=True,  # v1 clients send no nonce
            door="delegation",
            kind=DELEGATION,
            parent=access.principal.family,
            workspace=access.workspace,
            agent=agent,
            absolute_ttl_s=asked.delegation_ttl_seconds,
        )
        account_id = access.principal.account

        def work(connection: apsw.Connection) -> Issued:
            account = accounts.by_id(connection, account_id)
            if account is None:
                raise LoginRequired("this account is no more", code="token_revoked")
            return self._grants.begin_in(connection, account, wish)

        issued = await self._database.write(work)
        made = self._delegated(issued, asked.ttl_seconds)
        family = issued.stored.family
        answer = DelegationAnswer(
            relayfile_url=self._place.base(request),
            relayauth_url=self._place.base(request),
            relayfile_workspace_id=access.workspace,
            relayfile_token=made.token,
            relayfile_token_expires_at=rfc3339(made.expires_at),
            relayfile_refresh_token=issued.refresh.reveal(),
            relayfile_refresh_token_expires_at=rfc3339(family.expires_at),
            delegation_not_after=rfc3339(family.absolute_expires_at),
            relayfile_scopes=words,
            relayfile_mount_paths=asked.relayfile_mount_paths or ["/"],
        )
        return _json(answer)

    async def refresh(self, request: Request) -> Response:
        """The next pair of a delegation."""
        token = (await body(request, V1Refresh)).refresh_token
        if not token:
            raise UsageError("Missing refreshToken")
        answer = await self._grants.renew(token, "", client_of(request), address_of(request), kinds={DELEGATION})
        if not isinstance(answer, Issued):
            if answer.outcome is Outcome.BUSY:
                raise Unavailable(
                    "renewed too often; wait", code="rate_limited", status=429, retry_after_s=answer.retry_after_s
                )
            over = answer.outcome in {Outcome.EXPIRED, Outcome.MALFORMED}
            raise LoginRequired(
                "this delegation cannot be renewed", code="delegation_expired" if over else "workspace_token_revoked"
            )
        made = self._delegated(answer, TOKEN_TTL_S)
        family = answer.stored.family
        refreshed = DelegationRefreshed(
            access_token=made.token,
            refresh_token=answer.refresh.reveal(),
            access_token_expires_at=rfc3339(made.expires_at),
            refresh_token_expires_at=rfc3339(family.expires_at),
            delegation_not_after=rfc3339(family.absolute_expires_at),
        )
        return _json(refreshed, headers=outcome_header(answer))

    async def _pass(self, request: Request, access: Access, agent: str, wanted: Iterable[str], door: str) -> _Pass:
        """A workspace token of this sign-in's family. Its issue is audited."""
        words, now = _granted(access, wanted), time.time()
        client, principal = client_of(request), access.principal
        if principal.family is None or (principal.workspace is not None and door != _MOUNT):
            raise Forbidden("only a sign-in can make a workspace token; use this token itself")
        name, expires_at = _agent(agent, access), now + TOKEN_TTL_S
        if principal.workspace is not None:
            name, expires_at = principal.subject, min(expires_at, principal.expires_at)
        made = self._sign(principal, access.workspace, name, words=words, now=now, expires_at=expires_at)
        await self._database.write(
            lambda connection: audit.record(
                connection,
                "issued",
                now=now,
                client=client,
                account=principal.account,
                family=principal.family,
                reason=door,
            )
        )
        return made

    def _delegated(self, issued: Issued, ttl_s: float) -> _Pass:
        holder = issued.stored.holder
        principal = Principal(holder.account, issued.username, frozenset(), 0.0, family=holder.id)
        expires_at = min(issued.now + ttl_s, issued.stored.family.absolute_expires_at)
        agent, workspace = holder.agent or issued.username, holder.workspace or ""
        words = holder.scopes.split()
        return self._sign(principal, workspace, agent, words=words, now=issued.now, expires_at=expires_at)

    def _sign(
        self, principal: Principal, workspace: str, agent: str, *, words: list[str], now: float, expires_at: float
    ) -> _Pass:
        claims = {
            "wks": workspace,
            "workspace_id": workspace,  # the name that v1's TypeScript SDK looks for
            "sub": agent,
            "agent_name": agent,
            "acc": principal.account,
            "fam": principal.family,
            "aud": AUDIENCE,
            "scopes": words,
            "iat": int(now),
            "exp": int(expires_at),
        }
        return _Pass(self._keys.sign(claims), int(now), int(expires_at), words)

    async def _access(self, request: Request) -> Access:
        return await self._bearer.access(await caller(self._bearer, request), request.path_params["id"])

    def _row(self, request: Request, row: Workspace) -> WorkspaceRow:
        return WorkspaceRow(row.id, row.name, row.role, rfc3339(row.created_at), self._place.base(request), _CAST_KEY)


def _v1(handler: Handler) -> Handler:
    """`handler`, whose refusals also carry v1's `error` beside the `code` of every body."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except RelayfileError as error:
            error.details.setdefault("error", error.code)
            raise

    return answered


def _name(text: str) -> str:
    """`text` as a workspace's name; empty lets the id be the name.

    Raises:
        UsageError: code `invalid_name`: too long, unprintable, or easily taken for something else.
    """
    name = text.strip()
    if len(name) > 100 or not name.isprintable() or "/" in name or _LIKE_AN_ID.fullmatch(name):
        raise UsageError(
            "a workspace's name has at most 100 printable characters, no slash, and is not like an id",
            code="invalid_name",
            hint="choose another name, such as plans",
        )
    return name


def _agent(name: str, access: Access) -> str:
    agent = name.strip() or access.principal.subject
    if len(agent) > 200 or not agent.isprintable():
        raise UsageError("agentName has at most 200 printable characters", code="invalid_request")
    return agent


def _below(paths: Iterable[str]) -> list[str]:
    """Scope words for reading and writing below these paths; none of them means everywhere."""
    roots = [path.rstrip("/") for path in paths]
    if not roots or "" in roots:
        return [*_ALL]
    what = ("fs:read", "fs:write", "ops:read")  # operations name paths too
    return [*(f"relayfile:{action}:{root}/**" for root in roots for action in what), "sync:read"]


def _granted(access: Access, wanted: Iterable[str]) -> list[str]:
    """Those of the `wanted` scopes that this membership and token can give, in words of their own.

    Raises:
        UsageError: code `invalid_scope`: none of them means anything here.
        Forbidden: code `scope_insufficient`: more paths than the token itself may touch.
    """
    asked = Scopes.parse(wanted, workspace=access.workspace).only(access.scopes.grants)
    if not asked.grants:
        raise UsageError("none of these scopes can be had here", code="invalid_scope")
    if not asked.within(access.scopes):
        raise Forbidden("this sign-in may touch fewer paths than were asked for", code="scope_insufficient")
    words = asked.words()
    return [*words, *(twin for word in words if (twin := _as_mounts_read(word)) not in {"", *words})]


def _as_mounts_read(word: str) -> str:
    """The scope `word` as v1's mount client understands it; empty when it does as it is.

    That client decides by itself what it may write, and reads `/docs/*` but not `/docs/**`: with that alone it takes
    the whole mirror for read-only, and reverts what people write there.
    """
    return word[:-1] if word.startswith("relayfile:fs:write:") and word.endswith("/**") else ""


def _json(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(answer), status, NO_STORE | (headers or {}), "application/json")
