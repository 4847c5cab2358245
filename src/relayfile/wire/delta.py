"""The delta and blob streams (protocol A2, A3): length-prefixed msgpack frames, content as raw bytes.

A stream of `GET fs/delta` is one `Head`, then `Item`s with a `Mark` at least each 500 items or 100 ms, then one
`End`. A stream of `POST fs/blobs` is `Blob`s, in any order, then one `End`. A stream that stops without `End` was
cut: what came before it counts up to the last `Mark`.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from relayfile.errors import ProtocolMismatch, UsageError
from relayfile.model import Change, Delete, Digest, Mode, Put, TreePath

CONTENT_TYPE: Final = "application/vnd.relayfile.delta"
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
INLINE_BYTES: Final = 65_536
MAX_INLINE_BYTES: Final = 1_048_576
MAX_POSITION: Final = 10**18
"""More than any log will have, and little enough for every table."""
MAX_SIZE_BYTES: Final = 1 << 44
"""No file system keeps a larger file; the sizes of half a million of them still fit a sum."""
_OF_NOTHING: Final = sha256(b"").digest()


Position: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)]
Epoch: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]
HexDigest: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
"""Empty where nothing is told."""


Amount: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)]


class Head(msgspec.Struct, tag="head", tag_field="t", frozen=True, gc=False, omit_defaults=True):
    """First frame. `head` is the log's last position now; a generation begun at 0 keeps it as its `start` (R17).

    `items` and `size` (bytes of content) are about what will follow, for progress alone; 0 where it is not told.
    """

    epoch: Epoch
    head: Position
    items: Amount = 0
    size: Amount = 0


class Item(msgspec.Struct, tag="item", tag_field="t", frozen=True, gc=False, omit_defaults=True):
    """The last change of one path. `digest` is empty for a delete. `body` is there when it came inline."""

    path: str
    position: Position
    kind: Literal["put", "delete"] = "put"
    digest: bytes = b""
    size: int = 0
    mode: Mode = "644"
    body: bytes | None = None
    content_type: str = msgspec.field(default="", name="contentType")
    encoding: str = ""


class Mark(msgspec.Struct, tag="mark", tag_field="t", frozen=True, gc=False):
    """Everything up to position `cursor` has been sent: a legal resume point."""

    cursor: Position


class End(msgspec.Struct, tag="end", tag_field="t", frozen=True, gc=False):
    """Last frame. `tree_digest` is the digest of what the reader may see at exactly `cursor` (R18)."""

    cursor: Position
    tree_digest: bytes = msgspec.field(default=b"", name="treeDigest")


class Blob(msgspec.Struct, tag="blob", tag_field="t", frozen=True, gc=False):
    """One body by digest. `body` is None when no path readable by this token has that digest (R23)."""

    digest: bytes
    body: bytes | None


Frame: TypeAlias = Head | Item | Mark | End | Blob

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """The frame as it travels: 4 bytes of length, big-endian, then msgpack."""
    payload = _encoder.encode(frame)
    return len(payload).to_bytes(4, "big") + payload


class FrameReader:
    """Frames out of chunks of any size. Holds at most one incomplete frame.

    Raises:
        ProtocolMismatch: a frame is longer than `MAX_FRAME_BYTES` or is none of ours.
    """

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Every frame that `chunk` completes, in order."""
        pending = self._pending
        pending += chunk
        start, end = 0, len(pending)
        view = memoryview(pending)
        try:
            while end - start >= 4:
                length = int.from_bytes(view[start : start + 4], "big")
                if length > MAX_FRAME_BYTES:
                    raise ProtocolMismatch(f"a frame of {length} bytes; the limit is {MAX_FRAME_BYTES}")
                if end - start - 4 < length:
                    break
                # Released before an error travels on, or its traceback would keep `pending` from shrinking.
                with view[start + 4 : start + 4 + length] as payload:
                    frame = _decode(payload)
                start += 4 + length
                yield frame
        finally:
            view.release()
            del pending[:start]

    @property
    def incomplete(self) -> bool:
        """Whether bytes of an unfinished frame are held: the stream was cut if it ends now."""
        return bool(self._pending)


def _decode(payload: memoryview) -> Frame:
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ProtocolMismatch(f"a frame that is none of ours: {error}") from error


def item(change: Change) -> Item:
    """The frame that carries `change`."""
    if isinstance(change, Delete):
        return Item(change.path.wire, change.position, "delete")
    return Item(change.path.wire, change.position, "put", change.digest, change.size, change.mode, change.body)


def change(frame: Item) -> Change:
    """The change that `frame` carries.

    Raises:
        UsageError: code `invalid_path`: the path could name something outside a mirror; `invalid_version`: its
            digest or its size is none, or is not that of the body.
    """
    path = TreePath.parse(frame.path)
    if frame.kind == "delete":
        return Delete(path, frame.position)
    put = Put(path, frame.position, Digest(frame.digest), frame.size, frame.mode, frame.body)
    return sound(put)


def sound(put: Put) -> Put:
    """`put`, whose parts go together. Whether a body has its digest is for whoever uses the body to see.

    Raises:
        UsageError: code `invalid_version`.
    """
    if (fault := _unsound(put.digest, put.size, put.body)) is not None:
        raise UsageError(f"the server told nonsense of {put.path.wire[:120]!r}: {fault}", code="invalid_version")
    return put


def _unsound(digest: bytes, size: int, body: bytes | None) -> str | None:
    if len(digest) != len(_OF_NOTHING):
        return f"a digest of {len(digest)} bytes"
    if not 0 <= size <= MAX_SIZE_BYTES:
        return f"a size of {size} bytes"
    if body is not None and len(body) != size:
        return f"{len(body)} bytes that should be {size}"
    return "no bytes with the digest of some" if size == 0 and digest != _OF_NOTHING else None
