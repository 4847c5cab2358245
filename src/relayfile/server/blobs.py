"""Bodies by digest: many as frames, one with ranges (A3). Only of paths that the reader can read (R23)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from relayfile.errors import NotFound, UsageError
from relayfile.model import Digest
from relayfile.server.bearer import Access
from relayfile.server.door import Door
from relayfile.server.store import bodies, feed
from relayfile.server.store.bodies import BlobFolder
from relayfile.server.store.database import Database
from relayfile.server.streams import framed, part_of
from relayfile.server.views import READ, Views
from relayfile.wire import data, delta
from relayfile.wire.delta import Blob, End

MAX_FRAME_BODY_BYTES: Final = 32 * 1024 * 1024
_AT_ONCE: Final = 64
_AT_ONCE_BYTES: Final = 4 * 1024 * 1024


class _Large(FileResponse):
    """A file piece by piece, whole or a range of it."""

    chunk_size = 512 * 1024


_request = msgspec.json.Decoder(data.BlobsRequest)


@dataclass(frozen=True, slots=True)
class Blobs:
    """The routes of bodies."""

    door: Door
    database: Database
    views: Views
    folder: BlobFolder

    async def many(self, request: Request) -> Response:
        """`POST fs/blobs`. What cannot be had, and what is too large for a frame, comes without its body."""
        access = await self.door.enter(request, READ)
        asked = (await self.door.json(request, _request)).digests
        if len(asked) > data.MAX_BLOBS:
            raise UsageError(f"at most {data.MAX_BLOBS} digests in one request, not {len(asked)}")
        digests = [_digest(text) for text in dict.fromkeys(asked)]
        await self._locate(access)
        return framed(request, self._frames(access, digests))

    async def one(self, request: Request) -> Response:
        """`GET fs/blob/{digest}`: whole, or a range.

        Raises:
            NotFound: unknown, or of no path this reader can read: the same answer (R23).
        """
        access = await self.door.enter(request, READ)
        digest = _digest(request.path_params["digest"])
        await self._locate(access)

        def query(connection: apsw.Connection) -> bytes | None:
            view = self.views.of(connection, access)
            if (found := bodies.find(connection, view.log.id, digest, view.filter)) is None:
                raise NotFound("no path that you can read has this content")
            body_id, size = found
            if body_id:
                return bodies.stored(connection, body_id)
            return None if size else b""

        body = await self.database.read(query)
        tag = f'"{digest.hex()}"'  # what a digest names never changes
        if body is None:
            return _Large(self.folder.path(digest), headers={"ETag": tag}, media_type=data.BINARY_CONTENT_TYPE)
        return part_of(body, tag, request.headers)

    async def _frames(self, access: Access, digests: list[Digest]) -> AsyncIterator[bytes]:
        left = digests
        while left:
            frames, count = await self.database.read(partial(self._some, access=access, digests=left))
            left = left[count:]
            yield frames
        yield delta.encode(End(0))

    def _some(self, connection: apsw.Connection, *, access: Access, digests: list[Digest]) -> tuple[bytes, int]:
        """Frames for the first of `digests`, and for how many of them."""
        view = self.views.of(connection, access)
        frames: list[bytes] = []
        size = 0
        for digest in digests[:_AT_ONCE]:
            found = bodies.find(connection, view.log.id, digest, view.filter)
            body = None
            if found is not None and found[1] <= MAX_FRAME_BODY_BYTES:
                body_id, length = found
                body = bodies.stored(connection, body_id) if body_id else self.folder.read(digest) if length else b""
            frames.append(delta.encode(Blob(digest, body)))
            size += len(frames[-1])
            if size >= _AT_ONCE_BYTES:
                break
        return b"".join(frames), len(frames)

    async def _locate(self, access: Access) -> None:
        """Every content of the log as of now can be found by digest."""

        def behind(connection: apsw.Connection) -> int | None:
            log = feed.log_of(connection, access.workspace)
            return None if bodies.located(connection, log.id) else log.id

        log = await self.database.read(behind)
        while log is not None and not await self.database.write(lambda connection: bodies.locate(connection, log)):
            pass


def _digest(text: str) -> Digest:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise UsageError(f"not a digest: {text[:80]!r}", hint="64 hexadecimal digits of SHA-256")
    return Digest(raw)
