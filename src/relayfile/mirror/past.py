"""What the mirror last did about each path, so that `relayfile why` can tell. Written, and never decided by."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import apsw

from relayfile.model import TreePath

MOST_KEPT: Final = 10_000
Did: TypeAlias = Literal[
    "placed",
    "removed",
    "set_aside",
    "adopted",
    "made_way",
    "merged",
    "moved_meanwhile",
    "refused_here",
    "sent",
    "deletion_sent",
    "overtaken",
    "refused_there",
    "withheld",
    "rotted",
    "mended",
    "outlived",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was done about a path: at which revision of it, and why or with which name, where there is one.

    `code` is why it was refused in one word, for those who are told as it happens; it is not kept.
    """

    path: TreePath
    did: Did
    revision: int | None = None
    detail: str | None = None
    code: str | None = None


class Past:
    """The rows of `decision`: the last `MOST_KEPT` of all paths together.

    `untold` are those noted that nobody was told of yet, in order.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self.untold: list[Decision] = []

    def note(self, decisions: Iterable[Decision], at_s: float) -> None:
        """These are the newest; the oldest are gone. Call it in the transaction that records the outcome."""
        noted = list(decisions)
        rows = [(one.path, at_s, one.did, one.revision, one.detail) for one in noted]
        if not rows:
            return
        with self._db:
            self._db.executemany(
                "INSERT INTO decision (path, at, did, revision, detail) VALUES (?, ?, ?, ?, ?)", rows
            )
            self._db.execute("DELETE FROM decision WHERE seq <= ?", (self._db.last_insert_rowid() - MOST_KEPT,))
        self.untold += noted

    def of(self, path: TreePath, limit: int) -> list[tuple[float, Decision]]:
        """When what was done about this path, the newest first."""
        rows = self._db.execute(
            "SELECT at, did, revision, detail FROM decision WHERE path = ? ORDER BY seq DESC LIMIT ?", (path, limit)
        )
        return [(at, Decision(path, did, revision, detail)) for at, did, revision, detail in rows]
