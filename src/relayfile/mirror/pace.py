"""How far a piece of work has come and how fast it goes, from one report to the next."""

from typing import Final

from relayfile.mirror.apply import Tally
from relayfile.mirror.measure import Pending
from relayfile.mirror.picture import Progress

PAUSE_S: Final = 5.0
"""After so long with nothing to do, progress counts from nothing again."""


class Pace:
    """`progress` holds still between two reports, so that two pictures of the same moment are equal.

    `ahead` is about how many files and bytes the log still has behind what was taken from it.
    """

    def __init__(self, now_s: float) -> None:
        self._began_s = self._worked_s = self._turn_s = now_s
        self._done = (0, 0)
        self._working = False
        self.ahead = (0, 0)
        self.progress = Progress()

    def turn(self, now_s: float) -> None:
        """A turn begins, whose report will be counted."""
        self._turn_s = now_s

    def count(self, tally: Tally, pending: Pending, now_s: float) -> None:
        """So much more was done, and so much is left."""
        if not self._working and self._turn_s - self._worked_s > PAUSE_S:  # what comes now is a new piece of work
            self._began_s, self._done = self._turn_s, (0, 0)
        self._working = not pending.nothing or self.ahead != (0, 0)
        if tally.files or self._working:
            self._worked_s = now_s
        files, size = self._done = (self._done[0] + tally.files, self._done[1] + tally.size_bytes)
        elapsed_s = now_s - self._began_s
        self.progress = Progress(
            files,
            files + pending.down + pending.edits + self.ahead[0],
            size,
            size + pending.down_bytes + self.ahead[1],
            files / elapsed_s if elapsed_s > 0 and self._working else 0.0,
        )
