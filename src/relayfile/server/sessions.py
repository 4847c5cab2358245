"""Who am I, which sign-ins are alive, what happened to every token: `GET /api/v1/auth/*`."""

import time
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile.errors import LoginRequired, UsageError
from relayfile.model import Principal
from relayfile.server.auth import NO_STORE
from relayfile.server.bearer import Bearer
from relayfile.server.grants import Grants
from relayfile.server.intake import caller, client_of, manager
from relayfile.server.store import accounts, audit, families
from relayfile.server.store.accounts import OWNER, Account
from relayfile.server.store.audit import Happened
from relayfile.server.store.database import Database
from relayfile.server.store.families import Stored
from relayfile.wire.auth import AuditRow, SessionRow, SignedOut, WhoAmI, rfc3339

_PAGE: Final = 200


class SessionRoutes:
    """What people see of sign-ins. An owner sees everyone's, others their own (R26)."""

    def __init__(self, database: Database, bearer: Bearer, grants: Grants) -> None:
        self._database = database
        self._bearer = bearer
        self._grants = grants

    def routes(self) -> list[BaseRoute]:
        """The routes below `/api/v1/auth`."""
        return [
            Route("/api/v1/auth/whoami", self.whoami, methods=["GET"]),
            Route("/api/v1/auth/sessions", self.sessions, methods=["GET"]),
            Route("/api/v1/auth/sessions", self.sign_out_everywhere, methods=["DELETE"]),
            Route("/api/v1/auth/sessions/{id}", self.revoke, methods=["DELETE"]),
            Route("/api/v1/auth/events", self.events, methods=["GET"]),
        ]

    async def whoami(self, request: Request) -> Response:
        """The account and family behind the token."""
        principal = await caller(self._bearer, request)
        account = await self._account(principal)
        family = principal.family
        stored = None
        if family is not None:
            stored = await self._database.read(lambda connection: families.load(connection, family))
        answer = WhoAmI(
            account=account.id,
            username=account.username,
            kind=account.kind,
            family=principal.family,
            generation=stored.family.generation if stored else None,
            scope=" ".join(sorted(principal.scopes)),
            expires_at=rfc3339(principal.expires_at),
            token=principal.subject if principal.token is not None else None,
        )
        return _json(answer)

    async def sessions(self, request: Request) -> Response:
        """Every family that can still renew."""
        principal, seen = await self._manager(request)
        now = time.time()

        def query(connection: apsw.Connection) -> list[SessionRow]:
            rows = families.living(connection, account=seen, now=now)
            names = {each: accounts.by_id(connection, each) for each in {row.holder.account for row in rows}}
            return [_session(row, names[row.holder.account], principal.family) for row in rows]

        return _json(await self._database.read(query))

    async def revoke(self, request: Request) -> Response:
        """That sign-in has ended, with what it delegated and the daemon credentials it enrolled (R10).

        Their sockets close within a second (R3).
        """
        principal, seen = await self._manager(request)
        by = await self._account(principal)
        await self._grants.end(request.path_params["id"], client_of(request), account=seen, by=by.username)
        return Response(status_code=204, headers=NO_STORE)

    async def sign_out_everywhere(self, request: Request) -> Response:
        """Every sign-in, delegation and daemon credential of the caller's own account has ended, this one too."""
        principal = await manager(self._bearer, request)
        if request.query_params.get("all") != "1":
            raise UsageError(
                "say all=1 to end every credential of this account", hint="DELETE /api/v1/auth/sessions/ID ends one"
            )
        ended = await self._grants.end_all(await self._account(principal), client_of(request))
        return _json(SignedOut(ended))

    async def events(self, request: Request) -> Response:
        """The audit log, oldest first, after the `after`th event."""
        _, seen = await self._manager(request)
        after, limit = _number(request, "after", 0), _number(request, "limit", _PAGE)
        rows = await self._database.read(
            lambda connection: audit.page(connection, account=seen, after=after, limit=limit)
        )
        return _json([_event(row) for row in rows])

    async def _manager(self, request: Request) -> tuple[Principal, str | None]:
        """Who asks, and whose sign-ins they may see: None is everyone's."""
        principal = await manager(self._bearer, request)
        account = await self._account(principal)
        return principal, None if account.kind == OWNER else account.id

    async def _account(self, principal: Principal) -> Account:
        account = await self._database.read(lambda connection: accounts.by_id(connection, principal.account))
        if account is None:
            raise LoginRequired("this account is no more", code="token_revoked")
        return account


def _session(stored: Stored, account: Account | None, current: str | None) -> SessionRow:
    holder, family = stored.holder, stored.family
    last = stored.last or holder.client
    return SessionRow(
        id=holder.id,
        kind=holder.kind,
        client=holder.client.client,
        host=holder.client.host,
        pid=holder.client.pid,
        profile=holder.profile,
        mirror=holder.mirror,
        created_at=rfc3339(family.begun_at),
        last_used_at=rfc3339(family.renewed_at),
        expires_at=rfc3339(family.expires_at),
        current=holder.id == current,
        old_clients=family.old_clients,
        account=holder.account,
        username=account.username if account else "",
        workspace=holder.workspace,
        parent=holder.parent,
        last_client=last.client,
        last_host=last.host,
        last_pid=last.pid,
    )


def _event(row: Happened) -> AuditRow:
    client = row.client
    return AuditRow(
        row.n,
        rfc3339(row.at),
        row.event,
        row.family,
        row.generation,
        client.client,
        client.host,
        client.pid,
        row.reason,
    )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"{name} must be a number")
    return int(text)


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json", headers=NO_STORE)
