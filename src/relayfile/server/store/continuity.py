"""Positions never restart lower, whatever is restored (R24).

The database counts every position it ever handed out; after each commit the count also goes to DATA/high-water.
A file that knows more than the database tells that an older database was put back: every log then gets a new
epoch and goes on behind everything the lost one may have said.
"""

import logging
import os
import time
from pathlib import Path
from typing import Final

import apsw

from relayfile.server.store.feed import new_epoch

FILE: Final = "high-water"
SYNC_EVERY_S: Final = 1.0
_WIDTH: Final = 20
_MOST_DIGITS: Final = 15
"""No log comes that far, and 18 digits are the most that a revision may have."""

_log = logging.getLogger(__name__)


class HighWater:
    """DATA/high-water: the count after the last commit, as decimal text of fixed width."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._written = -1
        self._synced_at = 0.0
        self._descriptor: int | None = None

    def read(self) -> int | None:
        """The count it holds; None when the file is lost or holds none."""
        try:
            text = self._path.read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return int(text) if text.isdigit() and len(text.lstrip("0")) <= _MOST_DIGITS else None

    def committed(self, connection: apsw.Connection) -> None:
        """The file holds the database's count; it is synced at most once a second.

        Runs in: writer thread, after each commit. It never fails the commit: trouble is logged, the next one tries.
        """
        count = handed_out(connection)
        if count == self._written:
            return
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                os.ftruncate(self._descriptor, _WIDTH)  # the rest of something longer would make this no number again
            os.pwrite(self._descriptor, b"%0*d" % (_WIDTH, count), 0)
            self._written = count
            if (now := time.monotonic()) - self._synced_at >= SYNC_EVERY_S:
                os.fdatasync(self._descriptor)
                self._synced_at = now
        except OSError as error:
            _log.warning("could not write %s: %s; it is tried again with the next commit", self._path, error.strerror)

    def close(self) -> None:
        """The last count is synced."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def handed_out(connection: apsw.Connection) -> int:
    """How many positions this database has handed out, over all workspaces."""
    return int(connection.execute("SELECT handed_out FROM continuity").get)


def resume(connection: apsw.Connection, known: int | None, *, now_s: float) -> bool:
    """Whether the database was found to be an older one put back; every log is then moved on behind what was lost.

    `known` is what the file says; None means the file is lost.

    Whoever runs the server is told by a warning why, and what follows.

    Once: the moved heads are counted, so the next start finds nothing restored.
    """
    count = handed_out(connection)
    if count == 0 and known is None:  # a new database beside no file: the first start
        return False
    jump = int(now_s) * 1_000 if known is None else known - count
    if jump <= 0:
        return False
    for (log,) in connection.execute("SELECT id FROM log").fetchall():
        connection.execute("UPDATE log SET head = head + ?, epoch = ? WHERE id = ?", (jump, new_epoch(), log))
        count += jump
    connection.execute("UPDATE continuity SET handed_out = ?", (max(count, known or 0),))
    file = Path(connection.filename).with_name(FILE)
    why = (
        f"{file} is lost or holds no count" if known is None else f"{file} knows of later positions than the database"
    )
    _log.warning(
        "%s: this is taken for a backup that was put back. So that no position is handed out twice, every workspace "
        "goes on %d positions further under a new epoch; a mirror observes it again from 0. No content was changed",
        why,
        jump,
    )
    return True
