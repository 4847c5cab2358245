"""Asks the delete brake (R30), and keeps what it said until nothing waits any more."""

from relayfile.core import safety
from relayfile.core.safety import Direction, Halt
from relayfile.mirror.state import State


class Guard:
    """Whether deletions may be carried to a side. `halts` are those that wait for a person."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.halts: dict[Direction, Halt] = {}

    def review(self, side: Direction, now_s: float) -> Halt | None:
        """None when all deletions that are due on `side` may go through."""
        brake = self._state.brake
        waiting = brake.waiting(side)
        if not waiting:
            self.halts.pop(side, None)
            if brake.accepted(side):  # a person's word holds for what waited when it was given
                brake.accept(side, accepted=False)
            return None
        halt = None
        if not brake.accepted(side):
            window = brake.window(side, now_s)
            emptied = brake.emptied(side)
            if safety.suspicious(window, waiting, emptied=emptied):
                halt = safety.review(
                    window,
                    brake.deletions(side),
                    brake.deleted(side),
                    brake.appeared(side, now_s),
                    emptied=emptied,
                )
        if halt is None:
            self.halts.pop(side, None)
        else:
            self.halts[side] = halt
        return halt

    def accept(self) -> None:
        """A person lets through what waits."""
        for side in self.halts:
            self._state.brake.accept(side, accepted=True)
        self.halts.clear()

    def restore(self) -> None:
        """A person wants back what waits to be deleted."""
        self._state.brake.restore()
        self.halts.clear()
