"""`/device`: the page where a person approves a sign-in that waits for them (RFC 8628 section 3.3).

The password is asked for with each approval, so there is no browser session to ride on.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile.core.scopes import ACCOUNT
from relayfile.errors import Forbidden, LoginRequired, RelayfileError, Unavailable, UsageError
from relayfile.server.accounts import Accounts
from relayfile.server.dashboard.pages import STYLE_PATH, Pages, sentence
from relayfile.server.device import Devices, shown
from relayfile.server.intake import address_of, form
from relayfile.server.openid import OpenID
from relayfile.server.store.accounts import Account
from relayfile.server.store.openid import Errand
from relayfile.server.store.tokens import Device
from relayfile.server.throttle import Throttle

_IN_WORDS: Final = {
    "fs:read": "read files in your workspaces",
    "fs:write": "change files in your workspaces",
    "ops:read": "see what became of its writes",
    "sync:read": "see how far synchronisation is",
    "sync:trigger": "start a synchronisation",
    ACCOUNT: "create and delete workspaces, see and end sign-ins",
}
_UNKNOWN: Final = "No sign-in waits under this code. Codes are good for ten minutes and for one answer."


class DevicePage:
    """The page's two routes and its style sheet."""

    def __init__(self, devices: Devices, people: Accounts, pages: Pages, openid: OpenID | None) -> None:
        self._devices = devices
        self._people = people
        self._pages = pages
        self._openid = openid
        self._wrong_codes = Throttle(20, 300.0)

    def routes(self) -> list[BaseRoute]:
        """`/device` and what it needs."""
        return [
            Route("/device", self.show, methods=["GET"]),
            Route("/device", self.answer, methods=["POST"]),
            Route(STYLE_PATH, self._pages.style, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Asks for the code, or shows what waits under it."""
        typed = request.query_params.get("user_code", "")[:16]
        if not typed:
            return self._ask(request, "")
        device = await self._waiting(request, typed)
        return device if isinstance(device, Response) else self._approve(request, device)

    async def answer(self, request: Request) -> Response:
        """Takes the person's yes or no."""
        try:
            fields = await form(request)
        except UsageError as error:
            return self._ask(request, "", error.message, error.status)
        device = await self._waiting(request, fields.get("user_code", "")[:16])
        if isinstance(device, Response):
            return device
        username = fields.get("username", "")[:200]
        try:
            self._pages.check(request, fields, f"device {device.user_code}")
            if fields.get("answer") == "provider" and self._openid is not None:
                return await self._openid.leave(request, Errand(user_code=device.user_code))
            if fields.get("answer") != "approve":
                await self._devices.answer(device, None)
                return self._done(request, "Denied", "The program that asked was told no. You can close this page.")
            account = await self._people.authenticate(username, fields.get("password", ""), address_of(request))
            return await self._approved(request, device, account)
        except UsageError as error:
            return self._ask(request, "", error.message, 409)
        except (LoginRequired, Forbidden, Unavailable) as error:
            return self._approve(request, device, username=username, refusal=error)

    async def approved(self, request: Request, user_code: str, account: Account) -> Response:
        """`account`, who saw the page and is known by other means, approves what waits under the code."""
        device = await self._waiting(request, user_code)
        if isinstance(device, Response):
            return device
        return await self._approved(request, device, account)

    async def _approved(self, request: Request, device: Device, account: Account) -> Response:
        await self._devices.answer(device, account)
        said = f"{device.client.client} is signed in as {account.username}. You can close this page."
        return self._done(request, "Approved", said, good=True)

    async def _waiting(self, request: Request, typed: str) -> Device | Response:
        """What waits under this code, or the page that says nothing does."""
        address = address_of(request)
        try:
            self._wrong_codes.check(address)
        except Unavailable as error:
            return self._ask(request, typed, f"Too many codes. Try again in {error.retry_after_s or 60:.0f} s.", 429)
        device = await self._devices.waiting(typed)
        if device is None:
            self._wrong_codes.count(address)
            return self._ask(request, typed, _UNKNOWN, 404)
        return device

    def _ask(self, request: Request, typed: str, notice: str = "", status: int = 200) -> Response:
        return self._pages.page(request, "code.html", status=status, typed=typed, notice=notice)

    def _approve(
        self, request: Request, device: Device, *, username: str = "", refusal: RelayfileError | None = None
    ) -> Response:
        status = 200 if refusal is None else 429 if isinstance(refusal, Unavailable) else 403
        return self._pages.page(
            request,
            "approve.html",
            about=f"device {device.user_code}",
            status=status,
            user_code=shown(device.user_code),
            client=device.client.client,
            host=device.client.host,
            pid=device.client.pid,
            scopes=[_IN_WORDS.get(word, word) for word in device.scopes.split()],
            old_clients=device.old_clients,
            username=username,
            notice=sentence(refusal),
            provider=self._openid.name if self._openid else "",
            action="/device",
            errand={"user_code": shown(device.user_code)},
        )

    def _done(self, request: Request, headline: str, said: str, *, good: bool = False) -> Response:
        return self._pages.page(request, "done.html", headline=headline, said=said, good=good)
