"""Content between JSON and bytes: what a request says becomes a `Content`, a stored state a `FileRead`."""

import base64
import binascii
import codecs
from hashlib import sha256
from typing import Final

import apsw
import msgspec

from relayfile.errors import UsageError
from relayfile.model import SYMLINK, Digest, TreePath
from relayfile.server.store import bodies
from relayfile.server.store.bodies import BlobFolder
from relayfile.server.store.feed import Event
from relayfile.server.store.files import Content, State
from relayfile.wire import data
from relayfile.wire.data import BulkFile, FileRead, Semantics, WriteRequest

MAX_JSON_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_TARGET_BYTES: Final = 4_095

_semantics_encoder = msgspec.json.Encoder(order="sorted")
_semantics_decoder = msgspec.json.Decoder(Semantics)
_NO_SEMANTICS: Final = Semantics()
_TEXT_WORDS: Final = frozenset({"", "utf-8", "utf8"})


def content_of(said: BulkFile | WriteRequest) -> Content:
    """The content that a JSON body gives a path.

    Raises:
        UsageError: `invalid_encoding`, `invalid_content`: of this path only.
    """
    if said.type not in data.TYPES:
        raise UsageError(f"no such type: {said.type[:40]!r}", code="invalid_content", hint="file or symlink")
    symlink = said.type == "symlink"
    mode = data.mode_of(said.mode, symlink=symlink)
    body, encoding = _target(said) if mode == SYMLINK else _bytes(said.content, said.encoding)
    return Content(
        Digest(sha256(body).digest()),
        len(body),
        body,
        mode,
        said.content_type or (data.SYMLINK_CONTENT_TYPE if mode == SYMLINK else ""),
        encoding,
        semantics_text(said.semantics),
    )


def semantics_text(semantics: Semantics | None) -> str | None:
    """As they are stored: None says nothing, "" says there are none."""
    if semantics is None:
        return None
    return "" if semantics == _NO_SEMANTICS else _semantics_encoder.encode(semantics).decode()


def semantics_of(state: State) -> Semantics:
    """What is stored of a path's semantics."""
    return _semantics_decoder.decode(state.semantics) if state.semantics else _NO_SEMANTICS


def body_of(connection: apsw.Connection, blobs: BlobFolder, state: State) -> bytes:
    """The content of a live path.

    Raises:
        Damaged: it is not where the log says.
    """
    if state.body_id:
        return bodies.stored(connection, state.body_id)
    return blobs.read(state.digest) if state.size else b""


def event_body(connection: apsw.Connection, blobs: BlobFolder, event: Event) -> bytes:
    """The content that a change left behind, also one that is no longer the newest.

    Raises:
        Damaged: it is not where the log says.
    """
    if event.body_id:
        return bodies.stored(connection, event.body_id)
    return blobs.read(event.digest) if event.size else b""


def shown(path: TreePath, state: State, body: bytes) -> FileRead:
    """The file as `GET fs/file` tells it."""
    text = None if state.encoding == "base64" else as_text(body)
    symlink = state.mode == SYMLINK
    return FileRead(
        path=path.wire,
        revision=f"rev_{state.position}",
        content_type=state.content_type,
        content=base64.b64encode(body).decode() if text is None else text,
        encoding="base64" if text is None else "",
        provider=data.provider(path),
        last_edited_at=data.moment(state.at_ns),
        semantics=semantics_of(state),
        content_hash=state.digest.hex(),
        size=state.size,
        mode=data.mode_number(state.mode),
        type="symlink" if symlink else "file",
        target=text if symlink else None,
    )


def as_text(body: bytes) -> str | None:
    """The text that `body` is; None when it is none."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


class TextCheck:
    """Whether bytes that come piece by piece are text."""

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")("strict")

    def feed(self, piece: bytes) -> None:
        """One piece more."""
        self._take(piece, final=False)

    def end(self) -> bool:
        """Whether all of them were text."""
        self._take(b"", final=True)
        return self._decoder is not None

    def _take(self, piece: bytes, *, final: bool) -> None:
        if self._decoder is not None:
            try:
                self._decoder.decode(piece, final)
            except UnicodeDecodeError:
                self._decoder = None


def _bytes(content: str | None, encoding: str) -> tuple[bytes, data.Base64]:
    if content is None:
        raise UsageError("no content", code="invalid_content")
    if encoding in _TEXT_WORDS:
        return content.encode(), ""
    if encoding != "base64":
        raise UsageError(f"no such encoding: {encoding[:40]!r}", code="invalid_encoding", hint="utf-8 or base64")
    try:
        return base64.b64decode(content, validate=True), "base64"
    except (binascii.Error, ValueError) as error:
        raise UsageError("the content is not base64", code="invalid_content") from error


def _target(said: BulkFile | WriteRequest) -> tuple[bytes, data.Base64]:
    """Where a symbolic link points: its `target`, or its content (R18)."""
    body, encoding = (said.target.encode(), "") if said.target is not None else _bytes(said.content, said.encoding)
    if not 0 < len(body) <= MAX_TARGET_BYTES or b"\0" in body:
        raise UsageError("not the target of a symbolic link", code="invalid_content")
    return body, "base64" if encoding == "base64" and as_text(body) is None else ""
