"""`.relay/parts`: large contents on their way from the server, each under its digest, whole or its beginning.

What lies here is never trusted: whoever wants to place it verifies all of it first, also after a power cut that may
have left anything in it. A content is moved from here into the stage, and back when it was not published.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Container, Iterator
from hashlib import sha256
from typing import Final

from relayfile.mirror.beneath import Beneath, look, names
from relayfile.mirror.ports import LARGE_BYTES, Lost
from relayfile.model import Digest

SPARE_BYTES: Final = 32 * 1024 * 1024
"""A content is not begun where it would leave less than this: other files are to be placed too."""
_BLOCK_BYTES: Final = 1 << 20
_NO_ROOM: Final = Lost("disk_full", "disk full: it does not fit")
_GONE: Final = Lost("unwanted", "what had come of it was removed")


class LocalParts:
    """`ports.Parts` on a real file system. `free_bytes` tells the room that is left on that of a descriptor;
    `make_room` makes more, as far as that can be, of what is less needed.
    """

    def __init__(
        self,
        beneath: Beneath,
        free_bytes: Callable[[int], int] | None = None,
        make_room: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._beneath = beneath
        self._make_room = make_room
        self._free_bytes = free_bytes or _free_bytes

    def begin(self, digest: Digest, size: int) -> int | Lost:
        """As `ports.Parts.begin`."""
        found = look(digest.hex(), self._beneath.parts)
        held = found.st_size if found is not None else 0
        if held > size:
            self._drop(digest)
            held = 0
        try:
            while (lacking := size - held + SPARE_BYTES - self._free_bytes(self._beneath.parts)) > 0:
                if not self._make_room(lacking):
                    self._drop(digest)
                    return _NO_ROOM
        except OSError as error:
            return self._refused(digest, error)
        return held

    def append(self, digest: Digest, at: int, piece: bytes) -> Lost | None:
        """As `ports.Parts.append`."""
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if at == 0 else 0)
        try:
            # the umask decides on its mode, as for any file of the user; the folder is private
            descriptor = os.open(digest.hex(), flags, 0o666, dir_fd=self._beneath.parts)
        except FileNotFoundError:
            return _GONE
        except OSError as error:
            return self._refused(digest, error)
        try:
            os.ftruncate(descriptor, at)
            left = memoryview(piece)
            while left:
                written = os.pwrite(descriptor, left, at)
                left, at = left[written:], at + written
        except OSError as error:
            return self._refused(digest, error)
        finally:
            os.close(descriptor)
        return None

    def verify(self, digest: Digest) -> Iterator[int | bool]:
        """As `ports.Parts.verify`."""
        content = sha256()
        try:
            descriptor = os.open(digest.hex(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._beneath.parts)
        except OSError:
            yield False
            return
        try:
            while block := os.read(descriptor, _BLOCK_BYTES):
                content.update(block)
                yield len(block)
        finally:
            os.close(descriptor)
        if fits := content.digest() == digest:
            yield fits
        else:
            self._drop(digest)
            yield False

    def keep_only(self, wanted: Container[Digest]) -> None:
        """As `ports.Parts.keep_only`."""
        for name in names(self._beneath.parts):
            if len(name) != 64 or Digest(bytes.fromhex(name)) not in wanted:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._beneath.parts)

    def _refused(self, digest: Digest, error: OSError) -> Lost:
        self._drop(digest)
        return Lost("disk_io", f"the disk does not take it: {error.strerror}")

    def _drop(self, digest: Digest) -> None:
        with contextlib.suppress(OSError):
            os.unlink(digest.hex(), dir_fd=self._beneath.parts)


def put_back(beneath: Beneath, folder: int, name: str, digest: Digest | None) -> None:
    """Content of ours that was staged and not published is gone; what is large lies in the parts again."""
    found = look(name, folder)
    if found is None:
        return
    if digest is not None and stat.S_ISREG(found.st_mode) and found.st_size > LARGE_BYTES:
        os.rename(name, digest.hex(), src_dir_fd=folder, dst_dir_fd=beneath.parts)
    else:
        os.unlink(name, dir_fd=folder)


def _free_bytes(folder: int) -> int:
    there = os.fstatvfs(folder)
    return there.f_bavail * there.f_frsize
