"""The log over HTTP: the delta feed our mirrors live on (A2), the proof (A4), and v1's events (B 1.7).

Pages are read in short transactions of their own, never held across a network write (R17).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from relayfile.errors import CursorExpired, ProtocolMismatch, UsageError
from relayfile.server.bearer import Access
from relayfile.server.door import Door, number
from relayfile.server.files import json
from relayfile.server.store import feed as store
from relayfile.server.store.database import Database
from relayfile.server.store.feed import DELETED, PAGE_BYTES, Event
from relayfile.server.streams import framed
from relayfile.server.views import READ, View, Views
from relayfile.wire import data, delta, live
from relayfile.wire.data import DeltaItem, EventRecord
from relayfile.wire.delta import End, Head, Item, Mark

PAGE_ITEMS: Final = 500
EVENT_TYPES: Final = ("file.created", "file.updated", "file.deleted")
_FAR: Final = 1 << 62
_SIFTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a delta reader asks for. `start` is set in a generation begun at 0 (R17); `limit` 0 is no limit."""

    since: int
    epoch: str
    start: int | None
    limit: int
    inline_bytes: int

    @classmethod
    def of(cls, request: Request) -> "Asked":
        """What the query says."""
        words = request.query_params
        return cls(
            number(request, "since", 0, least=0, most=_FAR),
            words.get("epoch", ""),
            number(request, "start", 0, least=0, most=_FAR) if words.get("start") else None,
            number(request, "limit", 0, most=_FAR),
            number(request, "inline_bytes", delta.INLINE_BYTES, least=0, most=delta.MAX_INLINE_BYTES),
        )

    def require(self, view: View) -> None:
        """The log can be read from there.

        Raises:
            CursorExpired: R17, R22.
        """
        if self.since == 0:
            return
        view.require_epoch(self.epoch)
        known = self.since if self.start is None else self.start
        if self.since > view.log.head or known < view.log.pruned:
            raise CursorExpired("the log can no longer be read from this cursor; observe again from 0")


@dataclass(frozen=True, slots=True)
class Page:
    """Some items and how far they reach. At the end of the feed `digest` is that of exactly `cursor`."""

    view: View
    items: list[Item]
    cursor: int
    digest: bytes | None

    def frames(self, head: Head | None = None) -> bytes:
        """The page as a part of the stream, which begins with `head`."""
        parts = [] if head is None else [delta.encode(head)]
        parts += map(delta.encode, self.items)
        parts.append(delta.encode(Mark(self.cursor) if self.digest is None else End(self.cursor, self.digest)))
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Feed:
    """The routes of the log."""

    door: Door
    database: Database
    views: Views

    async def delta(self, request: Request) -> Response:
        """`GET fs/delta`: a JSON page, or a stream of frames, by `Accept`."""
        access = await self.door.enter(request, READ)
        asked = Asked.of(request)
        stream = delta.CONTENT_TYPE in request.headers.get("accept", "")
        most = PAGE_ITEMS if stream else 2 * PAGE_ITEMS

        def begin(connection: apsw.Connection) -> tuple[Reading, Page, Head]:
            view = self.views.of(connection, access)
            asked.require(view)
            start = view.log.head if asked.since == 0 else asked.start or 0
            reading = Reading(self.views, access, start, asked.inline_bytes if stream else -1)
            page = reading.page(connection, view, asked.since, min(asked.limit or PAGE_ITEMS, most))
            # how much a reader may not see is nothing to tell it
            told = stream and page.digest is None and not view.name
            amount = store.amount_after(connection, view.log, asked.since) if told else (0, 0)
            return reading, page, Head(view.epoch, view.log.head, *amount)

        reading, page, head = await self.database.read(begin)
        if stream:
            return framed(request, self._stream(reading, page, head, asked.limit))
        body = data.DeltaPage(
            items=[_json_item(item) for item in page.items],
            epoch=page.view.epoch,
            head=page.view.log.head,
            cursor=page.cursor,
            next_cursor=None if page.digest is not None else f"evt_{page.cursor}",
            tree_digest=msgspec.UNSET if page.digest is None else page.digest.hex(),
        )
        return json(body)

    async def digest(self, request: Request) -> Response:
        """`GET fs/digest`: what the reader sees sums to this, at exactly that position."""
        access = await self.door.enter(request, READ)

        def query(connection: apsw.Connection) -> data.DigestAnswer:
            view = self.views.of(connection, access)
            digest, files = self.views.digest(connection, view)
            return data.DigestAnswer(epoch=view.epoch, position=view.log.head, tree_digest=digest.hex(), files=files)

        return json(await self.database.read(query))

    async def events(self, request: Request) -> Response:
        """`GET fs/events`: v1's page of changes."""
        access = await self.door.enter(request, READ)
        direction = request.query_params.get("direction", "asc")
        if direction not in {"asc", "desc"}:
            raise UsageError(f"no such direction: {direction[:40]!r}", hint="asc or desc")
        limit = number(request, "limit", 200)
        cursor = request.query_params.get("cursor", "")
        provider = request.query_params.get("provider", "").lower()

        def query(connection: apsw.Connection) -> data.EventsPage:
            view = self.views.of(connection, access)
            at = v1_position(cursor)
            if at is None and cursor and direction == "desc":
                return data.EventsPage(events=[])
            if at is not None and at > view.log.head + 1:
                raise CursorExpired(f"this log has not reached {cursor[:40]}: it was restored, or is another one")
            found = _sifted(connection, view, at, limit + 1, provider=provider, newest_first=direction == "desc")
            shown = [_record(event) for event in found[:limit]]
            return data.EventsPage(events=shown, next_cursor=shown[-1].event_id if len(found) > limit else None)

        return json(await self.database.read(query))

    async def _stream(self, reading: "Reading", page: Page, head: Head, limit: int) -> AsyncIterator[bytes]:
        """Every page from this first one to the end, or to the limit. Without its end it was cut."""
        epoch = page.view.epoch
        left = (limit or _FAR) - len(page.items)
        revoked = asyncio.ensure_future(self.door.bearer.revoked(reading.access.principal))
        try:
            yield page.frames(head)
            while page.digest is None and left > 0 and not revoked.done():
                following = partial(reading.following, since=page.cursor, limit=min(left, PAGE_ITEMS))
                page, frames = await self.database.read(following)
                if page.view.epoch != epoch:  # restored, or another view: the reader must ask again
                    return
                left -= len(page.items)
                yield frames
        finally:
            revoked.cancel()
            with suppress(asyncio.CancelledError):
                await revoked


@dataclass(frozen=True, slots=True)
class Reading:
    """One delta answer being read. Tombstones up to `start` are left out; `inline_bytes` -1 brings no bodies."""

    views: Views
    access: Access
    start: int
    inline_bytes: int

    def page(self, connection: apsw.Connection, view: View, since: int, limit: int) -> Page:
        """What follows `since`: at most `limit` paths and about `PAGE_BYTES`; the digest when nothing is left."""
        items: list[Item] = []
        cursor, read, size = since, 0, 0
        for event in store.changed_after(connection, view.log, since, limit=limit, inline_bytes=self.inline_bytes):
            read += 1
            cursor = event.position
            if not view.shows(event.path) or (event.kind == DELETED and cursor <= self.start):
                continue
            items.append(_item(event, self.inline_bytes))
            size += len(event.body or b"")
            if size >= PAGE_BYTES:
                break
        if read == limit or size >= PAGE_BYTES:
            return Page(view, items, cursor, None)
        return Page(view, items, view.log.head, self.views.digest(connection, view)[0])

    def following(self, connection: apsw.Connection, *, since: int, limit: int) -> tuple[Page, bytes]:
        """A later page, as of a later transaction, and its frames: encoded in the thread that read it."""
        page = self.page(connection, self.views.of(connection, self.access), since, limit)
        return page, page.frames()


def v1_position(cursor: str) -> int | None:
    """The position a v1 cursor names; None for none, and for what never was a cursor of ours."""
    try:
        return live.position(cursor) if cursor else None
    except ProtocolMismatch:
        return None


def _item(event: Event, inline_bytes: int) -> Item:
    if event.kind == DELETED:
        return Item("/" + event.path, event.position, "delete")
    body = event.body
    if body is None and event.size == 0 <= inline_bytes:
        body = b""
    return Item(
        *("/" + event.path, event.position, "put", event.digest, event.size, event.mode),
        *(body, event.content_type, event.encoding),
    )


def _json_item(item: Item) -> DeltaItem:
    if item.kind == "delete":
        return DeltaItem(path=item.path, position=item.position, kind="delete")
    return DeltaItem(
        path=item.path,
        position=item.position,
        kind="put",
        digest=item.digest.hex(),
        size=item.size,
        mode=item.mode,
        content_type=item.content_type,
        encoding="base64" if item.encoding == "base64" else "",
    )


def _sifted(
    connection: apsw.Connection, view: View, at: int | None, wanted: int, *, provider: str, newest_first: bool
) -> list[Event]:
    """The next `wanted` events behind (or below) `at` that the reader may see and asked for."""
    position = at if at is not None else (view.log.head + 1 if newest_first else 0)
    step = _SIFTED if provider or view.name else wanted
    read = store.events_before if newest_first else store.events_after
    found: list[Event] = []
    while len(found) < wanted:
        page = list(read(connection, view.log, position, limit=step))
        if not page:
            break
        position = page[-1].position
        found += (
            event
            for event in page
            if view.shows(event.path) and (not provider or data.provider(event.path).lower() == provider)
        )
    return found[:wanted]


def _record(event: Event) -> EventRecord:
    return EventRecord(
        event_id=f"evt_{event.position}",
        type=EVENT_TYPES[event.kind],
        path=event.path.wire,
        revision=f"rev_{event.position}",
        origin="agent_write",
        correlation_id=event.correlation,
        timestamp=data.moment(event.at_ns),
        content_hash=event.digest.hex(),
        provider=data.provider(event.path),
        type_metadata=None if event.kind == DELETED else data.TypeMetadata.of(event.mode),
    )
