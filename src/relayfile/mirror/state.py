"""The mirror's memory: SQLite outside the mirror (5-sync A.1). Each public method is one transaction.

`State` holds the file and the facts about the whole; its parts hold the rows. They share one connection and nest:
a method called inside `transaction()` becomes part of it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import apsw

from relayfile.errors import Damaged, Misconfigured, Unavailable
from relayfile.mirror.brake import Brake
from relayfile.mirror.conflicts import Conflicts
from relayfile.mirror.intents import Intents
from relayfile.mirror.measure import Measure
from relayfile.mirror.overlaps import Overlaps
from relayfile.mirror.past import Past
from relayfile.mirror.refusals import Refusals
from relayfile.mirror.restored import Restored
from relayfile.mirror.rot import Rot
from relayfile.mirror.swept import Swept
from relayfile.mirror.trees import TreeRows
from relayfile.model import Cursor

SCHEMA: Final = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql", "schema_6.sql")
"""What each version of the schema added to the one before. A state of any of them is brought to the last."""
_OURS: Final = 0x52464D31  # "RFM1", so that a foreign SQLite file is never taken for a mirror's state


@dataclass(frozen=True, slots=True)
class Identity:
    """What this state belongs to. Any other workspace, server or root than these must not meet it (R33)."""

    mirror: str
    workspace: str
    server: str
    root_dev: int
    root_ino: int


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the mirror stands in the log; the columns of `mirror` by these names."""

    epoch: str
    position: int
    head: int
    start: int | None
    generation: int
    open: bool
    filtered: bool
    observed_once: bool
    acknowledged: int

    @property
    def cursor(self) -> Cursor:
        """Up to where everything has been observed."""
        return Cursor(self.epoch, self.position)


@dataclass(frozen=True, slots=True)
class Counters:
    """What the mirror has been through since it was made."""

    engine_starts: int
    cycles: int
    cycles_cancelled: int
    proven_position: int
    proven_at: float | None
    mismatches: int
    mismatched_at: float | None


class State:
    """Three trees, the cursor, intents and conflicts of one mirror.

    Runs in: one thread at a time; the engine task sees to that.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self.trees = TreeRows(connection)
        self.swept = Swept(connection)
        self.intents = Intents(connection)
        self.conflicts = Conflicts(connection)
        self.brake = Brake(connection)
        self.refusals = Refusals(connection)
        self.overlaps = Overlaps(connection)
        self.measure = Measure(connection)
        self.past = Past(connection)
        self.rot = Rot(connection)
        self.restored = Restored(connection, self.trees, self.past)

    @classmethod
    def open(cls, path: Path, identity: Identity) -> "State":
        """The state at `path`, made if it was not there, and of this version if it was of an older one.

        Raises:
            Misconfigured: it belongs to another workspace, server or root.
            Damaged: it is no state of ours, or of a newer relayfile. The file is left as it is.
            Unavailable: the disk is full, or another process holds the file.
        """
        try:
            path.touch(0o600)  # SQLite would leave it to the umask, which is for the user's own files
            connection = apsw.Connection(str(path))
            connection.set_busy_timeout(5_000)
            _prepare(connection)
            _create(connection, identity)
            if connection.pragma("application_id") == _OURS:
                _upgrade(connection)
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise Damaged(
                f"the mirror's state {path} is not readable: {error}",
                code="state_damaged",
                hint="move it away and mount again: nothing is deleted, equal files are adopted",
            ) from error
        _agree(connection, identity, path)
        return cls(connection)

    def close(self) -> None:
        """Everything is in the file."""
        self._db.close()

    def transaction(self) -> AbstractContextManager[Any]:
        """What is done inside is kept as one, durably on leaving, or not at all if it raises."""
        return self._db

    @contextmanager
    def faults(self) -> Iterator[None]:
        """What SQLite and the operating system raise inside is raised as one of ours.

        Raises:
            Unavailable: a full or failing disk, a file that is held; nothing half done was kept.
            Damaged: the file is not readable as a database any more.
        """
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Damaged(f"the mirror's state is not readable: {error}", code="state_damaged") from error
        except (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.CantOpenError) as error:
            raise Unavailable(f"the mirror's state could not be saved: {error}", code="state_unavailable") from error
        except OSError as error:
            raise Unavailable(f"the mirror's folder did not work: {error}", code="disk_unavailable") from error

    def stream(self) -> Stream:
        """Where the mirror stands in the log."""
        row = self._row("epoch, position, head, start, generation, open, filtered, observed_once, acknowledged")
        epoch, position, head, start, generation, is_open, filtered, once, acknowledged = row
        return Stream(
            epoch, position, head, start, generation, bool(is_open), bool(filtered), bool(once), acknowledged
        )

    def counters(self) -> Counters:
        """What the mirror has been through."""
        return Counters(
            *self._row(
                "engine_starts, cycles, cycles_cancelled, proven_position, proven_at, mismatches, mismatched_at"
            )
        )

    def start_engine(self) -> None:
        """One more start of the engine is counted."""
        self._set("engine_starts = engine_starts + 1")

    def count_cycles(self, done: int, cancelled: int) -> None:
        """So many more cycles are counted."""
        self._set("cycles = cycles + ?, cycles_cancelled = cycles_cancelled + ?", done, cancelled)

    def move_cursor(self, cursor: Cursor, head: int, start: int | None) -> None:
        """Everything up to `cursor` has been observed. Call it in the transaction of what was observed (I4)."""
        self._set(
            "epoch = ?, position = ?, head = max(?, ?), start = ?",
            cursor.epoch,
            cursor.position,
            head,
            cursor.position,
            start,
        )

    def begin_generation(self, *, filtered: bool) -> None:
        """The remote tree is observed again from 0, keeping base; rows not seen by its `end` are gone (R17)."""
        self._set(
            "before_epoch = CASE WHEN ?1 THEN '' WHEN epoch <> '' THEN epoch ELSE before_epoch END,"
            " before = max(before, position, acknowledged),"
            " known = CASE WHEN NOT ?1 AND known IS NOT NULL THEN 0 END,"
            " epoch = '', position = 0, head = 0, start = NULL, generation = generation + 1, open = 1, filtered = ?1,"
            " acknowledged = 0",
            filtered,
        )

    def end_generation(self, position: int, now_s: float) -> None:
        """What the open generation did not see is absent at `position`, or no longer visible if it was filtered."""
        with self._db:
            stream = self.stream()
            if stream.filtered:
                self.trees.hide_unseen(stream.generation)
            else:
                self.restored.compare_unseen(stream.epoch, stream.head, stream.generation, now_s)
                self.trees.delete_unseen(stream.generation, position, stream.acknowledged)
            self._set(
                "open = 0, filtered = 0, start = NULL, observed_once = 1, before_epoch = '', before = 0, known = NULL"
            )

    def acknowledge(self, position: int) -> None:
        """One of our own pushes made `position`."""
        self._set("acknowledged = max(acknowledged, ?)", position)

    def prove(self, position: int, at_s: float) -> None:
        """Both trees were equal at `position`."""
        self._set("proven_position = ?, proven_at = ?", position, at_s)

    def mismatch(self, at_s: float) -> None:
        """Once more both trees were found to differ at one position."""
        self._set("mismatches = mismatches + 1, mismatched_at = ?", at_s)

    def _row(self, columns: str) -> tuple[Any, ...]:
        row = self._db.execute(f"SELECT {columns} FROM mirror").fetchone()  # noqa: S608 - names from this module
        assert row is not None
        return tuple(row)

    def _set(self, assignments: str, *values: Any) -> None:
        self._db.execute(f"UPDATE mirror SET {assignments}", values)  # noqa: S608 - as above


def _prepare(db: apsw.Connection) -> None:
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.pragma("cache_size", -8_192)  # the daemon's memory is bounded; the engine reads rows once
    db.pragma("temp_store", 2)


def _create(db: apsw.Connection, identity: Identity) -> None:
    if db.pragma("user_version") or db.execute("SELECT count(*) FROM sqlite_schema").get:
        return
    with db:
        _upgrade(db)
        db.execute(
            "INSERT INTO mirror (one, id, workspace, server, root_dev, root_ino) VALUES (1, ?, ?, ?, ?, ?)",
            (identity.mirror, identity.workspace, identity.server, identity.root_dev, identity.root_ino),
        )
        db.pragma("application_id", _OURS)


def _upgrade(db: apsw.Connection) -> None:
    """The schema is the newest: each version that the file has not seen is added, all of them or none."""
    with db:
        for version in range(db.pragma("user_version"), len(SCHEMA)):
            db.execute(resources.files("relayfile.mirror").joinpath(SCHEMA[version]).read_text(encoding="utf-8"))
            db.pragma("user_version", version + 1)


def _agree(db: apsw.Connection, identity: Identity, path: Path) -> None:
    if db.pragma("application_id") != _OURS or db.pragma("user_version") != len(SCHEMA):
        db.close()
        raise Damaged(
            f"{path} is not a mirror's state of this version of relayfile; it was left as it is",
            code="state_unknown",
            hint="use the relayfile that made it, or move it away and mount again",
        )
    found = db.execute("SELECT id, workspace, server, root_dev, root_ino FROM mirror").fetchone()
    for name, held, given in zip(
        ("mirror", "workspace", "server", "root folder", "root folder"),
        found or (),
        (identity.mirror, identity.workspace, identity.server, identity.root_dev, identity.root_ino),
        strict=True,
    ):
        if held != given:
            db.close()
            raise Misconfigured(
                f"{path} belongs to another {name} ({held}, not {given}); nothing was changed",
                code="state_of_another",
                hint="mount with --new to begin afresh: nothing is deleted on either side",
            )
