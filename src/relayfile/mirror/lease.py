"""The lease of a mirror root: one process at a time works on a directory, whichever home it belongs to (R33).

It is `flock` on the descriptor of the root directory itself, so it dies with its holder, needs no file that a
clean-up could remove, and is seen by daemons of every RELAYFILE_HOME. Where the file system refuses to lock a
directory, `.relay/lock` is locked instead and its inode is checked by `held()`. That file always says who holds it.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from relayfile.errors import LeaseHeld, Misconfigured

LOCK: Final = "lock"
_TRIES: Final = 5
_TRY_EVERY_S: Final = 0.02
_REFUSED: Final = frozenset(
    {
        errno.EBADF,
        errno.EINVAL,
        errno.ENOLCK,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.EISDIR,
    }
)


class Lease:
    """Exclusive ownership of one mirror root while it is entered.

    `root` is a descriptor of the root, `private` one of its `.relay` folder; both stay the caller's. `pause` is how
    it waits a moment for somebody who only asks whether the root is held.
    """

    def __init__(self, root: int, private: int, directory: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._root = root
        self._private = private
        self._directory = directory
        self._pause = pause
        self._file: int | None = None
        self._by_file = False

    def __enter__(self) -> Self:
        """This process owns the root.

        Raises:
            LeaseHeld: another process does; names it and the directory.
            Misconfigured: the file system can lock neither the directory nor a file.
        """
        # O_CREAT without O_EXCL: the file says who holds the lease, its existence says nothing
        self._file = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._private)
        try:
            self._by_file = not self._locked(self._root)
            if self._by_file:
                self._lock_by_file(self._file)
            holder = json.dumps({"pid": os.getpid(), "directory": self._directory}) + "\n"
            # no room for a note is no reason to refuse: the lock is what counts
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, holder.encode(errors="surrogateescape"), 0)
        except BaseException:
            os.close(self._file)
            self._file = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The root is free for another process."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        if not self._by_file:
            fcntl.flock(self._root, fcntl.LOCK_UN)
        os.close(self._file)
        self._file = None

    def held(self) -> bool:
        """Whether the lease still excludes others: false once a lock held through the file lost its file."""
        if self._file is None:
            return False
        if not self._by_file:
            return True
        try:
            there = os.stat(LOCK, dir_fd=self._private, follow_symlinks=False)
        except OSError:
            return False
        mine = os.fstat(self._file)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def _lock_by_file(self, descriptor: int) -> None:
        if not self._locked(descriptor):
            raise Misconfigured(
                f"the file system of {self._directory} has no working locks",
                code="no_locks",
                hint="mount a directory on a local disk",
            )

    def _locked(self, descriptor: int) -> bool:
        """Whether it is locked now; False: this file system cannot lock it."""
        for tries_left in reversed(range(_TRIES)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if tries_left:  # it may only be somebody who asks whether it is held
                    self._pause(_TRY_EVERY_S)
                    continue
                raise self._held() from None
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
                return False
            else:
                return True
        raise AssertionError("the last try ends it")

    def _held(self) -> LeaseHeld:
        pid = holder(self._private)
        who = f"process {pid}" if pid else "another process"
        return LeaseHeld(
            f"{who} already keeps {self._directory} equal to its workspace",
            pid=pid,
            hint="`relayfile status` shows it, `relayfile stop` ends it",
        )


def holder(private: int) -> int | None:
    """The process that says it holds the lease of the root with this `.relay`; None when nobody says so."""
    try:
        descriptor = os.open(LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=private)
    except OSError:
        return None
    try:
        pid = json.loads(os.read(descriptor, 65536))["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        os.close(descriptor)
    return pid if isinstance(pid, int) else None


def held_by(root: int, private: int) -> int | None:
    """The process that holds the lease of this root; None when nobody does.

    The number in the file is believed only while the lease cannot be taken. A shared lock is tried, so that two who
    ask at once do not take each other for a holder.
    """
    pid = holder(private)
    if pid is None or pid == os.getpid():
        return pid
    for descriptor in (root, _lock_file(private)):
        if descriptor is None:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid
        except OSError:  # this one cannot be locked: then the other is the lease
            continue
        else:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            if descriptor != root:
                os.close(descriptor)
    return None


def _lock_file(private: int) -> int | None:
    try:
        return os.open(LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=private)
    except OSError:
        return None
