"""aiohttp carries the requests of a daemon: many at once on kept connections, streams, and the live socket.

It asks its `Tokens` for the bearer of each request and tells them when one was refused. It retries nothing else: feed
and engine know better than a transport what is worth repeating.
"""

import io
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import aiohttp

from relayfile import __version__
from relayfile.client.answers import (
    MAX_ANSWER_BYTES,
    Answer,
    begins_at,
    failure,
    json_object,
    not_relayfile,
    says_over,
    too_long,
)
from relayfile.client.api import Request
from relayfile.client.bandwidth import STEP_BYTES, Bandwidth
from relayfile.client.origin import Origin
from relayfile.errors import ProtocolMismatch, RelayfileError, Unavailable
from relayfile.model import Secret
from relayfile.wire import data, delta, live
from relayfile.wire.auth import user_agent

T = TypeVar("T")

READ_BUFFER_BYTES: Final = 8 * 1024 * 1024
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
PIECE_BYTES: Final = 512 * 1024
SILENCE_S: Final = 2.5 * live.MARK_EVERY_S
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=60.0)
_STREAM_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=30.0)


class Tokens(Protocol):
    """Where bearers come from; the daemon's is the `Gate`."""

    async def token(self) -> Secret:
        """A usable access token; waits, without raising, while there is none."""

    def rejected(self, token: Secret, *, over: bool = False) -> None:
        """The server refused `token`: it is not handed out again. `over`: what is behind it has ended."""


class AsyncClient:
    """One server, as one daemon speaks with it. Close it when done. Contents keep to `bandwidth`, questions do not.

    Runs in: the event loop that makes its first request.
    """

    def __init__(
        self, api_url: str, gate: Tokens | None, role: str = "daemon", bandwidth: Bandwidth | None = None
    ) -> None:
        self.bandwidth = bandwidth or Bandwidth()
        self._origin = Origin.parse(api_url)
        self._gate = gate
        self._agent = user_agent(__version__, role)
        self._http: aiohttp.ClientSession | None = None

    @property
    def api_url(self) -> str:
        """The server's address."""
        return self._origin.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Every connection is closed."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def call(self, request: Request[T]) -> T:
        """The answer to `request`.

        Raises:
            Unavailable: it did not get through, or the server is in trouble; nothing was retried but a refused token.
            RelayfileError: the error that the server told.
        """
        if request.body is not None and not self.bandwidth.up.free:
            slow = replace(request, headers=(*request.headers, ("Content-Length", str(len(request.body)))))
            return await self.send(slow, partial(_in_pieces, request.body))
        async with self._answered(request, _TIMEOUT) as response:
            return request.read(await _answer(response))

    async def send(self, request: Request[T], pieces: Callable[[], AsyncIterator[bytes]]) -> T:
        """As `call`, with a body that `pieces` brings piece by piece; the headers say how long it is.

        Raises:
            Exception: what `pieces` raised; the server has no whole body then.
        """
        raised: list[Exception] = []

        async def watched() -> AsyncIterator[bytes]:
            try:
                async for piece in pieces():
                    await self.bandwidth.up.take(len(piece))
                    yield piece
            except Exception as error:
                raised.append(error)
                raise

        try:
            async with self._answered(request, _TIMEOUT, payload=watched) as response:
                return request.read(await _answer(response))
        except Unavailable:
            if raised:
                raise raised[0] from None
            raise

    async def frames(self, request: Request[None]) -> AsyncGenerator[list[delta.Frame], None]:
        """The frames of a stream as they come, many at once when the network is ahead of the reader, but no more than
        a buffer of `PIECE_BYTES` holds: each becomes objects that take more than its bytes.

        Raises:
            Unavailable: the stream was cut, or nothing came for half a minute.
            RelayfileError: the error that the server told in place of a stream.
        """
        async with self._answered(request, _STREAM_TIMEOUT, self._ahead(PIECE_BYTES)) as response:
            if response.status != 200:
                raise failure(await _answer(response))
            if response.content_type != delta.CONTENT_TYPE:
                raise not_relayfile(Answer(response.status, _headers(response), b""))
            reader = delta.FrameReader()
            with _translated():
                async for chunk in response.content.iter_any():
                    if frames := list(reader.feed(chunk)):
                        await self.bandwidth.down.take(sum(map(_content_bytes, frames)))
                        yield frames

    async def pieces(self, request: Request[None]) -> AsyncGenerator[tuple[int, bytes], None]:
        """A long body as it comes, piece by piece, each with the place of its first byte in the whole.

        Raises:
            Unavailable: it was cut, or nothing came for half a minute.
            ProtocolMismatch: it has no byte there.
            RelayfileError: the error that the server told in its place.
        """
        piece_bytes = self._ahead(PIECE_BYTES)
        async with self._answered(request, _STREAM_TIMEOUT, piece_bytes) as response:
            if response.status == 416:
                raise ProtocolMismatch("the server has fewer bytes of a content than it said")
            if response.status not in {200, 206}:
                raise failure(await _answer(response))
            head = Answer(response.status, _headers(response), b"")
            if response.content_type != data.BINARY_CONTENT_TYPE:
                raise not_relayfile(head)
            at = begins_at(head)
            with _translated():
                async for piece in response.content.iter_chunked(piece_bytes):
                    await self.bandwidth.down.take(len(piece))
                    yield at, piece
                    at += len(piece)

    @asynccontextmanager
    async def socket(self, path: str, query: Iterable[tuple[str, str]] = ()) -> AsyncIterator["LiveSocket"]:
        """The live socket, open.

        Raises:
            Unavailable: it could not be opened; `fs/delta` tells why better than a refused upgrade can.
        """
        token = await self._bearer()
        try:
            with _translated():
                socket = await self._session().ws_connect(
                    self._origin.url + path,
                    params=list(query),
                    headers=self._headers(token),
                    heartbeat=live.MARK_EVERY_S * 2,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except Unavailable as error:
            if error.status == 401 and token is not None and self._gate is not None:
                self._gate.rejected(token)
            raise
        try:
            yield LiveSocket(socket)
        finally:
            if socket.close_code == live.CLOSE_REVOKED and token is not None and self._gate is not None:
                self._gate.rejected(token, over=True)
            await socket.close()

    @asynccontextmanager
    async def _answered(
        self,
        request: Request[T],
        limits: aiohttp.ClientTimeout,
        buffer_bytes: int = READ_BUFFER_BYTES,
        payload: Callable[[], AsyncIterator[bytes]] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer's head, with a token the server took, or with its word on why it takes none.

        At most about twice `buffer_bytes` of its body are read ahead.
        """
        for last in (False, True):
            token = None if request.anonymous else await self._bearer()
            with _translated():
                response = await self._session().request(
                    request.method,
                    self._origin.url + request.target,
                    data=_payload(request.body) if payload is None else payload(),
                    headers={**self._headers(token), **dict(request.headers)},
                    timeout=limits,
                    allow_redirects=False,
                    read_bufsize=buffer_bytes,
                )
            try:
                refused = response.status == 401 and token is not None and self._gate is not None
                if not refused or token is None or self._gate is None:
                    yield response
                    return
                answer = await _answer(response)
                if json_object(answer) is None:
                    raise not_relayfile(answer)
                self._gate.rejected(token, over=says_over(answer))
                if last:
                    raise Unavailable(
                        "the server refuses tokens it has just issued", code="token_rejected", status=401
                    )
            finally:
                if payload is not None and response.status >= 300:
                    response.close()  # it may have answered before it had the whole body
                else:
                    response.release()

    def _ahead(self, size_bytes: int) -> int:
        """How much is read at once: little where it has to wait."""
        return size_bytes if self.bandwidth.down.free else STEP_BYTES

    async def _bearer(self) -> Secret | None:
        return None if self._gate is None else await self._gate.token()

    def _headers(self, token: Secret | None) -> dict[str, str]:
        headers = {"X-Correlation-Id": f"rf_{os.urandom(8).hex()}", "Accept": "application/json"}
        # On loopback compressing costs more time than it saves; elsewhere the network is slower than gzip.
        headers["Accept-Encoding"] = "identity" if self._origin.loopback else "gzip"
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        return headers

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                headers={"User-Agent": self._agent},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._http


class LiveSocket:
    """An open live socket, read message by message."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> str | None:
        """The next message; None once the socket is closed, whoever closed it. `close_code` then says why.

        Raises:
            Unavailable: nothing came for longer than the server's heartbeat allows, or the connection broke.
        """
        with _translated():
            message = await self._socket.receive(timeout=SILENCE_S)
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        if message.type is aiohttp.WSMsgType.ERROR:
            raise Unavailable("the live socket broke", code="disconnected") from self._socket.exception()
        return None

    @property
    def close_code(self) -> int | None:
        """Why it was closed (RFC 6455 section 7.4); None while it is open."""
        return self._socket.close_code


class _translated:  # noqa: N801 - reads as a word where it is used
    """The one place where what aiohttp raises becomes ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, RelayfileError):
            return
        if isinstance(error, aiohttp.WSServerHandshakeError):
            raise Unavailable("the live socket was not opened", code="no_socket", status=error.status) from error
        if isinstance(error, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
            raise Unavailable(
                "the server's certificate is not trusted", code="certificate", hint="check the address and the clock"
            ) from error
        if isinstance(error, TimeoutError | aiohttp.ServerTimeoutError):
            raise Unavailable("the server did not answer in time", code="timeout") from error
        if isinstance(error, aiohttp.ClientConnectorError):
            raise Unavailable(f"the server cannot be reached: {error.strerror}", code="offline") from error
        if isinstance(error, aiohttp.ClientError | OSError):
            raise Unavailable("the connection to the server broke", code="disconnected") from error


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """A large body as a file, which aiohttp sends piece by piece, so that the event loop can breathe between them."""
    return io.BytesIO(body) if body is not None and len(body) > PIECE_BYTES else body


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), STEP_BYTES):
        yield body[start : start + STEP_BYTES]


def _content_bytes(frame: delta.Frame) -> int:
    return len(frame.body or b"") if isinstance(frame, delta.Item | delta.Blob) else 0


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    with _translated():
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                raise too_long()
    return Answer(response.status, _headers(response), bytes(body))
