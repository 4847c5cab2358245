"""Files whose bytes changed although nothing says that anybody wrote them: an edit of nobody (invariant M15).

Such a file is never sent as an edit. It is listed as not kept here, with what it really holds in its row, so that
it becomes a conflict copy where the server's version comes in its place. An edit of its owner ends it.
"""

from typing import Final

import apsw

from relayfile.mirror.past import Decision, Past
from relayfile.mirror.ports import Found
from relayfile.mirror.refusals import ROTTED, Refusal, Refusals
from relayfile.mirror.trees import TreeRows
from relayfile.model import TreePath

REASON: Final = "its bytes changed here without an edit; `relayfile verify --mend` takes the server's back"


class Rot:
    """What reading the files again finds, in the rows of `node` and `refused`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self._trees = TreeRows(connection)
        self._refusals = Refusals(connection)
        self._past = Past(connection)

    def size(self) -> tuple[int, int]:
        """How many files lie here, and how many bytes are in them."""
        count, size = self._db.execute(
            "SELECT count(*), coalesce(sum(l_size), 0) FROM node WHERE l_ino IS NOT NULL"
        ).get
        return count, size

    def next_file(self, after: str) -> TreePath | None:
        """The first path after that one at which a file lies; None when there is none."""
        found = self._db.execute(
            "SELECT path FROM node WHERE path > ? AND l_ino IS NOT NULL ORDER BY path LIMIT 1", (after,)
        ).get
        return None if found is None else TreePath(found)

    def found(self, sight: Found, now_s: float) -> bool:
        """The row holds what was read where it had something else for the same state; whether that is rot.

        It is none if what was read is what both sides agreed on: then the disk only read it wrong before.
        """
        with self._db:
            self._trees.see([sight], now_s)
            (node,) = self._trees.nodes([sight.path])
            if node.trees.base is not None and node.trees.base.digest == sight.digest:
                return False
            self._refusals.add([Refusal(sight.path, "up", ROTTED, REASON, lasting=True)])
            self._past.note([Decision(sight.path, "rotted", node.revision or None, REASON)], now_s)
        return True

    def mend(self, now_s: float) -> int:
        """The server's version is wanted back wherever a file rotted and the server has one; how many those are.

        With no base the rotten bytes count as an edit that met the server's: they are kept as a conflict copy.
        """
        rows = self._db.execute(
            "SELECT path, r_revision FROM refused JOIN node USING (path) WHERE code = ? AND r_digest IS NOT NULL",
            (ROTTED,),
        )
        mended = [Decision(TreePath(path), "mended", revision) for path, revision in rows]
        with self._db:
            self._db.executemany(
                "UPDATE node SET b_revision = NULL, b_digest = NULL, b_size = NULL, b_mode = NULL WHERE path = ?",
                [(one.path,) for one in mended],
            )
            self._db.executemany(
                "DELETE FROM refused WHERE path = ? AND code = ?", [(one.path, ROTTED) for one in mended]
            )
            self._past.note(mended, now_s)
        return len(mended)
