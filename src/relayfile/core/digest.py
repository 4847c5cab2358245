"""The tree digest (protocol A4, R18): one number that says what a tree holds, kept in O(1) a change.

It is the sum modulo 2^256 of one leaf a live file, so it does not depend on order, and a change costs one
subtraction and one addition. It guards against bugs and lost updates, not against someone who chooses contents
to collide it.
"""

from hashlib import sha256
from typing import Final

from relayfile.model import Digest, Mode, TreePath, Version

EMPTY: Final = bytes(32)
_MODULUS: Final = 1 << 256


def leaf(path: TreePath, digest: Digest, mode: Mode) -> int:
    """One file's share: SHA-256(wire path, 00, the 32 digest bytes, 00, the mode in ASCII), as a number."""
    raw = b"/%b\0%b\0%b" % (path.encode(), digest, mode.encode())
    return int.from_bytes(sha256(raw).digest(), "big")


def moved(total: bytes, path: TreePath, before: Version | None, after: Version | None) -> bytes:
    """`total` after the path went from `before` to `after`; None is absent."""
    number = int.from_bytes(total, "big")
    if before is not None:
        number -= leaf(path, before.digest, before.mode)
    if after is not None:
        number += leaf(path, after.digest, after.mode)
    return (number % _MODULUS).to_bytes(32, "big")


def added(*totals: bytes) -> bytes:
    """The digest of the union of disjoint trees."""
    return (sum(int.from_bytes(total, "big") for total in totals) % _MODULUS).to_bytes(32, "big")
