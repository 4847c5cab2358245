"""The live WebSocket (v1 `fs/ws` and protocol A5): one JSON object and a newline in each text frame.

`Event` is v1's frame. `LiveMark` frames and the field `previous` are sent only on sockets opened with `marks=1`
(R22): `previous` is the position of the last frame or mark on this socket, so a reader that holds another position
has missed something and goes back to `fs/delta`.
"""

import base64
import binascii
from typing import Final, Literal, TypeAlias

import msgspec

from relayfile.errors import ProtocolMismatch
from relayfile.model import Change, Delete, Digest, Mode, Put, TreePath
from relayfile.wire.data import TypeMetadata
from relayfile.wire.delta import Epoch, HexDigest, Position, sound

CLOSE_TOO_SLOW: Final = 1013
CLOSE_REVOKED: Final = 4401
MARK_EVERY_S: Final = 10.0
_DIGITS: Final = 18
"""Every position has fewer; what has more fits no table."""

EventType: TypeAlias = Literal["file.created", "file.updated", "file.deleted"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One change as v1 clients know it; `mode`, `size` and `previous` are ours."""

    event_id: str
    type: str
    path: str
    revision: str
    origin: str = ""
    provider: str = ""
    correlation_id: str = msgspec.field(default="", name="correlationId")
    timestamp: str = ""
    content_hash: str = ""
    content_type: str = ""
    content: str | None = None
    encoding: str = ""
    inline_content: bool = False
    type_metadata: TypeMetadata | None = None
    size: int = -1
    mode: Mode | None = None
    previous: Position | None = None


class LiveMark(msgspec.Struct, frozen=True, rename="camel"):
    """Every frame up to `position` was sent on this socket; `tree_digest` (hex) is of exactly that (R18)."""

    position: Position
    tree_digest: HexDigest
    epoch: Epoch
    previous: Position
    type: Literal["mark"] = "mark"


class Pong(msgspec.Struct, frozen=True):
    """Answer to a client's `{"type": "ping"}`."""

    timestamp: str
    type: Literal["pong"] = "pong"


_encoder = msgspec.json.Encoder()


def encode(frame: Event | LiveMark | Pong) -> str:
    """The frame as it travels."""
    return _encoder.encode(frame).decode() + "\n"


class _Kind(msgspec.Struct, frozen=True):
    type: str


def decode(text: str | bytes) -> Event | LiveMark | None:
    """The frame that `text` is; None for kinds that are not ours to understand (pong, provider events).

    Raises:
        ProtocolMismatch: it is not a frame at all.
    """
    try:
        kind = msgspec.json.decode(text, type=_Kind).type
        if kind == "mark":
            return msgspec.json.decode(text, type=LiveMark)
        if kind.startswith("file."):
            return msgspec.json.decode(text, type=Event)
    except msgspec.MsgspecError as error:
        raise ProtocolMismatch(f"a live frame that is none of ours: {error}") from error
    return None


def position(identifier: str) -> int:
    """N of `evt_N`, `rev_N` or `op_N`.

    Raises:
        ProtocolMismatch: it is none of them.
    """
    prefix, _, number = identifier.rpartition("_")
    if prefix not in {"evt", "rev", "op"} or not (number.isascii() and number.isdigit()) or len(number) > _DIGITS:
        raise ProtocolMismatch(f"not a position: {identifier[:40]!r}")
    return int(number)


def change(event: Event) -> Change:
    """The change that `event` carries, with its body when it came inline.

    Raises:
        UsageError: code `invalid_path` or `invalid_version`.
        ProtocolMismatch: no digest, or content that does not decode.
    """
    path = TreePath.parse(event.path)
    at = position(event.event_id)
    if event.type == "file.deleted":
        return Delete(path, at)
    try:
        digest = Digest(bytes.fromhex(event.content_hash))
        body = None if event.content is None else body_bytes(event.content, event.encoding)
    except (ValueError, binascii.Error) as error:
        raise ProtocolMismatch(f"a live frame for {event.path!r} that does not decode: {error}") from error
    size = len(body) if event.size < 0 and body is not None else event.size
    return sound(Put(path, at, digest, size, event.mode or "644", body))


def body_bytes(content: str, encoding: str) -> bytes:
    """Content as it stands in JSON, as bytes.

    Raises:
        ValueError: bad base64, or text that is not valid Unicode.
    """
    if encoding == "base64":
        return base64.b64decode(content, validate=True)
    return content.encode()
