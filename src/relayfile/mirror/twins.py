"""Where a wanted content lies on this disk already, so that it is copied and not fetched: a file that was renamed or
copied elsewhere comes without its bytes.

Only of contents that do not come with the log. What is found is a place to look at, never truth: whoever copies it
verifies its state and its digest.
"""

from typing import Final

from relayfile.mirror.ports import Twin
from relayfile.mirror.state import State
from relayfile.model import Digest, Stat, TreePath, Version
from relayfile.wire.delta import INLINE_BYTES

MOST_GONE: Final = 10_000


class Twins:
    """What the rows know, and what was lately moved to the trash."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._gone: dict[Digest, Twin] = {}
        self._unfit: set[Digest] = set()

    def find(self, version: Version) -> Twin | None:
        """A place that should hold this content; None where none is known."""
        if version.size <= INLINE_BYTES or version.digest in self._unfit:
            return None
        held = self._state.measure.holder(version.digest)
        return Twin(*held) if held else self._gone.get(version.digest)

    def gone(self, version: Version | None, path: TreePath, stat: Stat | None) -> None:
        """What lay at the path in this state lies in the trash, for a while."""
        if version is not None and stat is not None and version.size > INLINE_BYTES:
            self._gone[version.digest] = Twin(path, stat)
            if len(self._gone) > MOST_GONE:
                del self._gone[next(iter(self._gone))]

    def unfit(self, digest: Digest) -> None:
        """A place did not hold what it should: this content is fetched from now on."""
        self._unfit.add(digest)
