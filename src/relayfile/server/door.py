"""What every data request passes first: its bearer, its place in the workspace, its body within the limit."""

import asyncio
from typing import Final, TypeVar

import msgspec
from starlette.requests import HTTPConnection, Request

from relayfile.errors import UsageError
from relayfile.server.bearer import Access, Bearer, presented
from relayfile.server.config import Limits
from relayfile.server.problems import too_large
from relayfile.server.requestlog import asked
from relayfile.wire import lenient

T = TypeVar("T")

DRAIN_BYTES: Final = 256 * 1024 * 1024
"""How much of a body over the limit is still read and thrown away, so that its sender hears why it was refused."""
_IN_THREAD_BYTES: Final = 1_048_576


class Door:
    """Lets a request in, or says why not."""

    def __init__(self, bearer: Bearer, limits: Limits) -> None:
        self.bearer = bearer
        self._limits = limits

    async def enter(self, connection: HTTPConnection, action: str, *, token: str | None = None) -> Access:
        """The request's place in the workspace its route names; `action` is allowed somewhere there.

        `token` is used when there is no `Authorization` header (a socket's query).

        Raises:
            LoginRequired: before anything is said about the workspace.
            NotFound: `workspace_not_found`; RelayfileError 410 `workspace_deleted`; Forbidden.
        """
        principal = await self.bearer.principal(presented(connection.headers.get("authorization")) or token)
        asked(connection.scope).account = principal.account
        access = await self.bearer.access(principal, connection.path_params["ws"])
        access.require(action, None)
        return access

    async def body(self, request: Request) -> bytes:
        """The whole body.

        Raises:
            UsageError: 413 `payload_too_large`, naming the limit.
        """
        limit = self._limits.body_bytes
        chunks, total = [], 0
        too_much = int(request.headers.get("content-length", "0") or 0) > limit
        async for chunk in request.stream():
            total += len(chunk)
            if total > limit:
                too_much = True
            if not too_much:
                chunks.append(chunk)
            elif total > DRAIN_BYTES:
                break
        if too_much:
            raise too_large(limit)
        return b"".join(chunks) if len(chunks) != 1 else chunks[0]

    async def json(self, request: Request, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as what `decoder` makes of it.

        Raises:
            UsageError: 400: the body is not JSON, or is none of what this route takes; 413.
        """
        body = await self.body(request)
        if len(body) > _IN_THREAD_BYTES:
            return await asyncio.to_thread(_decoded, decoder, body)
        return _decoded(decoder, body)

    @property
    def file_limit_bytes(self) -> int:
        """The largest file that may be streamed in."""
        return self._limits.file_bytes


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return lenient.decoded(body, decoder)
    except msgspec.ValidationError as error:
        raise UsageError(f"the body is not what this route takes: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not JSON: {error}") from error
    except RecursionError:
        raise UsageError("the body is nested too deeply") from None


def number(connection: HTTPConnection, name: str, usual: int, *, least: int = 1, most: int = 1_000) -> int:
    """A numeric query parameter as v1 reads it: what is no number or too small is `usual`, too large is clamped."""
    text = connection.query_params.get(name, "")
    if not (text.isascii() and text.isdigit()) or int(text[:20]) < least:
        return usual
    return min(int(text[:20]), most)


def within(limit: int, size: int) -> None:
    """`size` is within `limit`.

    Raises:
        UsageError: 413.
    """
    if size > limit:
        raise too_large(limit, "a file")
