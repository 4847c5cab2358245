"""Paths that the server holds both as a file and as a folder, which no disk can.

The folder wins on the disk, on every mirror alike: the file of that name stays on the server, is listed as not kept
here, and comes back when nothing lies below it any more. What lay there locally is removed if the server has exactly
it, and set aside as a conflict copy if not (invariants I1, I9).
"""

import json
from collections.abc import Iterable
from typing import Final

import apsw

from relayfile.core.merge import ancestors
from relayfile.mirror.refusals import Refusal, Refusals
from relayfile.model import TreePath

CODE: Final = "overlap"
REASON: Final = "the server has a folder of this name too"

_BOTH = (
    "r_digest IS NOT NULL AND EXISTS (SELECT 1 FROM node AS inside"
    " WHERE inside.path > node.path || '/' AND inside.path < node.path || '0' AND inside.r_digest IS NOT NULL)"
)


class Overlaps:
    """The rows of `refused` with the code `overlap`: refused in both directions, as long as the overlap lasts."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self._refusals = Refusals(connection)

    def review(self, changed: Iterable[TreePath]) -> None:
        """The overlaps that these changes of the remote tree begin are listed; those that they end are work again."""
        touched: set[str] = set()
        for path in changed:
            touched.add(path)
            touched.update(ancestors(path))
        among = json.dumps(list(touched))
        rows = self._db.execute(
            f"SELECT path FROM node WHERE path IN (SELECT value FROM json_each(?)) AND {_BOTH}",  # noqa: S608 - ours
            (among,),
        )
        both = {TreePath(path) for (path,) in rows}
        rows = self._db.execute(
            "SELECT path FROM refused WHERE code = ? AND side = 'down' AND path IN (SELECT value FROM json_each(?))",
            (CODE, among),
        )
        self._change(both, {TreePath(path) for (path,) in rows})

    def review_all(self) -> None:
        """As `review`, after any path may have changed."""
        both = {TreePath(path) for (path,) in self._db.execute(f"SELECT path FROM node WHERE {_BOTH}")}  # noqa: S608
        rows = self._db.execute("SELECT path FROM refused WHERE code = ? AND side = 'down'", (CODE,))
        self._change(both, {TreePath(path) for (path,) in rows})

    def in_the_way(self, limit: int) -> list[TreePath]:
        """Overlapping paths at which a file lies here, where the folder should be."""
        rows = self._db.execute(
            "SELECT refused.path FROM refused JOIN node USING (path)"
            " WHERE refused.code = ? AND side = 'down' AND l_digest IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM push WHERE push.path = node.path) LIMIT ?",
            (CODE, limit),
        )
        return [TreePath(path) for (path,) in rows]

    def made_way(self, path: TreePath) -> None:
        """Nothing lies at the path any more, so what was refused below it is tried again."""
        self._db.execute("DELETE FROM refused WHERE path > ? AND path < ? AND NOT lasting", (path + "/", path + "0"))

    def _change(self, both: set[TreePath], listed: set[TreePath]) -> None:
        self._refusals.add(
            [
                Refusal(path, side, CODE, REASON, lasting=True)
                for path in sorted(both - listed)
                for side in ("down", "up")
            ]
        )
        for path in listed - both:
            self._db.execute("DELETE FROM refused WHERE path = ? AND code = ?", (path, CODE))
            # Base said "absent here", so that nothing was to do; now the remote version is to be placed.
            self._db.execute(
                "UPDATE node SET b_revision = NULL, b_digest = NULL, b_size = NULL, b_mode = NULL"
                " WHERE path = ? AND l_ino IS NULL AND r_digest IS NOT NULL",
                (path,),
            )
