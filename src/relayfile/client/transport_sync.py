"""The standard library carries the requests of short commands: one at a time on a kept connection."""

from collections.abc import Callable
from typing import TypeVar

from relayfile.client.api import Request
from relayfile.model import Secret

T = TypeVar("T")


class SyncClient:
    """One server, as one command speaks with it. For one thread."""

    def __init__(
        self,
        api_url: str,
        token: Callable[[], Secret] | None = None,
        role: str = "cli",
        *,
        renew: Callable[[Secret], Secret] | None = None,
    ) -> None:
        raise NotImplementedError

    def call(self, request: Request[T]) -> T:
        """The answer to `request`. Transient trouble is repeated a few times; a refused token is renewed once."""
        raise NotImplementedError

    def close(self) -> None:
        """The connection is closed."""
        raise NotImplementedError
