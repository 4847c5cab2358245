"""The lock of a credential file: flock on a permanent file that nobody deletes and nobody judges by its age (4 B.3).

The kernel drops it when its holder dies, so it is never stale. What stands inside the file is for people, and the
pause that a server asked for.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from relayfile.credentials import durable
from relayfile.credentials.clock import Clock
from relayfile.errors import Misconfigured, Unavailable

_FIRST_POLL_S = 0.002
_LAST_POLL_S = 0.25
_POLLS_OF_WAIT = 10


class Note(msgspec.Struct, frozen=True, rename="camel"):
    """What the lock file says: who holds it and why; until when, by which boot's clock, the server wants a pause."""

    pid: int = 0
    purpose: str = ""
    since: float = 0.0
    boot: str = ""
    pause_until: float = 0.0


class Lock:
    """A lock that is held."""

    def __init__(self, fd: int, note: Note) -> None:
        self._fd = fd
        self.note = note

    def write(self, note: Note) -> None:
        """The lock file says `note`. Not durable and not needed to be: it is worthless after a crash."""
        self.note = note
        raw = msgspec.json.encode(note) + b"\n"
        try:
            os.pwrite(self._fd, raw, 0)
            os.ftruncate(self._fd, len(raw))
        except OSError:
            # On a full disk the note is lost; the lock itself needs no space.
            return


def read_note(path: str) -> Note:
    """What the lock file says; an empty note when it says nothing that can be read."""
    try:
        return msgspec.json.decode(durable.read(path) or b"{}", type=Note)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Note()


@contextmanager
def held(  # noqa: PLR0917 - called in one place
    path: str, purpose: str, wait_s: float, clock: Clock, chance: Callable[[], float], needless: Callable[[], bool]
) -> Iterator[Lock | None]:
    """Inside, this is the only holder on this machine; None as soon as `needless()` while it is waited for.

    Raises:
        Unavailable: code `auth_busy`: another process held it for all of `wait_s`.
        Misconfigured: code `no_lock`: locks do not work there (R8).
    """
    fd = _acquire(path, wait_s, clock, chance, needless)
    if fd is None:
        yield None
        return
    try:
        lock = Lock(fd, read_note(path))
        lock.write(
            Note(os.getpid(), purpose, clock.wall(), lock.note.boot, lock.note.pause_until),
        )
        yield lock
    finally:
        os.close(fd)


def _acquire(
    path: str, wait_s: float, clock: Clock, chance: Callable[[], float], needless: Callable[[], bool]
) -> int | None:
    began = clock.boottime()
    while True:
        fd = _open(path)
        try:
            if _try(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if needless():
            return None
        waited_s = clock.boottime() - began
        if waited_s >= wait_s:
            raise _busy(path, wait_s)
        # In proportion to the wait so far: what a renewal costs those who wait for it is little more than itself,
        # also where the server is a few milliseconds away. A look costs about 10 us.
        poll_s = min(_LAST_POLL_S, max(_FIRST_POLL_S, waited_s / _POLLS_OF_WAIT))
        clock.sleep(min(wait_s - waited_s, poll_s * (0.5 + chance())))


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _no_lock(path, error) from error


def _try(fd: int, path: str) -> bool:
    """Whether the lock is ours now. A file that lost its name, or a file system that only pretends, locks nothing."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise _no_lock(path, error) from error
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    if (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
        return False
    second = _open(path)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(second)
    raise _no_lock(path, OSError(errno.ENOLCK, "this file system grants a lock to two holders"))


def _busy(path: str, wait_s: float) -> Unavailable:
    pid = read_note(path).pid
    who = f"process {pid}" if pid else "another process"
    return Unavailable(
        f"{who} has been renewing the login for more than {wait_s:.0f} s",
        code="auth_busy",
        hint=f"see what {who} does; nothing was changed",
        details={"holder": pid},
    )


def _no_lock(path: str, error: OSError) -> Misconfigured:
    return Misconfigured(
        f"the login is left as it is: no lock on {path}: {error.strerror}",
        code="no_lock",
        hint="move RELAYFILE_HOME to a local, writable folder",
    )
