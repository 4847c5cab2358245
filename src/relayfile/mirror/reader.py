"""Reads the log for the engine: batches into a bounded queue, from wherever the engine says."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeAlias

from relayfile.client.feed import Batch, Connection
from relayfile.errors import RelayfileError
from relayfile.mirror.interrupt import Interruptible
from relayfile.mirror.ports import Api
from relayfile.model import Cursor

AHEAD = 2
"""Batches read before the engine takes them: the network goes on while the disk works, and memory stays bounded."""

Arrival: TypeAlias = Batch | RelayfileError


class Reader:
    """One reading at a time. What an earlier reading still had in hand is never delivered after `read_from`.

    `connection` and `trouble` are what the client last said of the connection, `head` where the log was to its
    knowledge, whether the engine has taken that or not.
    """

    def __init__(self, api: Api, wake: asyncio.Event) -> None:
        self._api = api
        self._wake = wake
        self._queue: asyncio.Queue[tuple[int, Arrival]] = asyncio.Queue(AHEAD)
        self._round = 0
        self._place: tuple[Cursor, int | None] = (Cursor("", 0), None)
        self._begin = asyncio.Event()
        self._reading = Interruptible()
        self.connection: Connection = "connecting"
        self.trouble: RelayfileError | None = None
        self.head = 0

    def read_from(self, cursor: Cursor, start: int | None) -> None:
        """The next arrivals are what follows `cursor`."""
        self._round += 1
        self._place = (cursor, start)
        while not self._queue.empty():
            self._queue.get_nowait()
        self._begin.set()
        self._reading.strike()

    @property
    def waiting(self) -> bool:
        """Whether something arrived that was not taken."""
        return not self._queue.empty()

    def take(self, most_changes: int, most_bytes: int) -> list[Arrival]:
        """What arrived, up to about so much; a failure is the last of its reading."""
        arrived: list[Arrival] = []
        changes = size = 0
        while changes < most_changes and size < most_bytes and not self._queue.empty():
            made_in, arrival = self._queue.get_nowait()
            if made_in != self._round:
                continue
            arrived.append(arrival)
            if isinstance(arrival, RelayfileError):
                break
            changes += len(arrival.changes)
            size += arrival.received_bytes
        return arrived

    async def run(self) -> None:
        """Reads for ever; after a failure was delivered, waits until it is told from where."""
        while True:
            await self._begin.wait()
            self._begin.clear()
            with Interruptible() as self._reading:
                await self._read(self._round)

    async def _read(self, current: int) -> None:
        cursor, start = self._place
        batches = self._api.batches(cursor, start, self._on_connection)
        try:
            async for batch in batches:
                await self._deliver(current, batch)
        except RelayfileError as error:
            await self._deliver(current, error)
        finally:
            if isinstance(batches, AsyncGenerator):  # its connection is closed now, not when it is collected
                await batches.aclose()

    async def _deliver(self, current: int, arrival: Arrival) -> None:
        if isinstance(arrival, Batch):
            self.head = arrival.head
        await self._queue.put((current, arrival))
        self._wake.set()

    def _on_connection(self, connection: Connection, trouble: RelayfileError | None) -> None:
        self.connection = connection
        self.trouble = trouble
        self._wake.set()
