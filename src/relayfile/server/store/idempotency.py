"""What became of a write that carried a key, so that a repeated request changes nothing (R21, R29)."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import apsw

from relayfile.model import Digest, TreePath

DEFAULT_TTL_S: Final = 7 * 86_400
MAX_TTL_S: Final = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Key:
    """One account's key, and what it is used for: the same path and digest again is a repeat."""

    name: bytes
    said: bytes
    ttl_s: int

    @classmethod
    def of(cls, account: str, kind: str, key: str, *, ttl_s: int, path: TreePath, digest: Digest) -> "Key":
        """The key (kind, key) of this account, used to give `path` this content."""
        name = sha256(f"{account}\0{kind}\0{key}".encode("utf-8", "surrogatepass")).digest()[:16]
        said = sha256(path.encode() + b"\0" + digest).digest()[:16]
        return cls(name, said, min(ttl_s, MAX_TTL_S) if ttl_s > 0 else DEFAULT_TTL_S)


def earlier(connection: apsw.Connection, log: int, key: Key, now_ns: int) -> tuple[int, bool] | None:
    """(revision answered before, whether it was the same request); None when the key is unused or forgotten."""
    row = connection.execute(
        "SELECT position, said, ends_ns FROM idempotency WHERE log = ? AND name = ?", (log, key.name)
    ).fetchone()
    if row is None or row[2] <= now_ns:
        return None
    return int(row[0]), row[1] == key.said


def remember(connection: apsw.Connection, log: int, used: list[tuple[Key, int]], now_ns: int) -> None:
    """Each key stands for its revision until its time is over."""
    connection.executemany(
        "INSERT OR REPLACE INTO idempotency (log, name, said, position, ends_ns) VALUES (?, ?, ?, ?, ?)",
        sorted((log, key.name, key.said, position, now_ns + key.ttl_s * 1_000_000_000) for key, position in used),
    )


def forget(connection: apsw.Connection, now_ns: int) -> int:
    """Keys whose time is over are gone; the answer is their number."""
    connection.execute("DELETE FROM idempotency WHERE ends_ns <= ?", (now_ns,))
    return connection.changes()
