"""Errors to HTTP answers: one table, one body shape (A8)."""

import logging
import math
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from relayfile.errors import RelayfileError, Unavailable, UsageError
from relayfile.server.requestlog import correlation_of
from relayfile.wire import data

_HTTP: Final = {
    404: ("not_found", "route not found"),
    405: ("method_not_allowed", "this route does not take that method"),
    426: ("upgrade_required", "this route is a WebSocket"),
}
"""What the router itself refuses. Every other refusal is a `RelayfileError` with a status of its own."""

_log = logging.getLogger(__name__)


def too_large(limit_bytes: int, what: str = "a request body") -> UsageError:
    """413, naming the limit."""
    return UsageError(
        f"the limit of {what} is {limit_bytes} bytes",
        code="payload_too_large",
        status=413,
        hint="send fewer files at once, or a big file with Content-Type: application/octet-stream",
        details={"limitBytes": limit_bytes},
    )


def answer(error: RelayfileError, correlation: str) -> Response:
    """The HTTP answer that tells `error`."""
    headers = {"X-Correlation-Id": correlation}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s or 1))
    if error.status == 401:
        headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{error.code}"'
    return Response(data.error_json(error, correlation), error.status, headers, "application/json")


def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that a rule of ours refused."""
    assert isinstance(error, RelayfileError)
    if error.status >= 500 and not isinstance(error, Unavailable):
        _log.error("%s %s: %s", request.method, request.url.path, error.message)
    return answer(error, correlation_of(request.scope))


def not_routed(request: Request, error: Exception) -> Response:
    """The answer to a request that the router refused."""
    assert isinstance(error, HTTPException)
    code, message = _HTTP.get(error.status_code, ("bad_request", str(error.detail)))
    refusal = UsageError(message, code=code, status=error.status_code)
    reply = answer(refusal, correlation_of(request.scope))
    reply.headers.update(error.headers or {})
    return reply


def gone(request: Request, error: Exception) -> Response:
    """The answer to a request whose sender went away in the middle of its body: only the access log hears it."""
    assert isinstance(error, ClientDisconnect)
    ended = Unavailable(
        "the request ended before its body did; nothing of it was kept", code="interrupted", status=408
    )
    return answer(ended, correlation_of(request.scope))


def broken(request: Request, error: Exception) -> Response:
    """The answer when this program is wrong. What happened is in the log, under the correlation id."""
    correlation = correlation_of(request.scope)
    _log.error("%s %s failed (%s)", request.method, request.url.path, correlation, exc_info=error)
    failure = RelayfileError(
        "the server failed on this request", hint=f"its log says more under {correlation}; nothing was half done"
    )
    return answer(failure, correlation)


HANDLERS: Final[dict[int | type[Exception], ExceptionHandler]] = {
    RelayfileError: refused,
    HTTPException: not_routed,
    ClientDisconnect: gone,
    Exception: broken,
}
