"""What was about to happen when the process died: place intents and push intents.

An intent is written before its effect is tried and goes with the record of its outcome, in one transaction.
"""

from collections.abc import Iterable, Sequence

import apsw

from relayfile.core.outbox import Entry
from relayfile.model import Digest, TreePath, Version


class Intents:
    """The rows of `placing` and `push`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def place(self, placing: Iterable[tuple[TreePath, Version]]) -> None:
        """These versions are about to be placed.

        Durable: on return, so that a stage file found later can be told from displaced user data (R27).
        """
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO placing (path, revision, digest, size, mode) VALUES (?, ?, ?, ?, ?)",
                [(path, one.revision, one.digest, one.size, one.mode) for path, one in placing],
            )

    def placing(self) -> dict[TreePath, Version]:
        """The placements whose outcome was never recorded."""
        rows = self._db.execute("SELECT path, revision, digest, size, mode FROM placing")
        return {
            TreePath(path): Version(revision, Digest(raw), size, mode) for path, revision, raw, size, mode in rows
        }

    def placed(self) -> None:
        """Every placement that was intended has its outcome recorded."""
        self._db.execute("DELETE FROM placing")

    def send(self, entries: Sequence[Entry]) -> None:
        """These edits are about to be sent, and never change again (R29).

        Durable: on return.
        """
        with self._db:
            self._db.executemany(
                "INSERT INTO push (path, key, over, digest, size, mode) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (one.path, one.key, one.over, None, None, None)
                    if one.version is None
                    else (one.path, one.key, one.over, one.version.digest, one.version.size, one.version.mode)
                    for one in entries
                ],
            )

    def sent(self) -> list[Entry]:
        """The edits whose outcome is not known."""
        return [
            Entry(key, TreePath(path), over, None if raw is None else Version(0, Digest(raw), size, mode))
            for path, key, over, raw, size, mode in self._db.execute(
                "SELECT path, key, over, digest, size, mode FROM push ORDER BY path"
            )
        ]

    def settle(self, entries: Iterable[Entry]) -> None:
        """The outcome of these edits is recorded."""
        self._db.executemany("DELETE FROM push WHERE path = ? AND key = ?", [(one.path, one.key) for one in entries])
