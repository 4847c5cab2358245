"""Whether both sides are equal, by comparing digests of both trees at one position (R19, R20, promise P5)."""

from relayfile.core.feed import Remedy, damaged_pause_s, remedy
from relayfile.mirror.measure import Pending
from relayfile.mirror.state import State, Stream
from relayfile.model import Cursor


class Proof:
    """Compares when it can, and says what to do about a difference.

    `equal_at` is the position at which both trees were last found equal by this process. `differs`: the last
    comparison failed; `damaged`: so did what R20 has as remedies. `compared` counts how often they were equal.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._said: tuple[Cursor, bytes] | None = None
        self._strikes = 0
        self._again_at_s: float | None = None
        self.equal_at: int | None = None
        self.differs = False
        self.compared = 0

    @property
    def damaged(self) -> bool:
        """Whether the trees differ for a reason the mirror cannot mend."""
        return self._again_at_s is not None

    def hear(self, cursor: Cursor, digest: bytes | None) -> None:
        """The server said what the tree digest of exactly `cursor` is."""
        if digest:
            self._said = (cursor, digest)

    def forget(self) -> None:
        """What was said is of no use any more; the mirror begins to observe again."""
        self._said = None

    def check(self, stream: Stream, pending: Pending, now_s: float) -> Remedy | None:
        """The sums are compared if they are of one position and nothing is on its way between the sides."""
        if self._again_at_s is not None and now_s >= self._again_at_s:
            self._again_at_s = now_s + damaged_pause_s(self._strikes + 1)
            return Remedy.OBSERVE_AGAIN
        if self._said is None or self._said[0].position < stream.position:
            self._said = None
            return None
        if not comparable(stream, pending) or self._said[0] != stream.cursor:
            return None
        digest, self._said = self._said[1], None
        if self._state.measure.kept_sum() == digest or (
            self._state.measure.resum() and self._state.measure.kept_sum() == digest
        ):
            self._equal(stream.position, now_s)
            return None
        if not self.differs:  # what goes on differing is counted once
            self._state.mismatch(now_s)
        self.differs = True
        self._strikes += 1
        chosen = remedy(self._strikes)
        if chosen is Remedy.REPORT:
            self._again_at_s = now_s + damaged_pause_s(self._strikes)
        return chosen

    def _equal(self, position: int, now_s: float) -> None:
        self._strikes = 0
        self._again_at_s = None
        self.differs = False
        self.compared += 1
        if self.equal_at != position:
            self.equal_at = position
            self._state.prove(position, now_s)


def comparable(stream: Stream, pending: Pending) -> bool:
    """Whether the local sum speaks of exactly the position observed: nothing pending, nothing of ours ahead of it."""
    return not stream.open and pending.nothing and stream.acknowledged <= stream.position
