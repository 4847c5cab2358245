"""Reads the log for the engine: batches into a bounded queue, from wherever the engine says."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import TypeAlias

from relayfile.client.feed import MAX_BYTES, MAX_CHANGES, Batch, Connection
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
        self._arrived: deque[Arrival] = deque()
        self._taken = asyncio.Event()
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
        self._arrived.clear()
        self._begin.set()
        self._reading.strike()

    @property
    def waiting(self) -> bool:
        """Whether something arrived that was not taken."""
        return bool(self._arrived)

    def take(self, most_changes: int, most_bytes: int) -> list[Arrival]:
        """What arrived, up to about so much; a failure is the last of its reading."""
        arrived: list[Arrival] = []
        changes = size = 0
        while self._arrived and changes < most_changes and size < most_bytes:
            arrival = self._arrived.popleft()
            arrived.append(arrival)
            if isinstance(arrival, RelayfileError):
                break
            changes += len(arrival.changes)
            size += arrival.received_bytes
        self._taken.set()
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
        """Live frames that the engine has not taken yet become one batch: one turn costs no more for many."""
        if isinstance(arrival, Batch):
            self.head = arrival.head
        while current == self._round and len(self._arrived) >= AHEAD and not self._joined(arrival):
            self._taken.clear()
            await self._taken.wait()
        if current != self._round:
            return
        if whole := self._joined(arrival):
            self._arrived[-1] = whole
        else:
            self._arrived.append(arrival)
        self._wake.set()

    def _joined(self, arrival: Arrival) -> Batch | None:
        """The last batch that waits and this one as one, where both are live and it is not too much for one."""
        last = self._arrived[-1] if self._arrived else None
        if not (isinstance(last, Batch) and isinstance(arrival, Batch) and last.live and arrival.live):
            return None
        full = len(last.changes) >= MAX_CHANGES or last.received_bytes >= MAX_BYTES
        return None if full else last.then(arrival)

    def _on_connection(self, connection: Connection, trouble: RelayfileError | None) -> None:
        self.connection = connection
        self.trouble = trouble
        self._wake.set()
