"""The ordered log of a workspace: beginning it, its newest state, and the pages that feeds read.

Each function runs inside one transaction that its caller opened; nothing here holds one across a network write.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import apsw

from relayfile.core import digest as tree_digest
from relayfile.errors import NotFound
from relayfile.model import Digest, Mode, TreePath

CREATED: Final = 0
UPDATED: Final = 1
DELETED: Final = 2
PAGE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Log:
    """One workspace's log as a transaction found it. `tree_digest` and `files` are of exactly `head`."""

    id: int
    workspace: str
    epoch: str
    head: int
    tree_digest: bytes
    files: int
    pruned: int
    acl_position: int


class Event(NamedTuple):
    """One change as the log holds it. `current` tells whether it still is the newest of its path.

    `body` is there for contents up to the size the reader asked for, while `body_id` 0 with a size means that the
    content lies in the blob folder.
    """

    position: int
    path: TreePath
    kind: int
    digest: Digest
    size: int
    mode: Mode
    content_type: str
    encoding: Literal["", "base64"]
    body_id: int
    at_ns: int
    account: str
    correlation: str
    semantics: str | None
    current: bool
    body: bytes | None


_COLUMNS: Final = (
    "e.position, e.path, e.kind, e.digest, e.size, e.mode, e.content_type, e.encoding, e.body, e.at_ns, e.account,"
    " e.correlation, e.semantics"
)


def new_epoch() -> str:
    """A name no log had before."""
    return secrets.token_hex(8)


def begin_log(connection: apsw.Connection, workspace: str) -> str:
    """The workspace has an empty log; the answer is its epoch.

    Runs in: the transaction that creates the workspace.
    """
    epoch = new_epoch()
    connection.execute(
        "INSERT INTO log (workspace, epoch, tree_digest) VALUES (?, ?, ?)", (workspace, epoch, tree_digest.EMPTY)
    )
    return epoch


def log_of(connection: apsw.Connection, workspace: str) -> Log:
    """The workspace's log, as of this transaction.

    Raises:
        NotFound: `workspace_not_found`.
    """
    row = connection.execute(
        "SELECT id, workspace, epoch, head, tree_digest, files, pruned, acl_position FROM log WHERE workspace = ?",
        (workspace,),
    ).fetchone()
    if row is None:
        raise NotFound("no such workspace, or you are not a member of it", code="workspace_not_found")
    return Log(*row)


def changed_after(
    connection: apsw.Connection, log: Log, since: int, *, limit: int, inline_bytes: int
) -> Iterator[Event]:
    """Each path whose last change lies behind `since`, in the order of those changes; at most `limit` of them."""
    for row in connection.execute(
        f"SELECT {_COLUMNS}, 1, b.bytes FROM node n INDEXED BY node_by_position"  # noqa: S608 - our own column names
        " CROSS JOIN event e ON e.log = n.log AND e.position = n.position"
        " LEFT JOIN body b ON b.id = e.body AND e.size <= ?"
        " WHERE n.log = ? AND n.position > ? ORDER BY n.position LIMIT ?",
        (inline_bytes, log.id, since, limit),
    ):
        yield _event(row)


def amount_after(connection: apsw.Connection, log: Log, since: int) -> tuple[int, int]:
    """How many paths `changed_after` has from there on, and how many bytes of content."""
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(e.size), 0) FROM node n INDEXED BY node_by_position"
        " CROSS JOIN event e ON e.log = n.log AND e.position = n.position WHERE n.log = ? AND n.position > ?",
        (log.id, since),
    ).get
    return int(count), int(size)


def events_after(
    connection: apsw.Connection, log: Log, since: int, *, limit: int, inline_bytes: int = -1
) -> Iterator[Event]:
    """Every change behind `since`, oldest first. A body comes only with a change that is still the newest."""
    for row in connection.execute(
        f"SELECT {_COLUMNS}, n.position = e.position, b.bytes FROM event e"  # noqa: S608
        " LEFT JOIN node n ON n.log = e.log AND n.path = e.path"
        " LEFT JOIN body b ON b.id = e.body AND e.size <= ? AND n.position = e.position"
        " WHERE e.log = ? AND e.position > ? ORDER BY e.position LIMIT ?",
        (inline_bytes, log.id, since, limit),
    ):
        yield _event(row)


def events_before(connection: apsw.Connection, log: Log, before: int, *, limit: int) -> Iterator[Event]:
    """Every change below position `before`, newest first."""
    for row in connection.execute(
        f"SELECT {_COLUMNS}, 0, NULL FROM event e"  # noqa: S608
        " WHERE e.log = ? AND e.position < ? ORDER BY e.position DESC LIMIT ?",
        (log.id, before, limit),
    ):
        yield _event(row)


def event_at(connection: apsw.Connection, log: Log, position: int) -> Event | None:
    """The change at `position`, without its body."""
    row = connection.execute(
        f"SELECT {_COLUMNS}, 0, NULL FROM event e WHERE e.log = ? AND e.position = ?",  # noqa: S608
        (log.id, position),
    ).fetchone()
    return None if row is None else _event(row)


def revision_before(connection: apsw.Connection, log: Log, path: TreePath, position: int) -> int:
    """The revision that `path` had before the change at `position`; 0: none."""
    return int(
        connection.execute(
            "SELECT coalesce(max(position), 0) FROM event WHERE log = ? AND position < ? AND path = ?",
            (log.id, position, path),
        ).get
    )


def _event(row: tuple[Any, ...]) -> Event:
    return Event(row[0], TreePath(row[1]), *row[2:])


def visible_digest(
    connection: apsw.Connection, log: Log, can_see: Callable[[TreePath], bool] | None
) -> tuple[bytes, int]:
    """The tree digest over the live paths that pass `can_see`, and how many they are; None sees all, at no cost."""
    if can_see is None:
        return log.tree_digest, log.files
    total = files = 0
    for path, digest, mode in connection.execute(
        "SELECT n.path, e.digest, e.mode FROM node n JOIN event e ON e.log = n.log AND e.position = n.position"
        " WHERE n.log = ? AND n.live = 1",
        (log.id,),
    ):
        if can_see(TreePath(path)):
            total += tree_digest.leaf(TreePath(path), Digest(digest), mode)
            files += 1
    return (total % (1 << 256)).to_bytes(32, "big"), files


def prune_tombstones(connection: apsw.Connection, *, before_ns: int) -> int:
    """Tombstones made before `before_ns` are gone, and each log knows the highest of them. The answer: how many.

    Cursors below that are answered 410 from now on (R17, R24).
    """
    gone = connection.execute(
        "SELECT n.log, n.path, n.position FROM node n"
        " JOIN event e ON e.log = n.log AND e.position = n.position WHERE n.live = 0 AND e.at_ns < ?",
        (before_ns,),
    ).fetchall()
    for log, path, position in gone:
        connection.execute("DELETE FROM node WHERE log = ? AND path = ?", (log, path))
        connection.execute("UPDATE log SET pruned = max(pruned, ?) WHERE id = ?", (position, log))
    return len(gone)
