"""Which conflict copies there are: the rows of `conflict`, open while the copy lies on the disk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from relayfile.mirror.trees import Node, TreeRows
from relayfile.model import TreePath


@dataclass(frozen=True, slots=True)
class Conflict:
    """One edit that was set aside: mine lies at `copy`, theirs took `path` with `revision` (0: not known which).

    The nodes are what is known of the two now; `theirs` is None where nothing ever was at the path.
    """

    path: TreePath
    copy: TreePath
    made_at: float
    revision: int
    mine: Node
    theirs: Node | None


class Conflicts:
    """The rows of `conflict`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self._trees = TreeRows(connection)

    def set_aside(self, copies: Iterable[tuple[TreePath, TreePath, int]], at_s: float) -> None:
        """(path, copy, revision): the copy holds what lay at the path before that revision took its place."""
        self._db.executemany(
            "INSERT OR IGNORE INTO conflict (copy, path, made_at, revision) VALUES (?, ?, ?, ?)",
            [(copy, path, at_s, revision) for path, copy, revision in copies],
        )

    def open(self) -> list[Conflict]:
        """Every conflict whose copy lies on the disk, oldest first."""
        rows = self._db.execute("SELECT copy, path, made_at, revision FROM conflict ORDER BY made_at, copy")
        return [one for row in rows.fetchall() if (one := self._conflict(row))]

    def at(self, copy: TreePath) -> Conflict | None:
        """The open conflict with that copy."""
        row = self._db.execute(
            "SELECT copy, path, made_at, revision FROM conflict WHERE copy = ?", (copy,)
        ).fetchone()
        return None if row is None else self._conflict(row)

    def settle(self, copy: TreePath) -> None:
        """What lies at `copy`, if anything does, is an ordinary file.

        Once: harmless to repeat.
        """
        self._db.execute("DELETE FROM conflict WHERE copy = ?", (copy,))

    def _conflict(self, row: Sequence[Any]) -> Conflict | None:
        copy, path, made_at, revision = row
        mine = next(self._trees.nodes([TreePath(copy)]), None)
        if mine is None or mine.stat is None:
            return None
        theirs = next(self._trees.nodes([TreePath(path)]), None)
        return Conflict(TreePath(path), TreePath(copy), made_at, revision, mine, theirs)
