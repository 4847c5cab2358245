"""The standard library carries the requests of short commands: one at a time, on a connection that is kept.

Loads no event loop. Transient trouble is repeated a few times here, because a person waits; a refused token is
renewed once, through the login, which adopts what another process may have renewed meanwhile.
"""

import http.client
import os
import random
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from relayfile import __version__
from relayfile.client.answers import MAX_ANSWER_BYTES, NOT_RELAYFILE, Answer, json_object, says_over, too_long
from relayfile.client.api import Request
from relayfile.client.origin import Origin, trouble_of
from relayfile.core import schedule
from relayfile.core.causes import Kind
from relayfile.credentials.session import Session
from relayfile.errors import LoginRequired, Unavailable
from relayfile.model import Secret
from relayfile.wire.auth import user_agent

T = TypeVar("T")

OFFLINE: Final = "offline"
"""The code of an `Unavailable`: no connection could be made, so nothing was sent."""
_TIMEOUT_S: Final = 60.0
_CONNECT_S: Final = 5.0
_ATTEMPTS: Final = 3
_LONGEST_WAIT_S: Final = 10.0


class Renew(Protocol):
    """Where another access token comes from when one was refused; a sign-in's is `Session.renew_now`."""

    def __call__(self, rejected: Secret, /, *, over: bool) -> Secret:
        """One other than `rejected`; `over`: the server said that the sign-in behind it has ended."""


class SyncClient:
    """One server, as one command speaks with it. For one thread. Close it when done."""

    def __init__(
        self,
        api_url: str,
        token: Callable[[], Secret] | None = None,
        role: str = "cli",
        *,
        renew: Renew | None = None,
    ) -> None:
        self._origin = Origin.parse(api_url)
        self._token = token
        self._renew = renew
        self._agent = user_agent(__version__, role)
        self._connection: http.client.HTTPConnection | None = None
        self._sleep = time.sleep
        self._chance = random.SystemRandom().random

    @classmethod
    def signed_in(cls, session: Session, role: str = "cli") -> Self:
        """A client for the server of this login.

        Raises:
            LoginRequired: there is no login.
        """
        api_url = session.api_url()
        if api_url is None:
            session.token()
            raise LoginRequired("not signed in", hint="run `relayfile login URL`")
        return cls(api_url, session.token, role, renew=session.renew_now)

    @property
    def api_url(self) -> str:
        """The server's address."""
        return self._origin.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The connection is closed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, request: Request[T]) -> T:
        """The answer to `request`. Transient trouble is repeated a few times, a refused token renewed once.

        Raises:
            Unavailable: it still does not get through.
            LoginRequired: the login has ended, or the server refuses a token that it has just issued.
            RelayfileError: the error that the server told.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return request.read(self._authorised(request))
            except Unavailable as error:
                wait_s = schedule.reconnect_s(attempt, self._chance(), retry_after_s=error.retry_after_s)
                if attempt >= _ATTEMPTS or wait_s > _LONGEST_WAIT_S or not self._may_repeat(request, error):
                    raise
                self._sleep(wait_s)

    def _may_repeat(self, request: Request[T], error: Unavailable) -> bool:
        """A login that is busy or out of reach has had its retries; a request that may have acted is not repeated."""
        if error.code.startswith("auth_") or error.code == "token_rejected":
            return False
        unknown = error.code in {"disconnected", "timeout", NOT_RELAYFILE} or error.status not in {429, 503}
        return request.repeatable or not unknown

    def _authorised(self, request: Request[T]) -> Answer:
        token = None if request.anonymous or self._token is None else self._token()
        answer = self._send(request, token)
        if answer.status != 401 or token is None or self._renew is None or json_object(answer) is None:
            return answer
        return self._send(request, self._renew(token, over=says_over(answer)))

    def _send(self, request: Request[T], token: Secret | None) -> Answer:
        headers = {
            "User-Agent": self._agent,
            "X-Correlation-Id": f"rf_{os.urandom(8).hex()}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **dict(request.headers),
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        kept = self._connection is not None
        if kept and not request.repeatable:
            # A kept connection may have been closed by the server just now, and then nobody knows what it did.
            self.close()
            kept = False
        try:
            return self._round_trip(request, headers)
        except Unavailable as error:
            if not kept or error.code != "disconnected":
                raise
        return self._round_trip(request, headers)

    def _round_trip(self, request: Request[T], headers: dict[str, str]) -> Answer:
        connection = self._opened()
        try:
            connection.request(request.method, self._origin.prefix + request.target, request.body, headers)
            response = connection.getresponse()
            body = _whole(response)
        except TimeoutError as error:
            self.close()
            raise Unavailable(f"{self._origin.netloc} did not answer in time", code="timeout") from error
        except (OSError, http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
            self.close()
            raise Unavailable(f"the connection to {self._origin.netloc} broke", code="disconnected") from error
        except http.client.HTTPException as error:
            self.close()
            raise Unavailable(
                f"{self._origin.netloc} does not answer as a server of the web does",
                code="disconnected",
                hint="check the address: something else may listen there",
            ) from error
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def _opened(self) -> http.client.HTTPConnection:
        if self._connection is not None:
            return self._connection
        connection = self._origin.connection(_CONNECT_S)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(
                f"the certificate of {self._origin.netloc} is not trusted",
                code="certificate",
                hint="check the address and this machine's clock",
            ) from error
        except OSError as error:
            if trouble_of(error) is Kind.NO_TLS:
                raise Unavailable(
                    f"{self._origin.netloc} speaks no TLS",
                    code="no_tls",
                    hint=f"try http://{self._origin.netloc}",
                ) from error
            why = error.strerror or "it did not answer in time"
            raise Unavailable(
                f"{self._origin.netloc} cannot be reached: {why}",
                code=OFFLINE,
                hint="is the server running, and is this its address?",
            ) from error
        connection.sock.settimeout(_TIMEOUT_S)
        self._connection = connection
        return connection


def _whole(response: http.client.HTTPResponse) -> bytes:
    """The body, which has an end."""
    # With a length, `read()` notices a body that was cut and `read(n)` does not; without one, `read()` has no bound.
    if response.length is None:
        body = response.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise too_long()
        return body
    if response.length > MAX_ANSWER_BYTES:
        raise too_long()
    return response.read()
