"""A server that means harm: relayfile's routes on a real socket, saying whatever a test has written down."""

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from aiohttp import WSMsgType, web

from fake_authority import METADATA
from relayfile.core.digest import leaf
from relayfile.model import Digest, TreePath
from relayfile.wire import delta

WORKSPACE = "rw_00000000000000ff"
EPOCH = "e1"
_PASSWORD_TOO = {**METADATA, "grant_types_supported": [*METADATA["grant_types_supported"], "password"]}

Says = Callable[[web.Request], Awaitable[web.StreamResponse]]


def digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def put(path: str, position: int, body: bytes = b"x", **lies) -> delta.Item:
    """An item as an honest server would send it, but for `lies`."""
    told = {"digest": digest_of(body), "size": len(body), "body": body} | lies
    return delta.Item(path, position, "put", **told)


class Hostile:
    """Use it in a `with`. `items` are the log; `frames`, when set, are sent as they are in place of it.

    `bodies` answers `fs/blobs`; `live` are texts sent on the socket after it opened; `instead` maps a route to an
    answerer of the test's own.
    """

    def __init__(self, *items: delta.Item) -> None:
        self.items: Sequence[delta.Item] = items
        self.frames: bytes | None = None
        self.bodies: dict[bytes, bytes] = {}
        self.live: Sequence[str] = ()
        self.instead: dict[str, Says] = {}
        self.requests: Counter[str] = Counter()
        self.seen_bearers: set[str | None] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._ready = threading.Event()
        self._over: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def hang_up(self) -> None:
        """Live sockets were closed, so that whoever listened asks for the log again."""
        for socket in list(self._sockets):
            asyncio.run_coroutine_threadsafe(socket.close(), self._loop).result(10)

    @property
    def head(self) -> int:
        return max((item.position for item in self.items), default=0)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        route = request.path.rpartition(f"/{WORKSPACE}/")[2]
        self.requests[route] += 1
        self.seen_bearers.add(request.headers.get("Authorization"))
        if said := self.instead.get(route):
            return await said(request)
        match route:
            case "/.well-known/oauth-authorization-server":
                return web.json_response(_PASSWORD_TOO)
            case "/oauth/token":
                return web.json_response(self._grant())
            case "/api/v1/workspaces":
                row = {"workspaceId": WORKSPACE, "name": "w", "role": "owner", "createdAt": "2026-01-01T00:00:00Z"}
                return web.json_response([{**row, "relayfileUrl": self.url}])
            case "fs/delta":
                return _frames(self.frames if self.frames is not None else self._log(request))
            case "fs/blobs":
                asked = [bytes.fromhex(text) for text in (await request.json())["digests"]]
                found = [delta.Blob(digest, self.bodies.get(digest)) for digest in asked]
                return _frames(b"".join(map(delta.encode, [*found, delta.End(0)])))
            case "fs/digest":
                return web.json_response(
                    {"epoch": EPOCH, "position": self.head, "treeDigest": self._sum(), "files": 1}
                )
            case "fs/ws":
                return await self._socket(request)
        return web.json_response({"code": "not_found", "message": "nothing here"}, status=404)

    def _grant(self) -> dict[str, object]:
        self.requests["grants"] += 1
        access = f"cld_at_hostile{self.requests['grants']}"
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": 1800.0,
            "refresh_token": f"cld_rt_f1.{self.requests['grants']}.mac",
            "refresh_token_expires_in": 86400.0,
            "absolute_expires_at": "2099-01-01T00:00:00Z",
            "scope": "fs:read fs:write",
            "family": "f1",
            "generation": self.requests["grants"],
            "api_url": self.url,
            "account": "ac_1",
            "username": "ada",
        }

    def _sum(self) -> str:
        """The digest of the log's files, as if it were honest."""
        leaves = (leaf(TreePath(item.path.removeprefix("/")), Digest(item.digest), item.mode) for item in self.items)
        return (sum(leaves) % (1 << 256)).to_bytes(32, "big").hex()

    def _log(self, request: web.Request) -> bytes:
        since = int(request.query.get("since", "0"))
        items = [item for item in self.items if item.position > since]
        return b"".join(map(delta.encode, [delta.Head(EPOCH, self.head), *items, delta.End(self.head)]))

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        for text in self.live:
            await socket.send_str(text)
        if not self.live and request.query["cursor"] != f"evt_{self.head}":
            await socket.close()  # the log has grown since it was read; an honest server would send what is missing
        while not socket.closed and (await socket.receive()).type is not WSMsgType.CLOSE:
            pass
        self._sockets.discard(socket)
        return socket


def _frames(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=delta.CONTENT_TYPE)
