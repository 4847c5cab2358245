"""The access log: one JSON object a request, and the correlation id that ties a request to its log lines.

It knows the path but never the query (a socket's may hold a token), the account but never a header.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relayfile.wire.data import moment

ROTATE_BYTES: Final = 64 * 1024 * 1024
FLUSH_AFTER_S: Final = 0.2
_KEPT: Final = 2

_encoder = msgspec.json.Encoder()


class Asked(msgspec.Struct):
    """What is known of one request while it runs; handlers add the account once they know it."""

    correlation: str
    account: str = ""
    status: int = 0


def asked(scope: Scope) -> Asked:
    """What is known of the request of this scope."""
    state = scope.setdefault("state", {})
    if not isinstance(found := state.get("asked"), Asked):
        found = state["asked"] = Asked(_correlation(scope))
    return found


def correlation_of(scope: Scope) -> str:
    """The request's correlation id: the client's own, or one made here."""
    return asked(scope).correlation


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope.get("headers", ()):
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def _correlation(scope: Scope) -> str:
    given = _header(scope, b"x-correlation-id")
    return given if 0 < len(given) <= 128 and given.isprintable() else "c_" + secrets.token_hex(8)


class LogFile:
    """Lines appended to DATA/access.log (rotated), or to stderr. A line is on disk `FLUSH_AFTER_S` later at most."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def line(self, record: dict[str, object]) -> None:
        """The record is queued to be written."""
        self._lines.append(_encoder.encode(record) + b"\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self.flush)

    def flush(self) -> None:
        """Everything queued is written. A full disk costs log lines, never a request."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = b"".join(self._lines), []
        if not lines:
            return
        if self._path is None:
            sys.stderr.write(lines.decode())
            sys.stderr.flush()
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(lines)
                full = file.tell() >= ROTATE_BYTES
            if full:
                _rotate(self._path)
        except OSError:
            return


def _rotate(path: Path) -> None:
    for number in range(_KEPT, 0, -1):
        older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))


class RequestLog:
    """ASGI middleware: logs each request when its answer is complete, each socket when it closes."""

    def __init__(self, app: ASGIApp, write: Callable[[dict[str, object]], None] | None) -> None:
        self._app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        known = asked(scope)
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            kind = message["type"]
            if kind in {"http.response.start", "websocket.http.response.start"}:
                known.status = message["status"]
                MutableHeaders(scope=message).setdefault("X-Correlation-Id", known.correlation)
            elif kind == "websocket.accept":
                known.status = 101
            elif kind == "websocket.close":
                known.status = message.get("code", 1000)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            known.status = 500
            raise
        finally:
            if self._write is not None:
                self._write(
                    {
                        "at": moment(time.time_ns()),
                        "method": scope.get("method", "WS"),
                        "path": scope["path"],
                        "status": known.status,
                        "ms": round((time.perf_counter() - began) * 1_000, 2),
                        "account": known.account,
                        "correlationId": known.correlation,
                        "client": _header(scope, b"user-agent")[:200],
                    }
                )
