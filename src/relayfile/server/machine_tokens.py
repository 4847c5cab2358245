"""Machine tokens: made by a person for programs without one, listed, revoked: `/api/v1/auth/tokens`.

A token acts for who made it, within scopes that were no wider than its maker's sign-in; their memberships at each use
bound it further. It is independent of that sign-in's end: it ends by its own expiry, or when it is revoked.
"""

import secrets
import time
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile.core import machine_tokens as rules
from relayfile.errors import LoginRequired, NotFound, UsageError
from relayfile.server.auth import NO_STORE
from relayfile.server.bearer import Bearer
from relayfile.server.intake import body, client_of, manager
from relayfile.server.store import accounts, audit, machine_tokens, tokens
from relayfile.server.store.accounts import OWNER, Account
from relayfile.server.store.database import Database
from relayfile.server.store.machine_tokens import MachineToken
from relayfile.wire.auth import ClientName, rfc3339
from relayfile.wire.machine_tokens import MACHINE_PREFIX, TokenMade, TokenRequest, TokenRow

_TOKENS: Final = "/api/v1/auth/tokens"


class MachineTokenRoutes:
    """What people do with machine tokens. An owner sees everyone's, others their own."""

    def __init__(self, database: Database, bearer: Bearer) -> None:
        self._database = database
        self._bearer = bearer

    def routes(self) -> list[BaseRoute]:
        """The routes of machine tokens."""
        return [
            Route(_TOKENS, self.listed, methods=["GET"]),
            Route(_TOKENS, self.make, methods=["POST"]),
            Route(f"{_TOKENS}/{{id}}", self.revoke, methods=["DELETE"]),
        ]

    async def make(self, request: Request) -> Response:
        """A new token; 409 `token_exists` when a living one of mine has the name."""
        principal = await manager(self._bearer, request)
        asked = await body(request, TokenRequest)
        workspace = asked.workspace
        if workspace is not None:
            await self._bearer.access(principal, workspace)
        name, life_s = rules.name(asked.name), rules.life_s(asked.ttl_seconds)
        words = rules.granted(asked.scopes, principal.scopes, workspace)
        token, client = MACHINE_PREFIX + secrets.token_urlsafe(32), client_of(request)

        def work(connection: apsw.Connection) -> MachineToken:
            now, account = time.time(), _account(connection, principal.account)
            alive = machine_tokens.all_of(connection, account=account.id, alive_at=now)
            if any(one.name == name for one in alive):
                raise UsageError(
                    f"you already have a machine token named {name!r}; none was made",
                    code="token_exists",
                    status=409,
                    hint="revoke it first, or choose another name",
                )
            if len(alive) >= rules.MOST:
                raise UsageError(f"an account has at most {rules.MOST} machine tokens", code="too_many_tokens")
            made = MachineToken(
                id="mt_" + secrets.token_hex(8),
                account=account.id,
                username=account.username,
                name=name,
                scopes=tuple(words),
                workspace=workspace,
                created_at=now,
                expires_at=now + life_s,
                made_by=_by(account, client),
            )
            machine_tokens.insert(connection, made, tokens.digest(token))
            _record(connection, "issued", made, client=client, now=now, reason=f"machine token {name!r}")
            return made

        made = await self._database.write(work)
        return _json(TokenMade(token, _row(made, made.created_at)), 201)

    async def listed(self, request: Request) -> Response:
        """Those that are good; with `all=1` also those that were."""
        principal = await manager(self._bearer, request)
        everything = request.query_params.get("all") == "1"
        now = time.time()

        def query(connection: apsw.Connection) -> list[MachineToken]:
            seen = _seen(_account(connection, principal.account))
            return machine_tokens.all_of(connection, account=seen, alive_at=None if everything else now)

        return _json([_row(token, now) for token in await self._database.read(query)])

    async def revoke(self, request: Request) -> Response:
        """The token is refused from the next request on, and its sockets close within a second."""
        principal = await manager(self._bearer, request)
        wanted, client = request.path_params["id"], client_of(request)

        def work(connection: apsw.Connection) -> MachineToken:
            now, account = time.time(), _account(connection, principal.account)
            found = machine_tokens.by_id(connection, wanted)
            if found is None or _seen(account) not in {None, found.account} or found.revoked_at is not None:
                raise NotFound(
                    f"no machine token {wanted[:40]!r} that could be revoked",
                    code="token_not_found",
                    hint="`relayfile token list` shows them",
                )
            by = _by(account, client)
            machine_tokens.revoke(connection, found.id, by, now)
            reason = f"machine token {found.name!r} by {by}"
            _record(connection, "revoked", found, client=client, now=now, reason=reason)
            return found

        # `then`: once it is committed it is told, also when whoever asked has gone meanwhile.
        await self._database.write(work, then=lambda gone: self._bearer.ended([gone.id], "revoked"))
        return Response(status_code=204, headers=NO_STORE)


def _account(connection: apsw.Connection, account: str) -> Account:
    found = accounts.by_id(connection, account)
    if found is None:
        raise LoginRequired("this account is no more", code="token_revoked")
    return found


def _seen(account: Account) -> str | None:
    """Whose tokens this account may see: None is everyone's."""
    return None if account.kind == OWNER else account.id


def _by(account: Account, client: ClientName) -> str:
    return f"{account.username} from {client.host}"


def _record(
    connection: apsw.Connection, event: str, token: MachineToken, *, client: ClientName, now: float, reason: str
) -> None:
    audit.record(connection, event, now=now, client=client, account=token.account, family=token.id, reason=reason)


def _row(token: MachineToken, now: float) -> TokenRow:
    return TokenRow(
        id=token.id,
        name=token.name,
        state="revoked" if token.revoked_at is not None else "live" if token.expires_at > now else "expired",
        scopes=list(token.scopes),
        workspace=token.workspace,
        account=token.account,
        username=token.username,
        made_by=token.made_by,
        created_at=rfc3339(token.created_at),
        expires_at=rfc3339(token.expires_at),
        first_used_at=_moment(token.first_used_at),
        last_used_at=_moment(token.last_used_at),
        revoked_at=_moment(token.revoked_at),
        revoked_by=token.revoked_by,
    )


def _moment(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _json(answer: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, NO_STORE, "application/json")
