"""A real aiohttp server that answers as a test has written down, and keeps what it was asked."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from relayfile.model import Secret

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scripted:
    """Use it in an `async with`. `routes` maps `METHOD /path` to an answerer; `seen` are the requests, in order."""

    def __init__(self, routes: dict[str, Answerer]):
        self.routes = routes
        self.seen: list[web.Request] = []

    async def __aenter__(self):
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _answer(self, request):
        self.seen.append(request)
        answerer = self.routes.get(f"{request.method} {request.path}")
        if answerer is None:
            return web.json_response({"code": "not_found", "message": "route not found"}, status=404)
        return await answerer(request)


class Tickets:
    """Tokens that never end: `t1` until it is refused, then `t2`, …"""

    def __init__(self):
        self.number = 1
        self.refused: list[str] = []

    async def token(self):
        return Secret(f"t{self.number}")

    def rejected(self, token, *, over=False):
        self.refused.append(token.reveal())
        self.number += 1


def error(status, code, message="no", **more):
    return web.json_response({"code": code, "message": message, "correlationId": "c", **more}, status=status)
