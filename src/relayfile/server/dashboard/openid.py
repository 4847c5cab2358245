"""`/openid/callback`: where a browser comes back from the provider, and goes on with what it left for."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile.errors import RelayfileError, Unavailable
from relayfile.server.dashboard.device import DevicePage
from relayfile.server.dashboard.pages import Pages, sentence
from relayfile.server.device import shown
from relayfile.server.old_doors import OldDoors
from relayfile.server.openid import CALLBACK, OpenID
from relayfile.server.store.openid import Errand


class OpenIDReturn:
    """The one route that a provider sends people to."""

    def __init__(self, openid: OpenID, device_page: DevicePage, old_doors: OldDoors, pages: Pages) -> None:
        self._openid = openid
        self._device_page = device_page
        self._old_doors = old_doors
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        """`/openid/callback`."""
        return [Route(CALLBACK, self.returned, methods=["GET"])]

    async def returned(self, request: Request) -> Response:
        """What the person left for is done as who they are, or a page says why not."""
        try:
            errand = await self._openid.errand(request)
        except RelayfileError as error:
            return self._refused(request, error, "/device")
        try:
            account = await self._openid.account(request)
            if errand.user_code is not None:
                return await self._device_page.approved(request, errand.user_code, account)
            return await self._old_doors.signed_in(request, account, errand.redirect_uri or "", errand.client_state)
        except RelayfileError as error:
            return self._refused(request, error, _again(errand))

    def _refused(self, request: Request, error: RelayfileError, again: str) -> Response:
        status = error.status if isinstance(error, Unavailable) else 403
        return self._pages.page(
            request,
            "refused.html",
            status=status,
            said=sentence(error),
            hint=error.hint or "",
            again=again,
            provider=self._openid.name,
        )


def _again(errand: Errand) -> str:
    """Where the same errand can be begun once more, also in another way."""
    if errand.user_code is not None:
        return "/device?" + urlencode({"user_code": shown(errand.user_code)})
    query = {"redirect_uri": errand.redirect_uri or "", "state": errand.client_state}
    return "/api/v1/cli/login?" + urlencode(query)
