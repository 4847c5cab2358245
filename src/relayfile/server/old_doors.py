"""The doors that v1 clients know: `cli/login` and `auth/token/refresh` (3-protocol B.3.1, B.3.2).

A sign-in that begins here is flagged `old_clients`: its clients send no nonce, so a consumed token of theirs is
refused and ends nothing (R2). With an overlap of 0 they meet exactly the strict cloud of the field report.
"""

from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from relayfile.core.families import Outcome
from relayfile.errors import Forbidden, LoginRequired, RelayfileError, Unavailable, UsageError
from relayfile.server.accounts import Accounts
from relayfile.server.auth import NO_STORE, SIGN_IN_SCOPES, outcome_header
from relayfile.server.dashboard.pages import Pages, sentence
from relayfile.server.grants import Grants, Issued, Wish
from relayfile.server.intake import Place, address_of, body, client_of, form
from relayfile.server.openid import OpenID
from relayfile.server.store.accounts import Account
from relayfile.server.store.openid import Errand
from relayfile.server.throttle import Throttle
from relayfile.wire.auth import V1Grant, V1Login, V1Refresh, rfc3339

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})
"""Not `[::1]`: the page's policy names where its form may lead, and cannot name an IPv6 address (CSP level 3)."""


class OldDoors:
    """Sign-in and renewal as v1 clients do them."""

    def __init__(self, grants: Grants, people: Accounts, pages: Pages, place: Place, openid: OpenID | None) -> None:
        self._grants = grants
        self._people = people
        self._pages = pages
        self._place = place
        self._openid = openid
        self._opened = Throttle(30, 60.0)

    def routes(self) -> list[BaseRoute]:
        """The v1 sign-in routes."""
        return [
            Route("/api/v1/auth/token/refresh", self.refresh, methods=["POST"]),
            Route("/api/v1/cli/login", self.show, methods=["GET"]),
            Route("/api/v1/cli/login", self.login, methods=["POST"]),
        ]

    async def refresh(self, request: Request) -> Response:
        """The next pair, or 403 `invalid_grant`: v1 knows no other word."""
        token = (await body(request, V1Refresh)).refresh_token
        if not token:
            return _answer({"error": "Missing refreshToken"}, 400)
        answer = await self._grants.renew(token, "", client_of(request), address_of(request))
        if isinstance(answer, Issued):
            return _answer(self._grant(request, answer), headers=outcome_header(answer))
        if answer.outcome is Outcome.BUSY:
            wait = {"Retry-After": str(max(1, round(answer.retry_after_s + 0.5)))}
            return _answer({"error": "rate_limited", "message": "renewed too often; wait"}, 429, wait)
        refusal = {
            "error": "invalid_grant",
            "message": "Invalid or expired refresh token",
            "error_reason": answer.reason,
            "family": answer.family,
            "generation": answer.generation,
        }
        return _answer(refusal, 403)

    async def show(self, request: Request) -> Response:
        """The page on which a person signs a program on their own machine in."""
        self._opened.check(address_of(request))
        self._opened.count(address_of(request))
        redirect_uri = _loopback(request.query_params.get("redirect_uri", ""))
        return self._page(request, redirect_uri, request.query_params.get("state", ""))

    async def login(self, request: Request) -> Response:
        """A v1 pair: for the JSON body of a program at once, for the page's form by way of its loopback address."""
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = await body(request, V1Login)
            account = await self._people.authenticate(asked.username, asked.password, address_of(request))
            return _answer(self._grant(request, await self._begin(request, account)))
        fields = await form(request)
        redirect_uri, state = _loopback(fields.get("redirect_uri", "")), fields.get("state", "")
        username = fields.get("username", "")[:200]
        try:
            self._pages.check(request, fields, f"loopback {redirect_uri}")
            if fields.get("answer") == "provider" and self._openid is not None:
                return await self._openid.leave(request, Errand(redirect_uri=redirect_uri, client_state=state[:500]))
            if fields.get("answer") != "approve":
                return _back(redirect_uri, {"state": state, "error": "access_denied"})
            account = await self._people.authenticate(username, fields.get("password", ""), address_of(request))
        except (LoginRequired, Forbidden, Unavailable) as error:
            return self._page(request, redirect_uri, state, username=username, refusal=error)
        return await self.signed_in(request, account, redirect_uri, state)

    async def signed_in(self, request: Request, account: Account, redirect_uri: str, state: str) -> Response:
        """The browser takes a v1 pair of `account` to the program that listens at `redirect_uri`."""
        grant = self._grant(request, await self._begin(request, account))
        answer = {
            "state": state,
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "access_token_expires_at": grant.access_token_expires_at,
            "refresh_token_expires_at": grant.refresh_token_expires_at,
            "api_url": grant.api_url,
        }
        return _back(redirect_uri, answer)

    async def _begin(self, request: Request, account: Account) -> Issued:
        wish = Wish(client_of(request), " ".join(SIGN_IN_SCOPES), old_clients=True, door="cli_login")
        return await self._grants.begin(account, wish)

    def _grant(self, request: Request, issued: Issued) -> V1Grant:
        if issued.access is None:
            raise UsageError("this token is renewed at /v1/tokens/refresh")
        return V1Grant(
            access_token=issued.access.reveal(),
            access_token_expires_at=rfc3339(issued.access_expires_at),
            refresh_token=issued.refresh.reveal(),
            refresh_token_expires_at=rfc3339(issued.stored.family.expires_at),
            api_url=self._place.base(request),
        )

    def _page(
        self,
        request: Request,
        redirect_uri: str,
        state: str,
        *,
        username: str = "",
        refusal: RelayfileError | None = None,
    ) -> Response:
        status = 200 if refusal is None else 429 if isinstance(refusal, Unavailable) else 403
        target = urlsplit(redirect_uri).netloc
        return self._pages.page(
            request,
            "loopback.html",
            about=f"loopback {redirect_uri}",
            status=status,
            targets=f"http://{target}",
            target=target,
            redirect_uri=redirect_uri,
            state=state[:500],
            username=username,
            notice=sentence(refusal),
            provider=self._openid.name if self._openid else "",
            action="/api/v1/cli/login",
            errand={"redirect_uri": redirect_uri, "state": state[:500]},
        )


def _loopback(redirect_uri: str) -> str:
    """`redirect_uri`, which leads to a program on the person's own machine and nowhere else.

    Raises:
        UsageError: code `invalid_redirect_uri`: it does not. Tokens go only there.
    """
    try:
        where = urlsplit(redirect_uri)
        port = where.port
    except ValueError:
        where, port = urlsplit(""), None
    plain = (
        redirect_uri.isascii() and redirect_uri.isprintable() and "\\" not in redirect_uri and " " not in redirect_uri
    )
    if not plain or where.scheme != "http" or where.hostname not in _LOOPBACK or not port or "@" in where.netloc:
        raise UsageError(
            "redirect_uri must be http://127.0.0.1:PORT/… or http://localhost:PORT/…", code="invalid_redirect_uri"
        )
    return redirect_uri


def _back(redirect_uri: str, answer: dict[str, str]) -> Response:
    joint = "&" if urlsplit(redirect_uri).query else "?"
    headers = {**NO_STORE, "Referrer-Policy": "no-referrer"}
    return RedirectResponse(f"{redirect_uri.partition('#')[0]}{joint}{urlencode(answer)}", 303, headers)


def _answer(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(answer), status, NO_STORE | (headers or {}), "application/json")
