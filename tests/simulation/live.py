"""The asynchronous ports, simulated: a feed that waits for the server to change, a watcher that a test speaks for."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from relayfile.errors import NotFound, RelayfileError, Unavailable
from relayfile.mirror.engine import Engine
from relayfile.mirror.ports import Hint, Ports, Trouble
from relayfile.mirror.state import Identity, State
from relayfile.model import Cursor, Digest
from simulation.world import SimDisk, SimServer, path

SPEED = 25.0


class WallClock:
    """Time that passes `SPEED` times as fast: a test waits for conditions, not for back-off."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


class LiveApi:
    """`down` parks every request, as a dead login does; `refuse` fails the next reading; `requests` counts."""

    def __init__(self, server: SimServer) -> None:
        self.server = server
        self.up = asyncio.Event()
        self.up.set()
        self.changed = asyncio.Event()
        self.refuse: list[RelayfileError] = []
        self.push_fails: list[RelayfileError] = []
        self.requests = 0
        self.cut_after: int | None = None
        self.blobs_sent = 0
        self.cut_pieces_after: int | None = None
        self.forged: dict[Digest, bytes] = {}
        self.hold_pieces = False
        self.held = asyncio.Semaphore(0)
        self.at_once = self.most_at_once = 0
        self.ranges: list[tuple[Digest, int]] = []
        self.readings: list[tuple[Cursor, int | None]] = []

    async def _request(self) -> None:
        await self.up.wait()
        self.requests += 1

    def write(self, at: str, body: bytes) -> None:
        self.server.write(at, body)
        self.announce()

    def fail_next(self, *errors: RelayfileError) -> None:
        self.refuse += errors
        self.announce()

    def announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def batches(self, cursor, start, on_connection):
        self.readings.append((cursor, start))
        await self._request()
        if self.refuse:
            raise self.refuse.pop(0)
        for batch in self.server.delta(cursor, start):
            yield batch
            cursor = batch.cursor
        on_connection("live", None)
        while True:
            changed = self.changed
            if self.server.position == cursor.position:
                await changed.wait()
            await self.up.wait()
            if self.refuse:
                raise self.refuse.pop(0)
            for batch in self.server.delta(cursor, None):
                yield batch
                cursor = batch.cursor

    async def push(self, pushes: Sequence):
        await self._request()
        if self.push_fails:
            raise self.push_fails.pop(0)
        outcomes = await self.server.receive(pushes)
        self.announce()
        return outcomes

    async def blobs(self, digests):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async for one in self._blobs(digests):
                yield one
        finally:
            self.at_once -= 1

    async def _blobs(self, digests):
        await self._request()
        for digest in digests:
            if self.cut_after == 0:
                self.cut_after = None
                raise Unavailable("cut")
            if self.cut_after is not None:
                self.cut_after -= 1
            self.blobs_sent += 1
            await asyncio.sleep(0)  # others get their turn, as on a network
            yield digest, self.server.bodies.get(digest)

    async def blob(self, digest, start):
        await self._request()
        self.ranges.append((digest, start))
        body = self.server.bodies.get(digest)
        if body is None:
            raise NotFound("no path that you can read has this content")
        body = self.forged.get(digest, body)
        for at in range(start, len(body), 300_000):
            if self.cut_pieces_after == 0:
                self.cut_pieces_after = None
                raise Unavailable("cut")
            if self.cut_pieces_after is not None:
                self.cut_pieces_after -= 1
            while self.hold_pieces:
                self.held.release()
                await self.changed.wait()
            yield at, body[at : at + 300_000]

    async def digest(self):
        await self._request()
        return Cursor(self.server.epoch, self.server.position), self.server.digest()


class LiveWatcher:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Hint] = asyncio.Queue()
        self.open_again: list[str] = []

    def opened(self, folder: str) -> None:
        self.open_again.append(folder)

    async def hints(self):
        while True:
            yield await self.queue.get()


class LiveMirror:
    """An engine with its jobs running, until the context ends."""

    def __init__(self, file, server: SimServer | None = None, disk: SimDisk | None = None, **words: bool) -> None:
        self.server = server or SimServer()
        self.disk = disk or SimDisk()
        self.api = LiveApi(self.server)
        self.watcher = LiveWatcher()
        self.login: Trouble | None = None
        self.made = 0
        self.state = State.open(file, Identity("m", "rw", "http://s", 1, 2))
        self.engine = Engine(
            self.state,
            Ports(
                clock=WallClock(),
                disk=self.disk,
                parts=self.disk,
                scanner=self.disk,
                watcher=self.watcher,
                api=self.api,
                run_blocking=asyncio.to_thread,
                login=lambda: self.login,
                host="host",
                chance=lambda: 0.5,
                new_key=self._key,
            ),
            **words,
        )

    def _key(self) -> str:
        self.made += 1
        return f"{id(self)}-{self.made}"

    def edit(self, at: str, body: bytes) -> None:
        self.disk.write(at, body)
        self.watcher.queue.put_nowait(Hint(frozenset({path(at)})))

    async def until(self, condition):
        """The picture once `condition` holds of it."""
        async with asyncio.timeout(10):
            picture = self.engine.picture()
            while not condition(picture):
                picture = await self.engine.changed(picture)
            return picture

    async def __aenter__(self):
        self.tasks = {name: asyncio.create_task(job, name=name) for name, job in self.engine.jobs()}
        return self

    async def __aexit__(self, *_):
        self.engine.stop()
        await self.tasks.pop("engine")
        for task in self.tasks.values():
            task.cancel()
        for task in self.tasks.values():
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.state.close()
