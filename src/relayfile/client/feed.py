"""What a workspace became, as batches from a cursor: the delta feed, then the live socket; resumes by itself.

It holds no state of its own beyond the cursor it was given and has moved: whoever reads it may stop after any batch
and begin again from that batch's cursor. It never applies anything and never decides what a change means.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from relayfile.client import api
from relayfile.client.answers import GONE_CODES
from relayfile.client.transport_async import AsyncClient
from relayfile.core import schedule
from relayfile.errors import CursorExpired, NotFound, ProtocolMismatch, RelayfileError, Unavailable, UsageError
from relayfile.model import Change, Cursor, Put
from relayfile.wire import delta, live

MAX_CHANGES: Final = 512
MAX_BYTES: Final = 8 * 1024 * 1024
_chance: Final = random.SystemRandom().random

Connection: TypeAlias = Literal["connecting", "catching-up", "live", "offline"]
OnConnection: TypeAlias = Callable[[Connection, RelayfileError | None], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive changes, in order of position, and the cursor that holds once they are observed.

    `start` is set in every batch of a generation begun at 0 (R17) and None afterwards; the reader stores it with
    the cursor and gives it back when it resumes. `end`: the delta feed has nothing more for now; what was not seen
    in the generation is gone. `tree_digest` is there only where the server said the digest of exactly
    `cursor.position`. `refused` are (wire path, reason) of items whose path cannot exist in any mirror. `ahead` is
    about how many items and bytes of content are still to come before the feed ends, as far as the server told.
    """

    changes: list[Change]
    cursor: Cursor
    head: int
    start: int | None = None
    end: bool = False
    tree_digest: bytes | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)
    live: bool = False
    received_bytes: int = 0
    ahead: tuple[int, int] = (0, 0)

    def then(self, later: "Batch") -> "Batch":
        """Both as one. `later` came right behind this one."""
        return replace(
            later,
            changes=[*self.changes, *later.changes],
            refused=[*self.refused, *later.refused],
            received_bytes=self.received_bytes + later.received_bytes,
        )


async def batches(
    client: AsyncClient,
    workspace: str,
    cursor: Cursor,
    start: int | None = None,
    *,
    on_connection: OnConnection,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Batch, None]:
    """Every change after `cursor`, for ever, in batches whose cursors rise. Close it when done (`aclosing`).

    Transient trouble is waited out inside, with `pause`, and told through `on_connection`.

    Raises:
        CursorExpired: the log cannot be read from there any more; begin a new generation at `Cursor("", 0)`.
        NotFound: the workspace is gone (`workspace_deleted`, `workspace_not_found`).
        Forbidden: this sign-in may not read it.
    """
    place = _Place(cursor, start if cursor.position > 0 else None)
    fruitless = 0
    while True:
        cause: RelayfileError | None = None
        try:
            on_connection("connecting", None)
            for source in (_catch_up, _live):
                async with aclosing(source(client, workspace, place, on_connection)) as found:
                    async for batch in found:
                        fruitless = 0
                        place.take(batch)
                        yield batch
        except (Unavailable, ProtocolMismatch) as error:
            cause = error
        except NotFound as error:
            if error.code in GONE_CODES:
                raise
            cause = ProtocolMismatch("the server has no delta feed", hint="upgrade the server")
        # A socket that ends without having brought anything, again and again, is trouble too.
        fruitless += 1
        if cause is not None:
            on_connection("offline", cause)
        if cause is not None or fruitless > 1:
            asked = cause.retry_after_s if isinstance(cause, Unavailable) else None
            await pause(schedule.reconnect_s(fruitless, _chance(), retry_after_s=asked))


class _Place:
    """How far the reader has been brought."""

    def __init__(self, cursor: Cursor, start: int | None) -> None:
        self.cursor = cursor
        self.start = start

    def take(self, batch: Batch) -> None:
        """The reader is about to have `batch`."""
        self.cursor = batch.cursor
        self.start = None if batch.end else batch.start


class _Gathering:
    """Items on their way into a batch."""

    def __init__(self, place: _Place) -> None:
        self.head = place.cursor.position
        self.position = place.cursor.position
        self.epoch = place.cursor.epoch
        self.start = place.start
        self._changes: list[Change] = []
        self._refused: list[tuple[str, str]] = []
        self._bytes = 0
        self._begun = False
        self._items_ahead = self._bytes_ahead = 0

    @property
    def full(self) -> bool:
        """Whether it is time to hand them on."""
        return len(self._changes) >= MAX_CHANGES or self._bytes >= MAX_BYTES

    @property
    def empty(self) -> bool:
        """Whether there is nothing to hand on."""
        return not self._changes and not self._refused

    def take(self, frame: delta.Frame) -> None:
        """One frame more.

        Raises:
            CursorExpired: the stream is of another log than that of the cursor.
            ProtocolMismatch: it does not begin with its head.
        """
        if isinstance(frame, delta.Head):
            self._begin(frame)
        elif not self._begun:
            raise ProtocolMismatch("a delta stream that does not begin with its head")
        elif isinstance(frame, delta.Item):
            self._add(frame)
        elif isinstance(frame, delta.Mark | delta.End):
            self._reach(frame.cursor)

    def _begin(self, head: delta.Head) -> None:
        self._begun = True
        if self.position > 0 and self.epoch and head.epoch != self.epoch:
            raise CursorExpired("the server's log is another than the one read so far")
        self.epoch, self.head = head.epoch, head.head
        self._items_ahead, self._bytes_ahead = head.items, head.size
        if self.position == 0:
            self.start = head.head

    def _add(self, item: delta.Item) -> None:
        """One item more; one whose path cannot exist is set apart, so that it never stops the others."""
        self._items_ahead = max(0, self._items_ahead - 1)
        self._bytes_ahead = max(0, self._bytes_ahead - max(0, item.size))
        try:
            change = delta.change(item)
        except UsageError as error:
            self._refused.append((item.path, error.message))
        else:
            self._changes.append(change)
            self._bytes += len(item.body or b"") + len(item.path) + 64
        self._reach(item.position)

    def _reach(self, position: int) -> None:
        """Everything up to `position` has come. An item, being the last change of its path, is a place to resume."""
        self.position = max(self.position, position)
        self.head = max(self.head, self.position)

    def batch(self, *, end: bool = False, tree_digest: bytes | None = None) -> Batch:
        """What was gathered; gathering begins anew."""
        batch = Batch(
            changes=self._changes,
            cursor=Cursor(self.epoch, self.position),
            head=self.head,
            start=self.start,
            end=end,
            tree_digest=tree_digest,
            refused=self._refused,
            received_bytes=self._bytes,
            ahead=(0, 0) if end else (self._items_ahead, self._bytes_ahead),
        )
        self._changes, self._refused, self._bytes = [], [], 0
        return batch


async def _catch_up(
    client: AsyncClient, workspace: str, place: _Place, on_connection: OnConnection
) -> AsyncGenerator[Batch, None]:
    """The delta feed from the cursor to its end."""
    gathered = _Gathering(place)
    # Under a limit contents come by themselves: the log must not stand in line behind them.
    inline_bytes = delta.INLINE_BYTES if client.bandwidth.down.free else 0
    request = api.delta_stream(workspace, place.cursor, place.start, inline_bytes)
    cut: Unavailable | None = None
    try:
        async with aclosing(client.frames(request)) as stream:
            async for frames in stream:
                for frame in frames:
                    if isinstance(frame, delta.Head):
                        on_connection("catching-up", None)
                    gathered.take(frame)
                    if isinstance(frame, delta.End):
                        yield gathered.batch(end=True, tree_digest=frame.tree_digest or None)
                        return
                    if gathered.full:
                        yield gathered.batch()
    except Unavailable as error:
        cut = error
    # What came before the cut counts: it is not asked for twice.
    if not gathered.empty:
        yield gathered.batch()
    raise cut or Unavailable("the delta stream was cut", code="cut_stream")


async def _live(
    client: AsyncClient, workspace: str, place: _Place, on_connection: OnConnection
) -> AsyncGenerator[Batch, None]:
    """What the live socket brings, until it closes or has left something out."""
    query = (("cursor", f"evt_{place.cursor.position}"), ("marks", "1"), ("epoch", place.cursor.epoch))
    async with client.socket(api.live_path(workspace), query) as socket:
        on_connection("live", None)
        while (text := await socket.receive()) is not None:
            frame = live.decode(text)
            if frame is None:
                continue
            batch = _live_batch(frame, place.cursor)
            if batch is None:
                return
            await client.bandwidth.down.take(batch.received_bytes)
            if batch.cursor.position > place.cursor.position or batch.tree_digest is not None:
                yield batch


def _live_batch(frame: live.Event | live.LiveMark, cursor: Cursor) -> Batch | None:
    """The batch of one live frame; None when something before it was left out, or it is of another log (R22)."""
    if isinstance(frame, live.LiveMark):
        if frame.epoch != cursor.epoch or frame.previous != cursor.position or frame.position < cursor.position:
            return None
        there = Cursor(cursor.epoch, frame.position)
        return Batch([], there, frame.position, tree_digest=bytes.fromhex(frame.tree_digest) or None, live=True)
    at = live.position(frame.event_id)
    if at <= cursor.position:
        return Batch([], cursor, cursor.position, live=True)
    if frame.previous is not None and frame.previous != cursor.position:
        return None
    there = Cursor(cursor.epoch, at)
    try:
        change = live.change(frame)
    except UsageError as error:
        return Batch([], there, at, refused=[(frame.path, error.message)], live=True)
    size = len(change.body or b"") if isinstance(change, Put) else 0
    return Batch([change], there, at, live=True, received_bytes=size)
