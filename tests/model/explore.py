"""Breadth-first over every state that can be reached: the first violation comes with its shortest trace."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

S = TypeVar("S", bound=Hashable)


class BrokenError(AssertionError):
    """An invariant that does not hold. Raised by the world, and by `explore` with the trace that leads there."""


@dataclass(frozen=True, slots=True)
class Explored:
    """What was seen."""

    states: int
    transitions: int
    depth: int


def explore(
    initial: S,
    moves: Callable[[S], Iterable[tuple[str, Callable[[], S]]]],
    holds: Callable[[S], None],
    *,
    at_most: int,
) -> Explored:
    """Every state reachable from `initial` keeps `holds`, and every move between them is allowed.

    Raises:
        BrokenError: with the moves of a shortest way to the violation.
        AssertionError: there are more than `at_most` states: the bounds of this exploration are too wide.
    """
    came_from: dict[S, tuple[S, str] | None] = {initial: None}
    depth = {initial: 0}
    waiting = deque([initial])
    transitions = 0
    holds(initial)
    while waiting:
        state = waiting.popleft()
        for label, move in moves(state):
            transitions += 1
            try:
                after = move()
                if after in came_from:
                    continue
                holds(after)
            except BrokenError as broken:
                raise BrokenError("\n".join([str(broken), *_trace(came_from, state), label])) from None
            came_from[after] = (state, label)
            depth[after] = depth[state] + 1
            waiting.append(after)
            assert len(came_from) <= at_most, f"more than {at_most} states"
    return Explored(len(came_from), transitions, max(depth.values()))


def _trace(came_from: dict[S, tuple[S, str] | None], state: S) -> list[str]:
    labels = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(label)
    return labels[::-1]
