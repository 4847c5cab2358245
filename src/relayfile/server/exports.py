"""Everything below a path in one answer: as JSON, as a tar archive, as a patch (3-protocol B 1.6).

Each is a stream made page after page: a workspace of any size is exported in little memory, but not as of one moment.
"""

import asyncio
import tarfile
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Final

import apsw
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from relayfile.errors import UsageError
from relayfile.model import EXECUTABLE, SYMLINK, TreePath
from relayfile.server import contents
from relayfile.server.bearer import Access
from relayfile.server.door import Door
from relayfile.server.listings import behind, folder_asked
from relayfile.server.store import files as store
from relayfile.server.store.bodies import IN_DATABASE_BYTES, BlobFolder
from relayfile.server.store.database import Database
from relayfile.server.store.files import State
from relayfile.server.views import READ, Views
from relayfile.wire import data

_PAGE_FILES: Final = 100
_PAGE_BYTES: Final = 4 * 1024 * 1024
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_END_OF_TAR: Final = bytes(2 * tarfile.BLOCKSIZE)
_GIT_MODES: Final = {SYMLINK: "120000", EXECUTABLE: "100755"}
_PLAIN_NAME: Final = frozenset(map(chr, range(0x20, 0x7F))) - {'"', "\\"}


@dataclass(frozen=True, slots=True)
class Found:
    """One file of an export; `body` None: it is large and still lies in the blob folder."""

    path: TreePath
    state: State
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Exports:
    """The route of exports."""

    door: Door
    database: Database
    views: Views
    blobs: BlobFolder

    async def export(self, request: Request) -> Response:
        """`GET fs/export?format=json|tar|patch`: every file below a path with its content."""
        access = await self.door.enter(request, READ)
        folder = folder_asked(request)
        form = request.query_params.get("format", "json")
        if form not in {"json", "tar", "patch"}:
            raise UsageError(f"no such export format: {form[:40]!r}", hint="format=json, tar or patch")
        page = partial(self._page, access=access, folder=folder)
        pages = self._pages(page, await self.database.read(partial(page, after="")))  # what is refused is refused now
        if form == "json":
            return StreamingResponse(self._json(pages), media_type="application/json")
        if form == "patch":
            return StreamingResponse(self._patch(pages), media_type="text/x-diff")
        headers = {"Content-Disposition": 'attachment; filename="workspace-export.tar.gz"'}
        return StreamingResponse(_zipped(self._tar(pages)), headers=headers, media_type="application/gzip")

    async def _pages(
        self, page: partial[tuple[list[Found], str | None]], first: tuple[list[Found], str | None]
    ) -> AsyncIterator[list[Found]]:
        found, last = first
        yield found
        while last is not None:
            found, last = await self.database.read(partial(page, after=last))
            yield found

    def _page(
        self, connection: apsw.Connection, *, access: Access, folder: str, after: str
    ) -> tuple[list[Found], str | None]:
        """Some files behind `after`, and the path that the next page stands behind; None when nothing is left."""
        view = self.views.of(connection, access)
        found: list[Found] = []
        total = 0
        for path, state in store.live_states(connection, view.log, *behind(folder, after)):
            if view.shows(path):
                large = state.size > IN_DATABASE_BYTES
                body = None if large else contents.body_of(connection, self.blobs, state)
                found.append(Found(path, state, body))
                total += 0 if large else state.size
            if len(found) == _PAGE_FILES or total >= _PAGE_BYTES:
                return found, path
        return found, None

    async def _whole(self, found: Found) -> bytes:
        if found.body is not None:
            return found.body
        return await asyncio.to_thread(self.blobs.read, found.state.digest)

    async def _json(self, pages: AsyncIterator[list[Found]]) -> AsyncIterator[bytes]:
        """One array. A file too large for JSON is left out, as by `GET fs/file`."""
        separator = b"["
        async for page in pages:
            for found in page:
                if found.state.size <= contents.MAX_JSON_FILE_BYTES:
                    shown = contents.shown(found.path, found.state, await self._whole(found))
                    yield separator + data.encode_lines([shown])
                    separator = b","
        yield b"[]\n" if separator == b"[" else b"]\n"

    async def _tar(self, pages: AsyncIterator[list[Found]]) -> AsyncIterator[bytes]:
        """A tar archive, as it is before it is compressed. A large file comes piece by piece."""
        async for page in pages:
            for found in page:
                if found.body is None:
                    yield _tar_header(found, b"")
                    with self.blobs.path(found.state.digest).open("rb") as file:
                        while piece := await asyncio.to_thread(file.read, IN_DATABASE_BYTES):
                            yield piece
                    yield _tar_padding(found.state.size)
                elif found.state.mode == SYMLINK:
                    yield _tar_header(found, found.body)
                else:
                    yield _tar_header(found, b"") + found.body + _tar_padding(found.state.size)
        yield _END_OF_TAR

    async def _patch(self, pages: AsyncIterator[list[Found]]) -> AsyncIterator[bytes]:
        """A patch that adds every file to an empty tree; what is no text, or too large for one, is only named."""
        async for page in pages:
            for found in page:
                fits = found.state.size <= contents.MAX_JSON_FILE_BYTES
                yield b"".join(_added(found, await self._whole(found) if fits else b"\0"))


def _tar_header(found: Found, target: bytes) -> bytes:
    state = found.state
    info = tarfile.TarInfo(found.path)
    info.mtime = state.at_ns // 1_000_000_000
    info.mode = data.mode_number(state.mode)
    if state.mode == SYMLINK:
        info.type = tarfile.SYMTYPE
        info.linkname = target.decode("utf-8", "surrogateescape")
    else:
        info.size = state.size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _tar_padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _added(found: Found, body: bytes) -> Iterator[bytes]:
    """The part of a patch that adds this file."""
    old, new = _name("a/" + found.path), _name("b/" + found.path)
    yield f"diff --git {old} {new}\nnew file mode {_GIT_MODES.get(found.state.mode, '100644')}\n".encode()
    if not body:
        return
    if b"\0" in body or contents.as_text(body) is None:
        yield f"Binary files /dev/null and {new} differ\n".encode()
        return
    lines = BytesIO(body).readlines()
    yield f"--- /dev/null\n+++ {new}\n@@ -0,0 +1,{len(lines)} @@\n".encode()
    for line in lines:
        yield b"+" + line
    if not body.endswith(b"\n"):
        yield b"\n\\ No newline at end of file\n"


def _name(path: str) -> str:
    """`path` as a patch names it: quoted as git does when it could be mistaken for something else."""
    if set(path) <= _PLAIN_NAME:
        return path
    quoted = "".join(
        chr(byte) if chr(byte) in _PLAIN_NAME else f"\\{chr(byte)}" if byte in b'"\\' else f"\\{byte:03o}"
        for byte in path.encode()
    )
    return f'"{quoted}"'


async def _zipped(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`parts`, compressed in other threads: live frames must not wait for it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WBITS)
    async for part in parts:
        if packed := await asyncio.to_thread(packer.compress, part):
            yield packed
    yield packer.flush()
