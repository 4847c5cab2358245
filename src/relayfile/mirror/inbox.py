"""What the engine keeps between two turns: messages left for it, and when to look again. No decisions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from relayfile.mirror.awaited import Awaited
from relayfile.mirror.cycle import Order, Ticket
from relayfile.model import TreePath

RETRY_REFUSED_S: Final = 5.0
LONGEST_REFUSED_S: Final = 60.0


@dataclass(slots=True)
class Inbox:
    """What was left for the engine since its last turn. `questions` are answered between two turns."""

    begin: Literal["start", "resume"] | None = "start"
    sweep: bool = False
    hints: set[TreePath] = field(default_factory=set)
    orders: list[Order] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    questions: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    awaited: list[Awaited] = field(default_factory=list)
    live: bool = False
    stopping: bool = False
    placing: bool = False  # a turn is under way that may place files

    async def answer(self) -> None:
        """Every question that was asked has its answer; one that is asked meanwhile waits for the next time."""
        asked, self.questions = self.questions, []
        for question in asked:
            await question()


@dataclass(slots=True)
class Due:
    """When something is tried again, in seconds of the monotonic clock; None: nothing waits."""

    turn_s: float | None = None
    refused_s: float | None = None
    log_s: float | None = None
    failures: int = 0
    refused_pause_s: float = RETRY_REFUSED_S

    def any(self, now_s: float) -> bool:
        """Whether the engine should look."""
        return any(at_s is not None and at_s <= now_s for at_s in (self.turn_s, self.refused_s, self.log_s))

    def retry_refused(self, now_s: float, *, waiting: bool, tried: bool) -> None:
        """What waits is tried again soon, then ever more rarely while trying does not help."""
        if not waiting:
            self.refused_s, self.refused_pause_s = None, RETRY_REFUSED_S
        elif self.refused_s is None or tried:
            self.refused_s = now_s + self.refused_pause_s
            self.refused_pause_s = min(LONGEST_REFUSED_S, self.refused_pause_s * 2)
