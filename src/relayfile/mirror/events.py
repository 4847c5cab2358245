"""What the mirror did, as a stream for whoever follows it: bounded, so that no reader slows the engine."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final

from relayfile.mirror.board import Board
from relayfile.mirror.event import Event, Kind
from relayfile.mirror.past import Decision, Did
from relayfile.mirror.picture import Cause, Picture, StateWord
from relayfile.mirror.ports import Clock

MOST_WAITING: Final = 4_096
"""Events kept for a reader that does not take them; what comes on top is counted and left out."""

_KINDS: Final[Mapping[Did, Kind]] = {
    "placed": "placed",
    "removed": "removed",
    "merged": "merged",
    "set_aside": "conflict",
    "made_way": "removed",
    "sent": "uploaded",
    "deletion_sent": "deleted_remotely",
    "refused_here": "refused",
    "refused_there": "refused",
    "withheld": "refused",
}
"""What is told of what was done; the rest changed nothing on either side."""


class Events:
    """Hands what the engine tells to everyone who follows."""

    def __init__(self, board: Board, clock: Clock, picture: Callable[[], Picture]) -> None:
        self._board = board
        self._clock = clock
        self._picture = picture
        self._followers: list[_Follower] = []
        self._ended = False

    @property
    def followed(self) -> bool:
        """Whether anybody listens."""
        return bool(self._followers)

    def tell(self, happened: Sequence[Decision]) -> None:
        """Whoever follows has these, or knows how many they could not be given."""
        if self._followers:
            now_s = self._clock.now()
            for event in filter(None, (_event(done, now_s) for done in happened)):
                for follower in self._followers:
                    follower.put(event)

    def look(self) -> None:
        """Whoever follows has the state, if it is another than the last they had."""
        for follower in self._followers:
            picture = self._picture()
            follower.see(picture.state, picture.cause, self._clock.now())

    def end(self) -> None:
        """The engine has ended: whoever follows is told so, and then nothing more."""
        self._ended = True
        for follower in self._followers:
            follower.see("stopped", None, self._clock.now())

    async def follow(self, below: Sequence[str] = ()) -> AsyncGenerator[Sequence[Event], None]:
        """The state now, then what happens at or below these paths (none: anywhere), until the engine ends.

        An empty answer comes now and then while nothing happens, so that a reader who is gone is noticed.
        """
        follower = _Follower(tuple(below))
        self._followers.append(follower)
        try:
            self.look()
            while True:
                yield follower.take()
                if not follower.waits:
                    if self._ended:
                        return
                    await self._board.news()
        finally:
            self._followers.remove(follower)


class _Follower:
    """One reader, and what waits for it."""

    def __init__(self, below: Sequence[str]) -> None:
        self._below = below
        self._queue: deque[Event] = deque()
        self._lost = 0
        self._seen: tuple[StateWord, str | None] | None = None

    @property
    def waits(self) -> bool:
        """Whether there is something to take."""
        return bool(self._queue)

    def put(self, event: Event) -> None:
        """The reader will have the event, or know that it was left out."""
        if event.path is not None and self._below and not any(_within(event.path, one) for one in self._below):
            return
        if len(self._queue) < MOST_WAITING:
            self._queue.append(event)
        else:
            self._lost += 1

    def see(self, state: StateWord, cause: Cause | None, at_s: float) -> None:
        """The reader will know the state; how far it is in that (so many edits on their way) is no news."""
        now = (state, cause.code if cause else None)
        if now != self._seen:
            self._seen = now
            self.put(Event("state", state=state, cause=cause, at_s=at_s))

    def take(self) -> list[Event]:
        """What waits, in order; then how many were left out after it."""
        taken = list(self._queue)
        self._queue.clear()
        if self._lost:
            taken.append(Event("lost", count=self._lost, at_s=taken[-1].at_s))
            self._lost = 0
        return taken


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _event(done: Decision, at_s: float) -> Event | None:
    kind = _KINDS.get(done.did)
    if kind is None:
        return None
    cause: Cause | None = None
    if done.did in {"set_aside", "made_way"} and done.detail:
        kind, cause = "conflict", Cause("conflict_copy", f"ours is kept as {done.detail}")
    elif done.code:
        cause = Cause(done.code, done.detail or "")
    return Event(kind, done.path, done.revision, cause=cause, at_s=at_s)
