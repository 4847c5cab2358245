"""One login, as a process uses it: a token without a lock when there is one, else a renewal under the lock."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayfile.core.session import LoginState
    from relayfile.model import Grant, Secret


class Session:
    """The login of one credential file. Threads may share it."""

    def token(self, min_ttl_s: float = 0.0) -> "Secret":
        """A usable access token; renewed first when it must be."""
        raise NotImplementedError

    def renew_now(self, rejected: "Secret") -> "Secret":
        """An access token other than `rejected`, which the server refused."""
        raise NotImplementedError

    def adopt(self, grant: "Grant", *, scope: str | None = None, replace: bool = False) -> None:
        """`grant` is the login of this file, durably."""
        raise NotImplementedError

    def logout(self) -> bool:
        """There is no login in this file any more; whether the server was told."""
        raise NotImplementedError

    def state(self) -> "LoginState":
        """Where this login stands, as the files tell; no network, no lock."""
        raise NotImplementedError
