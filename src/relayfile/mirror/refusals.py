"""The paths that one direction cannot do: listed for people, left out of the work, tried again when that may help."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import apsw

from relayfile.mirror.ports import CLOSED
from relayfile.model import TreePath

ROTTED: Final = "rotted"
"""Files that changed without an edit (`mirror.rot`). Only a placement or an edit of their owner ends it."""
Side: TypeAlias = Literal["down", "up"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A path that cannot lie on this disk (`down`) or that the server does not take (`up`).

    `lasting`: left out until that side changes (R19); else it is tried again after a while.
    """

    path: TreePath
    side: Side
    code: str
    reason: str
    lasting: bool


class Refusals:
    """The rows of `refused`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def add(self, refusals: Sequence[Refusal]) -> None:
        """These paths wait, or are left out, each in its direction. What rotted stays so: never tried again."""
        self._db.executemany(
            "INSERT INTO refused (path, side, code, reason, lasting) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (path, side) DO UPDATE"
            " SET code = excluded.code, reason = excluded.reason, lasting = excluded.lasting WHERE code <> ?",
            [(one.path, one.side, one.code, one.reason, one.lasting, ROTTED) for one in refusals],
        )

    def clear(self, paths: Sequence[TreePath]) -> None:
        """The server changed these paths, so what was refused of them is decided anew; but what rotted stays so."""
        if self._any():
            self._db.executemany(
                "DELETE FROM refused WHERE path = ? AND code <> ?", [(path, ROTTED) for path in paths]
            )

    def clear_edited(self, paths: Sequence[TreePath]) -> None:
        """These files were edited: the server is asked anew, unless it is a path we may not see (R22) or not keep."""
        if self._any():
            self._db.executemany(
                "DELETE FROM refused"
                " WHERE path = ? AND (side = 'up' OR NOT lasting) AND code NOT IN ('view', 'overlap')",
                [(path,) for path in paths],
            )

    def retry(self) -> bool:
        """What was refused only for a while is work again; whether anything was."""
        if not self._any():
            return False
        self._db.execute("DELETE FROM refused WHERE NOT lasting")
        return self._db.changes() > 0

    def lift(self, code: str) -> None:
        """What was refused by this code is work again."""
        self._db.execute("DELETE FROM refused WHERE code = ?", (code,))

    def reopen(self, closed: Collection[str]) -> None:
        """What was refused by a folder that is none of the `closed` any more is work again."""
        below = tuple(f"{folder}/" for folder in closed)
        rows = self._db.execute("SELECT path FROM refused WHERE code = ?", (CLOSED,))
        open_again = [(path,) for (path,) in rows if not path.startswith(below)]
        self._db.executemany("DELETE FROM refused WHERE path = ?", open_again)

    def listed(self, limit: int) -> list[Refusal]:
        """What is refused now, each path once, those first that may still come."""
        rows = self._db.execute(
            "SELECT path, side, code, reason, min(lasting) FROM refused GROUP BY path ORDER BY 5, path LIMIT ?",
            (limit,),
        )
        return [Refusal(TreePath(path), side, code, why, bool(lasting)) for path, side, code, why, lasting in rows]

    def of(self, path: TreePath) -> list[Refusal]:
        """What is refused of this path."""
        rows = self._db.execute("SELECT side, code, reason, lasting FROM refused WHERE path = ?", (path,))
        return [Refusal(path, side, code, why, bool(lasting)) for side, code, why, lasting in rows]

    def count(self) -> int:
        """How many paths are refused now."""
        return int(self._db.execute("SELECT count(DISTINCT path) FROM refused").get)

    def _any(self) -> bool:
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM refused)").get)
