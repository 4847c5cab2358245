"""What a batch of the log means for a mirror that has observed up to a cursor."""

from collections.abc import Iterable
from enum import Enum

from relayfile.model import Change, Cursor, TreePath


class Reception(Enum):
    """What to do with a batch."""

    APPLY = "apply"
    DUPLICATE = "duplicate"  # everything in it has been observed
    RESET = "reset"  # it is of another log: observe from 0, keeping base


def accept(observed: Cursor, incoming: Cursor) -> Reception:
    """How a batch that ends at `incoming` meets a mirror at `observed`.

    A mirror at position 0 takes any log: it is beginning a generation. A batch that ends where the mirror stands is
    applied, since it may carry `end` or a digest; its changes are harmless to repeat.
    """
    if observed.position and incoming.epoch != observed.epoch:
        return Reception.RESET
    if incoming.position < observed.position:
        return Reception.DUPLICATE
    return Reception.APPLY


def fold(changes: Iterable[Change]) -> list[Change]:
    """The last change of each path, in order of position: what a mirror needs of any stretch of the log."""
    last: dict[TreePath, Change] = {}
    for change in changes:
        held = last.get(change.path)
        if held is None or change.position >= held.position:
            last[change.path] = change
    return sorted(last.values(), key=_position)


class Remedy(Enum):
    """What a mirror does when its sum is not the server's tree digest of the same position (R20)."""

    REREAD = "reread"  # the delta from its cursor, once
    OBSERVE_AGAIN = "observe_again"  # a new generation from 0, keeping base
    REPORT = "report"  # damaged: shown, backed off, observed again later


def remedy(strikes: int) -> Remedy:
    """The remedy for mismatch number `strikes` (from 1) in a row at one position."""
    if strikes == 1:
        return Remedy.REREAD
    return Remedy.OBSERVE_AGAIN if strikes == 2 else Remedy.REPORT


def damaged_pause_s(strikes: int) -> float:
    """How long a damaged mirror waits before it observes again: a minute, doubling, an hour at most."""
    return float(min(3_600, 60 * 2 ** min(max(strikes - 3, 0), 16)))


def _position(change: Change) -> int:
    return change.position
