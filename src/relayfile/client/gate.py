"""The daemon's gate before the network: a token when there is one, a wait when there is none, never an error.

One coroutine, `run`, renews and watches; every request only asks `token()`. So an expiry costs nothing, a dead login
is quiet (no request at all while it lasts), and a login by another process opens the gate within two seconds (P1-P3).
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from relayfile.core.session import LoginState
from relayfile.credentials.session import Session
from relayfile.model import Secret

T = TypeVar("T")


class RunBlocking(Protocol):
    """How work that blocks is kept off the event loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of `work`, run elsewhere."""


class Gate:
    """The login of one daemon, awaited by its requests. `run` must be running for anyone to get past a closed gate."""

    def __init__(self, session: Session, run_blocking: RunBlocking) -> None:
        self._session = session
        self._run_blocking = run_blocking

    @property
    def login(self) -> LoginState:
        """Where the login stands now, for `status`."""
        raise NotImplementedError

    async def token(self) -> Secret:
        """A usable access token; waits, without raising and without a request, while a sign-in is needed."""
        raise NotImplementedError

    def rejected(self, token: Secret) -> None:
        """The server refused `token`: it is renewed once, and not handed out again meanwhile."""
        raise NotImplementedError

    async def run(self) -> None:
        """Renews at the owner's point, watches the credential file, for ever."""
        raise NotImplementedError

    async def changed(self) -> LoginState:
        """Returns when the login's phase has changed."""
        raise NotImplementedError
