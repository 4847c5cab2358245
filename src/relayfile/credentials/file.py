"""The shared credential file: read by anyone, replaced only under its lock. No other module opens it (4-sessions B).

Named points at which a test may let the process die, in order: FP1 before the lock, FP2 after it, FP3 after the
reread, FP4 and FP5 around the intent, FP6 to FP8 in the exchange, FP9 to FP12 in the replacement, FP13 intent
removed, FP14 before the lock is let go.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from relayfile.credentials import durable, lock
from relayfile.credentials.clock import Clock
from relayfile.credentials.home import mark_secrets
from relayfile.credentials.journal import Journal
from relayfile.errors import Damaged, Misconfigured
from relayfile.wire.credentials import Content, decode, encode

Signature: TypeAlias = tuple[tuple[int, ...], ...]

_SUFFIX = ".json"
_REREADS = 5
_REREAD_PAUSE_S = 0.02


class CredentialFile:
    """One credential file and its lock. A symbolic link stays one: what it names is what is read and replaced."""

    def __init__(
        self,
        path: Path,
        stash_places: Sequence[Path] = (),
        *,
        reach: durable.Reach = durable.no_reach,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.path = str(path)
        self.reach = reach
        self._notice = notice
        self._stash_places = tuple(str(place) for place in stash_places)
        self.journal = self._journal()

    def signature(self) -> Signature:
        """What changes when the login or a verdict on it changes; costs two `stat`."""
        return (_stamp(self.path), _stamp(self.journal.verdict_path))

    def holder(self) -> lock.Note:
        """Who held the lock last, and why."""
        return lock.read_note(self._lock_path)

    def folder(self) -> str:
        """The folder in which the file, followed through links, lies or will lie."""
        return os.path.dirname(self._real)

    def read(self, clock: Clock) -> Content:
        """What the file holds. A half-written one is looked at again for 100 ms: a foreign writer may be at it.

        Raises:
            Damaged: it is no credential file.
            Misconfigured: it cannot be used: newer schema, unreadable, another owner, no regular file.
        """
        for _ in range(_REREADS - 1):
            try:
                return self.read_once()
            except Damaged:
                clock.sleep(_REREAD_PAUSE_S)
        return self.read_once()

    def read_once(self) -> Content:
        """What the file holds now; as `read`, without a second look."""
        raw = self._raw()
        if raw is None:
            return Content(None, {})
        try:
            return decode(raw)
        except Damaged as error:
            raise Damaged(
                f"{self.path} is no credential file: {error.message}; it was left as it is",
                code="credentials_damaged",
                hint="run `relayfile login URL`",
            ) from error
        except Misconfigured as error:
            raise Misconfigured(f"{self.path}: {error.message}", code=error.code, hint=error.hint) from error

    @contextmanager
    def locked(
        self,
        purpose: str,
        wait_s: float,
        clock: Clock,
        chance: Callable[[], float],
        needless: Callable[[], bool] = lambda: False,
    ) -> Iterator[lock.Lock | None]:
        """Inside, nobody else of ours changes the file; None when `needless()` became true while waiting.

        Raises:
            Unavailable: code `auth_busy`.
            Misconfigured: locks do not work here, or the folder cannot be made.
        """
        try:
            durable.private_folder(self.folder())
            mark_secrets(os.path.dirname(self.path))  # not where a link leads: that may be a person's whole home
        except OSError as error:
            raise self.unwritable(error) from error
        # A link may have been turned since the last time: the lock and all sidecars belong to what it names now.
        self.journal = self._journal()
        with lock.held(self._lock_path, purpose, wait_s, clock, chance, needless) as holding:
            yield holding

    def replace(self, content: Content) -> None:
        """The file holds `content`. Only under the lock.

        Raises:
            OSError: as `durable.replace`: the old file is whole, or else the new one is.
        Durable: on return.
        """
        durable.replace(self._real, encode(content), self.reach)

    def keep_damaged(self) -> None:
        """A file that could not be understood lies beside as `.damaged`, so that nothing in it is lost."""
        raw = self._raw()
        if raw and raw.strip():
            durable.replace(f"{self._base}.damaged", raw)

    def remove(self) -> None:
        """The file is gone; a link to it stays.

        Raises:
            OSError: it cannot be removed.
        """
        durable.remove(self._real)

    def check_writable(self, size: int = 16_384) -> None:
        """A replacement of `size` bytes would succeed now (4 B.5, preflight).

        Raises:
            Misconfigured: it would not; says which errno and path.
        """
        try:
            durable.probe(self._real, size)
        except OSError as error:
            raise self.unwritable(error) from error

    def unwritable(self, error: OSError) -> Misconfigured:
        """The error that says the file cannot be saved."""
        return Misconfigured(
            f"the login cannot be saved: {self.path}: {error.strerror}",
            code="credentials_unwritable",
            hint="free space or mend its permissions, or move RELAYFILE_HOME",
        )

    def say(self, notice: str) -> None:
        """People are told what was mended."""
        if self._notice is not None:
            self._notice(notice)

    @property
    def _real(self) -> str:
        return os.path.realpath(self.path)

    @property
    def _base(self) -> str:
        return self._real.removesuffix(_SUFFIX)

    @property
    def _lock_path(self) -> str:
        return f"{self._base}.lock"

    def _journal(self) -> Journal:
        return Journal(self._base, self._stash_places, self.reach)

    def _raw(self) -> bytes | None:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from error
        try:
            self._check(fd)
            return os.read(fd, durable.MAX_BYTES)
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from error
        finally:
            os.close(fd)

    def _check(self, fd: int) -> None:
        """It is a regular file of our own; what others might read of it is closed to them."""
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise self._unusable("is no regular file")
        if found.st_uid != os.geteuid():
            raise self._unusable(f"belongs to user {found.st_uid}, not to {os.geteuid()}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            try:
                os.fchmod(fd, 0o600)
            except OSError as error:
                raise self._unusable(f"can be read by others, and that cannot be mended: {error.strerror}") from error
            self.say(f"{self.path} could be read by others; its mode is 0600 now")

    def _unusable(self, why: str) -> Misconfigured:
        return Misconfigured(
            f"{self.path} {why}", code="credentials_unusable", hint="mend it, or set RELAYFILE_HOME to another folder"
        )


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or errno.EIO,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
