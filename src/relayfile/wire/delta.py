"""The delta and blob streams (protocol A2, A3): length-prefixed msgpack frames, content as raw bytes.

A stream of `GET fs/delta` is one `Head`, then `Item`s with a `Mark` at least each 500 items or 100 ms, then one
`End`. A stream of `POST fs/blobs` is `Blob`s, in any order, then one `End`. A stream that stops without `End` was
cut: what came before it counts up to the last `Mark`.
"""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from relayfile.errors import ProtocolMismatch
from relayfile.model import Change, Delete, Digest, Mode, Put, TreePath

CONTENT_TYPE: Final = "application/vnd.relayfile.delta"
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
INLINE_BYTES: Final = 65_536
MAX_INLINE_BYTES: Final = 1_048_576


class Head(msgspec.Struct, tag="head", tag_field="t", frozen=True, gc=False):
    """First frame. `head` is the log's last position now; a generation begun at 0 keeps it as its `start` (R17)."""

    epoch: str
    head: int


class Item(msgspec.Struct, tag="item", tag_field="t", frozen=True, gc=False, omit_defaults=True):
    """The last change of one path. `digest` is empty for a delete. `body` is there when it came inline."""

    path: str
    position: int
    kind: Literal["put", "delete"] = "put"
    digest: bytes = b""
    size: int = 0
    mode: Mode = "644"
    body: bytes | None = None
    content_type: str = msgspec.field(default="", name="contentType")
    encoding: str = ""


class Mark(msgspec.Struct, tag="mark", tag_field="t", frozen=True, gc=False):
    """Everything up to position `cursor` has been sent: a legal resume point."""

    cursor: int


class End(msgspec.Struct, tag="end", tag_field="t", frozen=True, gc=False):
    """Last frame. `tree_digest` is the digest of what the reader may see at exactly `cursor` (R18)."""

    cursor: int
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
                frame = _decode(view[start + 4 : start + 4 + length])
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
        UsageError: code `invalid_path`: the path could name something outside a mirror.
    """
    path = TreePath.parse(frame.path)
    if frame.kind == "delete":
        return Delete(path, frame.position)
    return Put(path, frame.position, Digest(frame.digest), frame.size, frame.mode, frame.body)
