"""Long answers: frame streams, compressed only for who asks, and ranges of one body."""

import re
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from relayfile.wire import data, delta

_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def framed(request: Request, parts: AsyncIterator[bytes]) -> StreamingResponse:
    """`parts` as a stream of frames."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}
    if _accepts_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        parts = _gzipped(parts)
    return StreamingResponse(parts, headers=headers, media_type=delta.CONTENT_TYPE)


def _accepts_gzip(said: str) -> bool:
    for word in said.lower().split(","):
        name, _, quality = word.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


async def _gzipped(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each part can be read as soon as it came: what is compressed is flushed with it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WBITS)
    async for part in parts:
        yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def part_of(body: bytes, tag: str, asked: Mapping[str, str]) -> Response:
    """The whole body, or the one range of it that the headers of the request ask for (RFC 9110, 13.1.5 and 14)."""
    found = _RANGE.fullmatch(asked["range"].strip()) if "range" in asked else None
    if asked.get("if-range", tag) != tag:
        found = None
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    if found is None or not (found[1] or found[2]):
        return Response(body, 200, headers, data.BINARY_CONTENT_TYPE)
    first = int(found[1]) if found[1] else max(0, len(body) - int(found[2]))
    last = min(int(found[2]), len(body) - 1) if found[1] and found[2] else len(body) - 1
    if first > last:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    return Response(body[first : last + 1], 206, headers, data.BINARY_CONTENT_TYPE)
