"""The delete brake (R30): how many deletions may go through before a person is asked.

It looks at the last 60 seconds, not at one batch, so a mass deletion that trickles in is caught too. Only
deletions wait; everything else goes on. A deletion whose content appears under a new path in the same time is a
rename and is not counted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from relayfile.model import Digest, TreePath

WINDOW_S: Final = 60.0
FLOOR: Final = 50
SHARE: Final = 0.25

Direction: TypeAlias = Literal["local", "remote"]
"""The side on which paths would be deleted."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """One path that would be deleted, and what it holds."""

    path: TreePath
    digest: Digest


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in the last `WINDOW_S`: the size of base when it began, and the deletions let through since."""

    base: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Halt:
    """These deletions wait for a person. `emptied`: they would leave the side empty."""

    count: int
    emptied: bool


def limit(base: int) -> int:
    """How many deletions a window allows in a tree of `base` files."""
    return max(FLOOR, int(base * SHARE))


def suspicious(window: Window, deletions: int, *, emptied: bool) -> bool:
    """Whether `deletions` more need a closer look, which costs queries that an everyday deletion is spared."""
    return emptied or window.deleted + deletions > limit(window.base)


def review(
    window: Window,
    deletions: Sequence[Deletion],
    deleted: Sequence[Digest],
    appeared: Sequence[Digest],
    *,
    emptied: bool,
) -> Halt | None:
    """None when the deletions may go through; otherwise why they must wait.

    `deleted` is what was let through in the window, `appeared` the content of each path that is new in it on that
    side; one new path excuses one deletion. `emptied`: the side that was changed holds nothing any more.
    """
    new = Counter(appeared)
    waiting = _unexcused((deletion.digest for deletion in deletions), new)
    if not waiting:
        return None
    if emptied and window.base >= 2:
        return Halt(waiting, emptied=True)
    if waiting + _unexcused(deleted, new) > limit(window.base):
        return Halt(waiting, emptied=False)
    return None


def _unexcused(digests: Iterable[Digest], new: Counter[Digest]) -> int:
    """How many of these did not move to a new path; each new path is used up by the deletion that it excuses."""
    count = 0
    for digest in digests:
        if new[digest]:
            new[digest] -= 1
        else:
            count += 1
    return count
