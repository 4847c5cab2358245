"""The live socket (v1 `fs/ws`, protocol A5): each change as one frame, read from the log whenever the hub wakes.

A socket holds no queue: it knows the position it has sent, and the log has the rest. Sockets opened with `marks=1`
get `previous` and marks (R22), and are sent back to the delta feed (1013) when they fall behind.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from relayfile.core.patterns import matcher
from relayfile.errors import CursorExpired, RelayfileError
from relayfile.model import TreePath
from relayfile.server import problems
from relayfile.server.bearer import WORKSPACE_DELETED, Access
from relayfile.server.contents import as_text
from relayfile.server.door import Door
from relayfile.server.feed import EVENT_TYPES, v1_position
from relayfile.server.hub import Hub
from relayfile.server.requestlog import correlation_of
from relayfile.server.store import feed as store
from relayfile.server.store.database import Database
from relayfile.server.store.feed import DELETED, Event
from relayfile.server.views import READ, View, Views
from relayfile.wire import data, live
from relayfile.wire.live import LiveMark

PAGE_EVENTS: Final = 64
PAGE_BYTES: Final = 2 * 1024 * 1024
INLINE_BYTES: Final = 1_048_576
MAX_BEHIND: Final = 4_096
REPLAYED: Final = 100
MARK_SOON_S: Final = 0.25
"""A mark this long after the last change, so that who waits for proof need not wait for the heartbeat."""

_FAR_BEHIND: Final = "you have fallen behind; reconnect from your cursor"
_OTHER_VIEW: Final = "what you may see has changed; reconnect from your cursor"


@dataclass(frozen=True, slots=True)
class Page:
    """The next changes behind a position, as one transaction saw them. `whole`: nothing lies behind them."""

    view: View
    events: list[Event]
    whole: bool


@dataclass(frozen=True, slots=True)
class Live:
    """The route of the live socket."""

    door: Door
    database: Database
    views: Views
    hub: Hub

    async def upgrade(self, _: Request) -> Response:
        """`GET fs/ws` without an upgrade."""
        return Response("this route is a WebSocket\n", 426, {"Upgrade": "websocket"}, "text/plain")

    async def socket(self, socket: WebSocket) -> None:
        """`GET fs/ws`, until either side ends it."""
        asked = socket.query_params
        try:
            access = await self.door.enter(socket, READ, token=asked.get("token"))
            patterns = asked.getlist("path")
            sender = await self._sender(socket, access, patterns)
        except RelayfileError as error:
            await socket.send_denial_response(problems.answer(error, correlation_of(socket.scope)))
            return
        await socket.accept()
        code, reason = await _first_end(
            sender.run(), _listen(socket), self.door.bearer.revoked(access.principal, access.workspace)
        )
        if code:
            with suppress(RuntimeError, WebSocketDisconnect):  # it may have gone meanwhile
                await socket.close(code, reason.encode()[:120].decode(errors="ignore"))

    async def page(self, access: Access, since: int, *, at_once: bool) -> Page:
        """What follows `since`. `at_once` reads in the loop's own thread: some 50 µs in place of two thread hops."""

        def query(connection: apsw.Connection) -> Page:
            view = self.views.of(connection, access)
            events: list[Event] = []
            size = 0
            for event in store.events_after(
                connection, view.log, since, limit=PAGE_EVENTS, inline_bytes=INLINE_BYTES
            ):
                events.append(event)
                size += len(event.body or b"")
                if size >= PAGE_BYTES:
                    break
            return Page(view, events, len(events) < PAGE_EVENTS and size < PAGE_BYTES)

        return self.database.read_now(query) if at_once else await self.database.read(query)

    async def _sender(self, socket: WebSocket, access: Access, patterns: list[str]) -> "_Sender":
        asked = socket.query_params
        marks = asked.get("marks") == "1"
        view = await self.database.read(lambda connection: self.views.of(connection, access))
        head = view.log.head
        position = v1_position(asked.get("cursor", ""))
        if marks and asked.get("epoch"):
            view.require_epoch(asked["epoch"])
        if position is None:
            fresh = not asked.get("cursor") and asked.get("from") != "now"
            position = max(0, head - REPLAYED) if fresh else head
        elif position > head:
            if marks:
                raise CursorExpired("the log has not reached this cursor; observe again from 0")
            position = head
        return _Sender(
            self, socket, access, marks=marks, wanted=matcher(patterns), position=position, epoch=view.epoch
        )


class _Sender:
    """What one socket has been sent so far."""

    def __init__(
        self,
        route: Live,
        socket: WebSocket,
        access: Access,
        *,
        marks: bool,
        wanted: Callable[[TreePath], bool],
        position: int,
        epoch: str,
    ) -> None:
        self._route = route
        self._socket = socket
        self._access = access
        self._marks = marks
        self._wanted = wanted
        self._position = position
        self._previous = position
        self._epoch = epoch
        self._mark_at = 0.0

    async def run(self) -> tuple[int, str]:
        """Why the socket must be closed; until then every change behind its position is sent, in order."""
        hub, access = self._route.hub, self._access
        caught_up = False
        while True:
            try:
                access = await self._route.door.bearer.access(access.principal, access.workspace)
                page = await self._route.page(access, self._position, at_once=caught_up)
            except RelayfileError as error:
                return live.CLOSE_TOO_SLOW, error.message
            if self._marks and page.view.epoch != self._epoch:
                return live.CLOSE_TOO_SLOW, _OTHER_VIEW
            if self._marks and page.view.log.head - self._position > MAX_BEHIND:
                return live.CLOSE_TOO_SLOW, _FAR_BEHIND
            await self._send(page)
            caught_up = page.whole
            if page.whole:
                wait_s = await self._mark_if_due(page.view)
                await hub.wait(access.workspace, self._position, wait_s)

    async def _send(self, page: Page) -> None:
        for event in page.events:
            self._position = event.position
            if page.view.shows(event.path) and self._wanted(event.path):
                previous = self._previous if self._marks else None
                await self._socket.send_text(live.encode(_frame(event, previous)))
                self._previous = event.position
                self._mark_at = min(self._mark_at, asyncio.get_running_loop().time() + MARK_SOON_S)

    async def _mark_if_due(self, view: View) -> float:
        """In how many seconds to look again without being woken. A due mark has been sent."""
        now = asyncio.get_running_loop().time()
        if not self._marks:
            return live.MARK_EVERY_S
        self._position = view.log.head
        if now >= self._mark_at:
            digest = "" if view.name else view.log.tree_digest.hex()
            mark = LiveMark(position=self._position, tree_digest=digest, epoch=view.epoch, previous=self._previous)
            await self._socket.send_text(live.encode(mark))
            self._previous = self._position
            self._mark_at = now + live.MARK_EVERY_S
        return self._mark_at - now


async def _first_end(
    sending: Coroutine[Any, Any, tuple[int, str]],
    listening: Coroutine[Any, Any, None],
    revoked: Coroutine[Any, Any, str],
) -> tuple[int, str]:
    """The code and reason to close with, once one of the three ends; 0 when the other side went. All have ended."""
    sender, listener = asyncio.ensure_future(sending), asyncio.ensure_future(listening)
    revocation = asyncio.ensure_future(revoked)
    try:
        await asyncio.wait((sender, listener, revocation), return_when=asyncio.FIRST_COMPLETED)
        if revocation.done():
            reason = revocation.result()
            # Nothing is wrong with the token then: the delta feed will say 410.
            return live.CLOSE_TOO_SLOW if reason == WORKSPACE_DELETED else live.CLOSE_REVOKED, reason
        if listener.done():
            return 0, ""
        with suppress(WebSocketDisconnect, RuntimeError):
            return sender.result()
        return 0, ""
    finally:
        for task in (sender, listener, revocation):
            task.cancel()
        await asyncio.gather(sender, listener, revocation, return_exceptions=True)


class _Said(msgspec.Struct):
    type: str = ""


async def _listen(socket: WebSocket) -> None:
    """The other side has gone; until then its pings are answered."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        try:
            said = msgspec.json.decode(message.get("text") or message.get("bytes") or b"{}", type=_Said)
        except msgspec.MsgspecError:
            continue
        if said.type == "ping":
            await socket.send_text(live.encode(live.Pong(data.moment(time.time_ns()))))


def _frame(event: Event, previous: int | None) -> live.Event:
    ours = previous is not None
    body = event.body if event.size else b"" if event.current and event.kind != DELETED else None
    content, encoding = None, ""
    if body is not None:
        text = None if event.encoding == "base64" else as_text(body)
        content, encoding = (base64.b64encode(body).decode(), "base64") if text is None else (text, "")
    target = None if encoding else content
    return live.Event(
        event_id=f"evt_{event.position}",
        type=EVENT_TYPES[event.kind],
        path=event.path.wire,
        revision=f"rev_{event.position}",
        origin="agent_write",
        provider=data.provider(event.path),
        correlation_id=event.correlation,
        timestamp=data.moment(event.at_ns),
        content_hash=event.digest.hex(),
        content_type=event.content_type,
        content=content,
        encoding=encoding,
        inline_content=content is not None,
        type_metadata=None if ours or event.kind == DELETED else data.TypeMetadata.of(event.mode, target),
        size=event.size if ours else -1,
        mode=event.mode if ours and event.kind != DELETED else None,
        previous=previous,
    )
