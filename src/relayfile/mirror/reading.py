"""Local files, read in exactly the state in which they were last seen: whole, or piece by piece.

Whoever reads one learns when it is, or becomes meanwhile, another: half of a file that is being written is never
taken for its content.
"""

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from relayfile.mirror.beneath import Beneath, look, untouched
from relayfile.model import SYMLINK, Digest, Stat, TreePath

PIECE_BYTES: Final = 1 << 20


def whole(beneath: Beneath, path: TreePath, expected: Stat) -> bytes | None:
    """As `ports.Disk.read`."""
    if expected.mode == SYMLINK:
        return _target(beneath, path, expected)
    try:
        descriptor = opened(beneath, path)
    except OSError:
        return None
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        if not untouched(os.fstat(descriptor), expected):
            return None
        content = file.read()
        return content if untouched(os.fstat(descriptor), expected) else None


def pieces(beneath: Beneath, path: TreePath, expected: Stat, digest: Digest) -> Iterator[bytes | None]:
    """As `ports.Disk.pieces`."""
    try:
        descriptor = opened(beneath, path)
    except OSError:
        yield None
        return
    try:
        content, last = sha256(), b""
        unchanged = untouched(os.fstat(descriptor), expected)
        while unchanged and (piece := os.read(descriptor, PIECE_BYTES)):
            content.update(piece)
            if last:
                yield last
            last = piece
            unchanged = untouched(os.fstat(descriptor), expected)
        yield last if unchanged and content.digest() == digest else None
    except OSError:
        yield None
    finally:
        os.close(descriptor)


def _target(beneath: Beneath, path: TreePath, expected: Stat) -> bytes | None:
    above, _, name = path.rpartition("/")
    try:
        folder = beneath.folder(above)
    except OSError:
        return None
    try:
        name = beneath.naming.local(name, folder)
        target = os.readlink(os.fsencode(name), dir_fd=folder)
        return target if untouched(look(name, folder), expected) else None
    except OSError:
        return None
    finally:
        os.close(folder)


def opened(beneath: Beneath, path: TreePath) -> int:
    """A descriptor to read the file at the path.

    Raises:
        OSError: nothing that can be read lies there.
    """
    above, _, name = path.rpartition("/")
    folder = beneath.folder(above)
    try:
        return os.open(
            beneath.naming.local(name, folder),
            os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK,
            dir_fd=folder,
        )
    finally:
        os.close(folder)
