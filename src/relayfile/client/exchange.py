"""The renewal request, and the one place that opens the login of a profile."""

from collections.abc import Callable

from relayfile.credentials.home import Home
from relayfile.credentials.session import Session


def open_session(home: Home, profile: str, role: str, *, notice: Callable[[str], None] | None = None) -> Session:
    """The login of a profile. `role` is `daemon` (renews early) or `cli`; `notice` is told what was mended."""
    raise NotImplementedError
