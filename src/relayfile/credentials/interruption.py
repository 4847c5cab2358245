"""No death by Ctrl-C or SIGTERM between a request that may rotate and the pair that must be kept (4-sessions I6)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DEFERRED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@contextmanager
def deferred() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP wait until the end of the block.

    Only in the main thread: elsewhere Python delivers no signal, and a process that has other threads lets this one
    finish before it exits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pending() -> bool:
    """Whether one of them waits: then nothing new is begun."""
    return bool(_DEFERRED & signal.sigpending())
