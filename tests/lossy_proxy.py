"""A TCP proxy before a server that loses answers of the token endpoint, always after the server has acted.

Everything else passes as it is: data, sockets, sign-ins. It can also hide the OAuth doors, which a server of v1
does not have.
"""

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_RENEWALS = (b"POST /oauth/token ", b"POST /api/v1/auth/token/refresh ")
_OAUTH = (b"POST /oauth/", b"GET /.well-known/oauth")
_NO_SUCH_ROUTE = b'{"code":"not_found","message":"route not found"}'
_NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: " + str(len(_NO_SUCH_ROUTE)).encode() + _HEAD_END + _NO_SUCH_ROUTE
)


@dataclass
class LossyProxy:
    """Use it in a `with`. `loses(n)`: is the answer to renewal number n (from 1) lost? `delay_s` is one way's."""

    target: str
    loses: Callable[[int], bool] = lambda _: False
    delay_s: float = 0.0
    only_v1: bool = False
    renewals: int = 0
    lost: int = 0
    answered_bytes: int = 0
    """Everything that came back, but for what was lost."""
    url: str = ""
    _ready: threading.Event = field(default_factory=threading.Event)
    _end: Callable[[], None] = lambda: None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="lossy-proxy")
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        assert self._thread is not None
        self._thread.join()

    async def _run(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await self._pass(reader, writer)
            finally:
                connections.discard(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=200)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._end = lambda: loop.call_soon_threadsafe(over.set)
        self._ready.set()
        await over.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = urlsplit(self.target)
        up: asyncio.StreamWriter | None = None
        with suppress(OSError, asyncio.CancelledError):
            asked = bytearray(await reader.read(65_536))
            if self.only_v1 and asked.startswith(_OAUTH):
                writer.write(_NOT_FOUND)
                await writer.drain()
            elif asked:
                down, up = await asyncio.open_connection(where.hostname, where.port)
                await self._both_ways(asked, reader, writer, down, up)
        for one in (writer, up):
            if one is not None:
                one.close()

    async def _both_ways(
        self,
        asked: bytearray,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        down: asyncio.StreamReader,
        up: asyncio.StreamWriter,
    ) -> None:
        async def upwards() -> None:
            await asyncio.sleep(self.delay_s)
            up.write(asked)
            while data := await reader.read(65_536):
                if len(asked) < 65_536:
                    asked.extend(data)
                up.write(data)
                await up.drain()
            up.write_eof()

        async def downwards() -> None:
            first = await down.read(65_536)  # the server has acted: it answers
            await asyncio.sleep(self.delay_s)
            if first and _is_renewal(asked) and self._is_lost():
                self._lose(first, writer)
                return
            writer.write(first)
            self.answered_bytes += len(first)
            while data := await down.read(65_536):
                writer.write(data)
                self.answered_bytes += len(data)
                await writer.drain()

        going_up = asyncio.create_task(upwards())
        try:
            await downwards()
        finally:
            going_up.cancel()
            await asyncio.gather(going_up, return_exceptions=True)

    def _is_lost(self) -> bool:
        self.renewals += 1
        lost = self.loses(self.renewals)
        self.lost += lost
        return lost

    def _lose(self, answer: bytes, writer: asyncio.StreamWriter) -> None:
        """Nothing of it, half of it, or a reset, in turn."""
        match self.lost % 3:
            case 0:
                writer.transport.abort()
            case 1:
                writer.write(answer[: len(answer) // 2])
            case _:
                pass


def _is_renewal(asked: bytearray) -> bool:
    """Each renewal of ours has a connection of its own, so the first request on it is all there is."""
    return asked.startswith(_RENEWALS[1]) or (asked.startswith(_RENEWALS[0]) and b"grant_type=refresh_token" in asked)


def one_in_ten(seed: int) -> Callable[[int], bool]:
    """Loses each answer with a chance of 10 %, and surely one of the first five, so that no run is without a loss."""
    chance = random.Random(seed)
    sure = chance.randint(2, 5)
    return lambda number: chance.random() < 0.1 or number == sure
