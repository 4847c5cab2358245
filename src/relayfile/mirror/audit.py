"""Every file below the root read again, whatever its state says (`relayfile verify --deep`), in pieces.

A piece is done between two turns, so that the mirror goes on; what it holds in memory does not grow with the tree.
"""

from collections.abc import Callable, Iterator
from typing import Final

from relayfile.mirror.local import Survey
from relayfile.mirror.picture import Progress
from relayfile.mirror.ports import Found, Left, Scanner, Sight
from relayfile.mirror.state import State
from relayfile.model import TreePath

PIECE_FILES: Final = 64
PIECE_BYTES: Final = 4 * 1024 * 1024
MOST_LISTED: Final = 1_000


class Audit:
    """One pass over the files that the rows know, in order of path.

    `unread` are files that could not be read, with the reason, as many as can be listed of `unread_count`. A file
    that was touched meanwhile is no rot: it is looked at again as any that was hinted.
    """

    def __init__(self, state: State, scanner: Scanner, survey: Survey, now: Callable[[], float]) -> None:
        self._state = state
        self._scanner = scanner
        self._survey = survey
        self._now = now
        self._at = TreePath("")
        self._reading: Iterator[int | Sight] | None = None
        self._total, self._total_bytes = state.rot.size()
        self.files = 0
        self.size_bytes = 0
        self.unread: dict[TreePath, str] = {}
        self.unread_count = 0

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(
            self.files, max(self.files, self._total), self.size_bytes, max(self.size_bytes, self._total_bytes)
        )

    def piece(self) -> bool:
        """Some more was read and compared with the rows; whether anything is left.

        Raises:
            Unavailable: the state did not work now.
            Halted: code `root_replaced`: what was read says nothing about the mirror.
        """
        with self._state.faults():
            files, size = self.files + PIECE_FILES, self.size_bytes + PIECE_BYTES
            while self.files < files and self.size_bytes < size:
                if self._reading is None:
                    path = self._state.rot.next_file(self._at)
                    if path is None:
                        return False
                    self._at, self._reading = path, self._scanner.reread(path, self._state.trees)
                read = next(self._reading)
                if isinstance(read, int):
                    self.size_bytes += read
                else:
                    self._reading = None
                    self.files += 1
                    self._compare(read)
            return True

    def _compare(self, sight: Sight) -> None:
        known = self._state.trees.get(self._at)
        if isinstance(sight, Left):
            self.unread_count += 1
            if len(self.unread) < MOST_LISTED:
                self.unread[self._at] = sight.reason
        elif known is None or not isinstance(sight, Found) or sight.stat != known[0]:
            self._survey.unstable.add(self._at)
        elif sight.digest != known[1]:
            self._state.rot.found(sight, self._now())
