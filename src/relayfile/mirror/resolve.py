"""A person's word on a conflict, carried out: intend, execute, record.

Mine: the copy's content is placed at the path, then the copy goes. Theirs: the copy goes. Both: the copy stays and
is an ordinary file. What is replaced or removed lies in the mirror's trash for a while; and nothing is replaced that
the server does not have. A process that dies between two steps leaves the conflict open, so the word is given again.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from relayfile.mirror.conflicts import Conflict
from relayfile.mirror.local import Survey
from relayfile.mirror.ports import (
    LARGE_BYTES,
    Body,
    Changed,
    Disk,
    Done,
    Found,
    Missing,
    Place,
    Refused,
    Remove,
    Twin,
    Unfit,
)
from relayfile.mirror.state import State
from relayfile.mirror.trees import UNKNOWN, LocalState
from relayfile.model import Stat, TreePath, Version

Keep: TypeAlias = Literal["mine", "theirs", "both"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of a ruling: resolved when there is no `code`; otherwise nothing of either side was lost."""

    code: str | None = None
    reason: str = ""


@dataclass(slots=True)
class Ruling:
    """What to keep of the conflict whose copy this is. `settlement` is None until a turn has carried it out."""

    copy: TreePath
    keep: Keep
    settlement: Settlement | None = None

    @property
    def settled(self) -> bool:
        """Whether a turn has carried it out, or put it off."""
        return self.settlement is not None

    def put_off(self) -> None:
        """It is not carried out, as the mirror is paused."""
        self.settlement = PAUSED


RESOLVED: Final = Settlement()
NO_CONFLICT: Final = Settlement("no_conflict", "it is no conflict any more")
PAUSED: Final = Settlement("paused", "the mirror is paused, so nothing is placed and nothing sent")
_CHANGED: Final = Settlement("changed", "it was changed just now")


class Resolve:
    """Carries rulings out."""

    def __init__(self, state: State, disk: Disk, survey: Survey) -> None:
        self._state = state
        self._disk = disk
        self._survey = survey

    def carry_out(self, ruling: Ruling, now_s: float) -> Settlement:
        """What came of it, recorded.

        Once: harmless to repeat.

        Raises:
            Unavailable: the state or the disk did not work now.
        """
        conflict = self._state.conflicts.at(ruling.copy)
        if conflict is None:
            return NO_CONFLICT
        if ruling.keep == "both":
            self._state.conflicts.settle(ruling.copy)
            return RESOLVED
        # What was written a moment before the word was given counts, whether a hint of it came already or not.
        self._survey.rescan({conflict.path, conflict.copy}, now_s)
        conflict = self._state.conflicts.at(ruling.copy)
        if conflict is None:
            return NO_CONFLICT
        if ruling.keep == "mine" and (fault := self._placed(conflict, now_s)):
            return fault
        return self._dropped(conflict, now_s)

    def _placed(self, conflict: Conflict, now_s: float) -> Settlement | None:
        """The path holds what the copy does: an edit like any other. Or why not."""
        mine = conflict.mine.trees.local
        assert mine is not None, "an open conflict has a copy"
        assert conflict.mine.stat is not None, "which lies there"
        if conflict.path == conflict.copy:
            return Settlement("no_path", "which file it was is not known: rename it by hand, or keep both")
        there = conflict.theirs
        if there is not None and there.trees.local is not None:
            at_path = there.trees.local
            if at_path.same_content(mine):
                return None
            if not there.on_the_server:
                return Settlement("unsent", f"/{conflict.path} holds an edit that the server does not have yet")
        body = self._body(conflict.copy, conflict.mine.stat, mine)
        if body is None:
            return _CHANGED
        version = Version(0, mine.digest, mine.size, mine.mode)
        self._state.intents.place([(conflict.path, version)])
        old = there.old("resolved") if there else None
        step = Place(conflict.path, version, body, there.stat if there else None, old)
        [result] = self._disk.execute([step])
        with self._state.transaction():
            self._state.intents.placed()
            match result:
                case Done(path, None):  # touched again already: only a scan knows (R27)
                    self._state.trees.record((), [LocalState(path, UNKNOWN, None)], now_s)
                    self._survey.unstable.add(path)
                case Done(path, stat) if stat is not None:
                    self._state.trees.see([Found(path, stat, version.digest)], now_s)
                case Changed() | Unfit():
                    return _CHANGED
                case Refused(reason=reason):
                    return Settlement("refused", reason)
        return None

    def _body(self, copy: TreePath, stat: Stat, mine: Version) -> Body | None:
        """The content of the copy, a large one as it lies there; None: it is another by now."""
        if mine.size > LARGE_BYTES:
            return Twin(copy, stat)
        body = self._disk.read(copy, stat)
        return body if body is not None and sha256(body).digest() == mine.digest else None

    def _dropped(self, conflict: Conflict, now_s: float) -> Settlement:
        """The copy lies in the trash; or why not."""
        assert conflict.mine.stat is not None, "an open conflict has a copy"
        step = Remove(conflict.copy, conflict.mine.stat, conflict.mine.old("resolved"))
        [result] = self._disk.execute([step])
        match result:
            case Changed():
                return _CHANGED
            case Refused(reason=reason):
                return Settlement("refused", reason)
        with self._state.transaction():
            self._state.conflicts.settle(conflict.copy)
            self._state.trees.see([Missing(conflict.copy)], now_s)
        return RESOLVED
