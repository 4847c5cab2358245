"""What a sweep met, so that afterwards it is known what lies there no more. Nothing of it outlives the process."""

from collections.abc import Iterable

import apsw

from relayfile.mirror.ports import Missing
from relayfile.model import TreePath


class Swept:
    """The paths of one sweep at a time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def begin(self) -> None:
        """The paths a sweep finds are noted from now on."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS swept (path TEXT PRIMARY KEY) WITHOUT ROWID")
        self._db.execute("DELETE FROM swept")

    def note(self, found: Iterable[TreePath]) -> None:
        """The sweep met these paths."""
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO swept VALUES (?)", ((path,) for path in found))

    def missing(self) -> list[Missing]:
        """The local paths that the sweep did not meet: deleted while nobody watched. The sweep is over."""
        rows = self._db.execute(
            "SELECT path FROM node WHERE l_ino IS NOT NULL AND path NOT IN (SELECT path FROM swept)"
        )
        missing = [Missing(TreePath(path)) for (path,) in rows]
        self._db.execute("DELETE FROM swept")
        return missing
