"""Small private files that are whole or old, never half: written beside, synced, renamed, the folder synced."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress

Reach = Callable[[str], None]
"""Called with the name of each point at which a test may let the process die."""

MAX_BYTES = 1_048_576


def no_reach(_point: str) -> None:
    """Nothing dies here."""


def read(path: str) -> bytes | None:
    """The bytes of a small file; None when there is none or it cannot be read."""
    try:
        return read_strictly(path)
    except OSError:
        return None


def read_strictly(path: str) -> bytes | None:
    """The bytes of a small file; None when there is none.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, MAX_BYTES)
    finally:
        os.close(fd)


def replace(path: str, raw: bytes, reach: Reach = no_reach) -> None:
    """The file holds `raw`, mode 0600; a crash leaves the old one or the new one.

    Only for callers that hold the lock: the name beside it is always the same, so that what a crash left there is
    overwritten by the next write and never piles up.

    Raises:
        OSError: it could not be written: the old file is whole; or only the folder could not be synced: then the new
            one is, and a power cut may still bring the old one back. Who must know which reads it.
    Durable: on return.
    """
    beside = f"{path}.tmp"
    try:
        _write(beside, raw, reach)
        os.replace(beside, path)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        raise
    reach("FP11 renamed")
    sync_folder(path)
    reach("FP12 folder synced")


def _write(beside: str, raw: bytes, reach: Reach) -> None:
    with suppress(FileNotFoundError):
        os.unlink(beside)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(raw)
        while view:
            view = view[os.write(fd, view) :]
        reach("FP9 written")
        os.fsync(fd)
    finally:
        os.close(fd)
    reach("FP10 synced")


def probe(path: str, size: int) -> None:
    """A file of `size` bytes can be written beside `path` now.

    Raises:
        OSError: it cannot; nothing has changed.
    """
    beside = f"{path}.tmp"
    try:
        _write(beside, bytes(size), no_reach)
    finally:
        with suppress(OSError):
            os.unlink(beside)


def remove(path: str) -> None:
    """The file is gone, durably; it may have been absent.

    Raises:
        OSError: it cannot be removed.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_folder(path)


def sync_folder(path: str) -> None:
    """The entries of the folder `path` lies in are on disk."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def private_folder(path: str) -> None:
    """The folder exists; whatever part of the way had to be made is 0700.

    Raises:
        OSError: it cannot be made.
    """
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent != path:
            private_folder(parent)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):  # somebody else may have made it meanwhile
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
