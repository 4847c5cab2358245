"""The delete brake's memory (R30): its windows survive a restart. What they mean is decided in `core.safety`."""

from collections.abc import Sequence
from typing import Final

import apsw

from relayfile.core.safety import WINDOW_S, Deletion, Direction, Window
from relayfile.model import Digest, TreePath

_PENDING: Final = {
    "local": (
        "r_revision IS NOT b_revision AND r_digest IS NULL AND l_digest IS b_digest AND l_mode IS b_mode"
        " AND l_ino IS NOT NULL"
    ),
    "remote": (
        "r_revision IS b_revision AND (l_digest IS NOT b_digest OR l_mode IS NOT b_mode) AND l_ino IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM push WHERE push.path = node.path)"
    ),
}
"""The rows whose next step deletes them on that side."""

_HELD: Final = {"local": "l_digest", "remote": "b_digest"}
_CHANGED_SIDE: Final = {"local": "r_digest", "remote": "l_digest"}
"""The column of the side whose deletions are carried over, by the side they would be carried to."""


class Brake:
    """One window a side."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def window(self, side: Direction, now_s: float) -> Window:
        """The window that holds now, and whether a person accepted what waits in it."""
        row = self._db.execute("SELECT began_at, base FROM brake WHERE side = ?", (side,)).fetchone()
        if row is not None and 0 <= now_s - row[0] < WINDOW_S:
            count = self._db.execute("SELECT count(*) FROM deletion WHERE side = ?", (side,)).get
            return Window(row[1], count)
        base = self._db.execute("SELECT count(*) FROM node WHERE b_digest IS NOT NULL").get
        self._db.execute(
            "INSERT INTO brake (side, began_at, base) VALUES (?, ?, ?)"
            " ON CONFLICT (side) DO UPDATE SET began_at = excluded.began_at, base = excluded.base",
            (side, now_s, base),
        )
        self._db.execute("DELETE FROM deletion WHERE side = ?", (side,))
        return Window(base, 0)

    def let_through(self, side: Direction, digests: Sequence[Digest]) -> None:
        """Files of this content were deleted in the window."""
        self._db.executemany("INSERT INTO deletion (side, digest) VALUES (?, ?)", [(side, one) for one in digests])

    def deleted(self, side: Direction) -> list[Digest]:
        """What was deleted in the window."""
        return [Digest(raw) for (raw,) in self._db.execute("SELECT digest FROM deletion WHERE side = ?", (side,))]

    def accepted(self, side: Direction) -> bool:
        """Whether a person let the waiting deletions through."""
        return bool(self._db.execute("SELECT accepted FROM brake WHERE side = ?", (side,)).get)

    def accept(self, side: Direction, *, accepted: bool) -> None:
        """A person's word is kept, or used up."""
        self._db.execute("UPDATE brake SET accepted = ? WHERE side = ?", (accepted, side))

    def waiting(self, side: Direction) -> int:
        """How many deletions wait to be carried to `side`."""
        return int(self._db.execute(f"SELECT count(*) FROM node WHERE {_PENDING[side]}").get)  # noqa: S608 - ours

    def deletions(self, side: Direction) -> list[Deletion]:
        """Which, and what they hold."""
        rows = self._db.execute(f"SELECT path, {_HELD[side]} FROM node WHERE {_PENDING[side]}")  # noqa: S608 - ours
        return [Deletion(TreePath(path), Digest(digest)) for path, digest in rows]

    def emptied(self, side: Direction) -> bool:
        """Whether the side these deletions come from holds nothing any more."""
        column = _CHANGED_SIDE[side]
        return not self._db.execute(f"SELECT EXISTS (SELECT 1 FROM node WHERE {column} IS NOT NULL)").get  # noqa: S608

    def appeared(self, side: Direction, now_s: float) -> list[Digest]:
        """The content of each path that is new, in the window, on the side these deletions come from."""
        column = _CHANGED_SIDE[side]
        rows = self._db.execute(
            f"SELECT {column} FROM node WHERE {column} IS NOT NULL AND born_at >= ?",  # noqa: S608 - ours
            (int(now_s - WINDOW_S),),
        )
        return [Digest(digest) for (digest,) in rows]

    def restore(self) -> None:
        """Nothing waits any more: what one side deleted comes back to it from the other."""
        with self._db:
            for side, revision in (("local", "r_revision"), ("remote", "NULL")):
                self._db.execute(
                    f"UPDATE node SET b_revision = {revision}, b_digest = NULL, b_size = NULL, b_mode = NULL"  # noqa: S608
                    f" WHERE {_PENDING[side]} AND r_revision IS NOT NULL"
                )
