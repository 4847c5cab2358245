"""Starting and stopping the daemon of a mirror from another process.

The daemon is `python -m relayfile mount --foreground --mirror ID --ready-fd N`, in a session of its own. Over the
descriptor N it says one line when it is ready, or why it ends: the wait needs no polling and no guess.
"""

from relayfile.credentials.home import Home
from relayfile.mirror.registry import Record

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0


def start(home: Home, record: Record, *, within_s: float = READY_WITHIN_S) -> None:
    """A daemon keeps the mirror, and has its lease and its first observation (R35).

    Raises:
        LeaseHeld: a daemon already does.
        Unavailable: code `not_ready`: it runs and goes on trying, but was not ready after `within_s`.
        RelayfileError: of the class and with the message with which the daemon ended.
    """
    raise NotImplementedError


def stop(home: Home, record: Record, *, within_s: float = STOP_WITHIN_S) -> bool:
    """No daemon keeps the mirror. False: none did.

    Raises:
        Unavailable: code `not_stopping`: it was still there after `within_s`.
    """
    raise NotImplementedError


def pid(home: Home, record: Record) -> int | None:
    """The process that keeps the mirror; None when none does."""
    raise NotImplementedError
