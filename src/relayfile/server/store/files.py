"""Writing paths and reading their newest state. One call of `commit` is all of one request, whatever its size."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import apsw

from relayfile.core import acl
from relayfile.core.digest import leaf
from relayfile.model import REGULAR, SYMLINK, Digest, Mode, TreePath
from relayfile.server.store import bodies, idempotency
from relayfile.server.store.feed import CREATED, DELETED, UPDATED, Log
from relayfile.server.store.idempotency import Key

TEXT: Final = "text/markdown"
BINARY: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Content:
    """What a put gives a path. `body` None: it lies in the blob folder. None elsewhere keeps what the path has.

    `semantics` is JSON; "" removes them. `rules` are the permissions that the new state carries, when it says any.
    """

    digest: Digest
    size: int
    body: bytes | None
    mode: Mode | None = None
    content_type: str = ""
    encoding: Literal["", "base64"] = ""
    semantics: str | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """One path to write (`content`) or to delete (None). `over`: None whatever is there, 0 only if absent."""

    path: TreePath
    content: Content | None
    over: int | None = None
    key: Key | None = None


class Stored(NamedTuple):
    """The path has what was asked for, as of `position`. `event` is False when nothing had to change."""

    position: int
    event: bool
    content_type: str = ""


class Conflict(NamedTuple):
    """The path is at `current` (0: absent), not at what the writer had seen."""

    current: int


class Absent(NamedTuple):
    """There is nothing at this path to delete or replace."""


class KeyReused(NamedTuple):
    """The idempotency key stands for another path or content."""


Outcome: TypeAlias = Stored | Conflict | Absent | KeyReused


class State(NamedTuple):
    """The newest state of a path: a version, or a tombstone (`live` False)."""

    position: int
    live: bool
    digest: Digest
    size: int
    mode: Mode
    content_type: str
    encoding: Literal["", "base64"]
    semantics: str | None
    body_id: int
    at_ns: int


_STATE: Final = (
    "n.position, n.live, e.digest, e.size, e.mode, e.content_type, e.encoding, e.semantics, e.body, e.at_ns"
)
_FROM: Final = "FROM node n CROSS JOIN event e ON e.log = n.log AND e.position = n.position"


def state_of(connection: apsw.Connection, log: Log, path: TreePath) -> State | None:
    """The newest state of the path; None when it never was."""
    row = connection.execute(
        f"SELECT {_STATE} {_FROM} WHERE n.log = ? AND n.path = ?",
        (log.id, path),
    ).fetchone()
    return None if row is None else State._make(row)


def live_paths(connection: apsw.Connection, log: Log, first: str, end: str | None) -> Iterator[TreePath]:
    """The live paths from `first` up to, not including, `end`, in byte order."""
    for (path,) in connection.execute(
        "SELECT path FROM node WHERE log = ? AND path >= ? AND (? IS NULL OR path < ?) AND live = 1 ORDER BY path",
        (log.id, first, end, end),
    ):
        yield TreePath(path)


def live_states(
    connection: apsw.Connection, log: Log, first: str, end: str | None
) -> Iterator[tuple[TreePath, State]]:
    """As `live_paths`, with each path's state."""
    for path, *state in connection.execute(
        f"SELECT n.path, {_STATE} {_FROM}"
        " WHERE n.log = ? AND n.path >= ? AND (? IS NULL OR n.path < ?) AND n.live = 1 ORDER BY n.path",
        (log.id, first, end, end),
    ):
        yield TreePath(path), State._make(state)


def permissions(connection: apsw.Connection, log: Log) -> acl.Acl:
    """Every rule that stands in the workspace."""
    return acl.Acl.of(
        (TreePath(path), json.loads(rules))
        for path, rules in connection.execute("SELECT path, rules FROM permission WHERE log = ?", (log.id,))
    )


def rules_of(path: TreePath, semantics: str | None, body: bytes | None) -> list[str]:
    """The rule words a path in this state carries: its permissions, or what a marker's content says."""
    rules = list(json.loads(semantics).get("permissions") or ()) if semantics else []
    return rules or (acl.rules_in(body) if body and acl.is_marker(path) else [])


def commit(
    connection: apsw.Connection,
    log: Log,
    writes: Sequence[Write],
    *,
    account: str,
    correlation: str,
    now_ns: int,
) -> list[Outcome]:
    """Each write has its outcome, in order; those that changed something are in the log, at positions in a row.

    Order: of the checks of one write: its key, its precondition, whether anything would change (R21).
    Runs in: writer thread. `log` was read in this transaction.
    """
    change = _Commit(connection, log, account, correlation, now_ns)
    outcomes = [change.apply(write) for write in writes]
    change.flush()
    return outcomes


class _Commit:
    """The rows of one request, gathered while its writes are decided and put down together."""

    def __init__(self, connection: apsw.Connection, log: Log, account: str, correlation: str, now_ns: int) -> None:
        self._connection = connection
        self._log = log
        self._by = (now_ns, account, correlation)
        self._head = log.head
        self._body_id = 0
        self._digest = int.from_bytes(log.tree_digest, "big")
        self._files = log.files
        self._changed: dict[TreePath, State] = {}
        self._events: list[tuple[object, ...]] = []
        self._bodies: list[tuple[int, bytes]] = []
        self._used: dict[bytes, tuple[Key, int]] = {}
        self._rules: dict[TreePath, list[str]] = {}

    def apply(self, write: Write) -> Outcome:
        """What becomes of this write, after those before it."""
        if write.key is not None and (earlier := self._earlier(write.key)) is not None:
            position, same = earlier
            return Stored(position, event=False) if same else KeyReused()
        before = self._changed.get(write.path) or state_of(self._connection, self._log, write.path)
        if before is not None and not before.live:
            before = None
        if write.over is not None and write.over != (before.position if before else 0):
            return Conflict(before.position) if before else Absent()
        if write.content is None:
            if before is None:
                return Absent()
            outcome = self._delete(write.path, before)
        elif before is not None and _says_the_same(before, write.content):
            outcome = Stored(before.position, event=False, content_type=before.content_type)
        else:
            outcome = self._put(write.path, before, write.content)
        if write.key is not None:
            self._used[write.key.name] = (write.key, outcome.position)
        return outcome

    def flush(self) -> None:
        """Everything gathered is in the tables."""
        if self._used:
            idempotency.remember(self._connection, self._log.id, list(self._used.values()), self._by[0])
        if not self._events:
            return
        log, run = self._log.id, self._connection.executemany
        run("INSERT INTO body (id, bytes) VALUES (?, ?)", self._bodies)
        run("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._events)
        run(
            "INSERT INTO node VALUES (?, ?, ?, ?)"
            " ON CONFLICT (log, path) DO UPDATE SET position = excluded.position, live = excluded.live",
            ((log, path, state.position, state.live) for path, state in self._changed.items()),
        )
        if self._rules:
            self._put_rules()
        total = (self._digest % (1 << 256)).to_bytes(32, "big")
        run(
            "UPDATE log SET head = ?, tree_digest = ?, files = ? WHERE id = ?",
            [(self._head, total, self._files, log)],
        )
        run("UPDATE continuity SET handed_out = handed_out + ?", [(self._head - self._log.head,)])

    def _earlier(self, key: Key) -> tuple[int, bool] | None:
        if used := self._used.get(key.name):
            return used[1], used[0].said == key.said
        return idempotency.earlier(self._connection, self._log.id, key, self._by[0])

    def _put(self, path: TreePath, before: State | None, content: Content) -> Stored:
        body_id = 0
        if content.body:
            self._body_id = body_id = self._body_id + 1 if self._body_id else bodies.next_id(self._connection)
            self._bodies.append((body_id, content.body))
        mode = content.mode or (REGULAR if before is None or before.mode == SYMLINK else before.mode)
        content_type = content.content_type or (before.content_type if before else _usual_type(content))
        semantics = content.semantics if content.semantics is not None or before is None else before.semantics
        self._head += 1
        after = State(
            *(self._head, True, content.digest, content.size, mode, content_type),
            *(content.encoding, semantics or None, body_id, self._by[0]),
        )
        self._log_event(path, UPDATED if before else CREATED, after)
        self._digest += leaf(path, after.digest, mode) - (leaf(path, before.digest, before.mode) if before else 0)
        self._files += before is None
        if semantics or (before and before.semantics) or acl.is_marker(path):
            self._rules[path] = rules_of(path, after.semantics, content.body)
        return Stored(self._head, event=True, content_type=content_type)

    def _delete(self, path: TreePath, before: State) -> Stored:
        self._head += 1
        gone = State(self._head, False, Digest(b""), 0, REGULAR, "", "", None, 0, self._by[0])
        self._log_event(path, DELETED, gone)
        self._digest -= leaf(path, before.digest, before.mode)
        self._files -= 1
        if before.semantics or acl.is_marker(path):
            self._rules[path] = []
        return Stored(self._head, event=True)

    def _log_event(self, path: TreePath, kind: int, state: State) -> None:
        self._changed[path] = state
        mode = state.mode if state.live else ""
        self._events.append(
            (
                *(self._log.id, state.position, path, kind, state.digest, state.size, mode, state.content_type),
                *(state.encoding, state.body_id, state.semantics, *self._by),
            )
        )

    def _put_rules(self) -> None:
        connection, log = self._connection, self._log.id
        known = {
            TreePath(path): json.loads(rules)
            for path, rules in connection.execute("SELECT path, rules FROM permission WHERE log = ?", (log,))
        }
        new = {path: rules for path, rules in self._rules.items() if rules != known.get(path, [])}
        for path, rules in new.items():
            connection.execute("DELETE FROM permission WHERE log = ? AND path = ?", (log, path))
            if rules:
                connection.execute("INSERT INTO permission VALUES (?, ?, ?)", (log, path, json.dumps(rules)))
        if new:
            connection.execute("UPDATE log SET acl_position = ? WHERE id = ?", (self._head, log))


def _usual_type(content: Content) -> str:
    return BINARY if content.encoding == "base64" else TEXT


def _says_the_same(before: State, content: Content) -> bool:
    """Whether writing `content` would change nothing of `before` (R21)."""
    return (
        before.digest == content.digest
        and content.mode in {None, before.mode}
        and not (content.mode is None and before.mode == SYMLINK)
        and content.content_type in {"", before.content_type}
        and content.encoding == before.encoding
        and (content.semantics is None or content.semantics == (before.semantics or ""))
    )
