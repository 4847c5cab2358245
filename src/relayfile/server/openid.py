"""Sign-in through an OpenID Connect provider: a browser leaves for it, comes back, and is somebody here.

The state that goes with the browser is good once, for ten minutes, and in that browser only.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

import apsw
from starlette.requests import Request
from starlette.responses import Response

from relayfile.core.admission import Person, Rules, Standing, TurnedAway, admit
from relayfile.errors import Forbidden, LoginRequired, RelayfileError, UsageError
from relayfile.server.accounts import hashed
from relayfile.server.dashboard.pages import Pages
from relayfile.server.intake import Place, address_of
from relayfile.server.keys import Keys
from relayfile.server.provider import Attempt, Provider
from relayfile.server.requestlog import asked
from relayfile.server.store import accounts, openid, tokens
from relayfile.server.store.accounts import Account
from relayfile.server.store.database import Database
from relayfile.server.store.openid import Errand
from relayfile.server.throttle import Throttle

COOKIE: Final = "relayfile_openid"
CALLBACK: Final = "/openid/callback"
_GOOD_FOR_S: Final = 600


class OpenID:
    """One provider's way in."""

    def __init__(
        self, provider: Provider, rules: Rules, *, database: Database, keys: Keys, pages: Pages, place: Place
    ) -> None:
        self.name = provider.name
        self._provider = provider
        self._rules = rules
        self._database = database
        self._keys = keys
        self._pages = pages
        self._place = place
        self._left = Throttle(30, 60.0)

    async def leave(self, request: Request, errand: Errand) -> Response:
        """A page that takes the browser to the provider. What it left for is remembered.

        Raises:
            Unavailable: the provider cannot be reached; 429: too many from this address.
        """
        self._left.check(address_of(request))
        self._left.count(address_of(request))
        state, browser = secrets.token_urlsafe(32), request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        where = await self._provider.address(self._attempt(request, state))
        now = time.time()
        await self._database.write(
            lambda connection: openid.begin(
                connection,
                errand,
                state=tokens.digest(state),
                browser=tokens.digest(browser),
                now=now,
                until=now + _GOOD_FOR_S,
            )
        )
        page = self._pages.page(request, "leaving.html", provider=self.name, where=where)
        # By a header and not by a redirect: a form's policy also binds the redirects that follow it, and where a
        # provider sends people on its own way is not known here.
        page.headers["Refresh"] = f"0; url={where}"
        secure = request.url.scheme == "https"
        # Lax: the browser comes back from another site.
        page.set_cookie(COOKIE, browser, max_age=_GOOD_FOR_S, httponly=True, samesite="lax", secure=secure)
        return page

    async def errand(self, request: Request) -> Errand:
        """What this browser left for. It comes back once.

        Raises:
            Forbidden: code `foreign_answer`: it did not leave with this state, or too long ago.
        """
        state, browser = request.query_params.get("state", ""), request.cookies.get(COOKIE, "")
        now = time.time()
        found = await self._database.write(
            lambda connection: openid.take(connection, tokens.digest(state), tokens.digest(browser), now)
        )
        if found is None:
            raise Forbidden(
                "this sign-in was not begun in this browser, took too long, or is over already", code="foreign_answer"
            )
        return found

    async def account(self, request: Request) -> Account:
        """Who came back; an account is made for them when the rules have room for them. After `errand`.

        Raises:
            LoginRequired: the person or the provider said no, or nothing was proved.
            Forbidden: they are somebody, but may not come in.
            Unavailable: the provider cannot be asked.
        """
        answer = request.query_params
        if (error := answer.get("error")) is not None:
            if error == "access_denied":
                raise LoginRequired(f"{self.name} was told no", code="access_denied")
            raise LoginRequired(f"{self.name} answered {error[:80]!r}", code="provider_refused")
        if not (code := answer.get("code")):
            raise UsageError(f"{self.name} sent no code")
        attempt = self._attempt(request, answer.get("state", ""))
        person = await self._provider.person(attempt, code, answer.get("iss"))
        password = await asyncio.to_thread(hashed, secrets.token_urlsafe(32))
        account = await self._database.write(self._admitted(person, password))
        if isinstance(account, RelayfileError):
            raise account
        asked(request.scope).account = account.id
        return account

    def _attempt(self, request: Request, state: str) -> Attempt:
        return Attempt(
            state,
            self._keys.form_mark(f"\0openid nonce\0{state}"),
            self._keys.form_mark(f"\0openid verifier\0{state}"),
            self._place.base(request) + CALLBACK,
        )

    def _admitted(self, person: Person, password: str) -> Callable[[apsw.Connection], Account | Forbidden]:
        """`password` is one that nobody knows, hashed: a fresh account has no other way in."""
        issuer = self._provider.issuer

        def work(connection: apsw.Connection) -> Account | Forbidden:
            def standing(username: str) -> Standing:
                account = accounts.by_username(connection, username)
                if account is None:
                    return Standing.FREE
                return Standing.LINKED if openid.is_linked(connection, issuer, account.id) else Standing.UNLINKED

            linked = openid.linked(connection, issuer, person.subject)
            verdict = admit(person, self._rules, linked.username if linked else None, standing)
            if isinstance(verdict, TurnedAway):
                return Forbidden(verdict.why, code=verdict.code, hint="ask whoever runs this server")
            now = time.time()
            account = accounts.by_username(connection, verdict.username) or accounts.create(
                connection, verdict.username, password, accounts.PERSON, now
            )
            if verdict.fresh:
                openid.link(
                    connection, account.id, issuer=issuer, subject=person.subject, email=person.email, now=now
                )
            return account

        return work
