"""What the engine keeps between two turns: messages left for it, errands, and when to look again. No decisions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from relayfile.mirror.awaited import Awaited
from relayfile.mirror.cycle import Order, Ticket
from relayfile.model import Digest, TreePath

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


@dataclass(slots=True)
class Errand:
    """Bodies to fetch, and those that came already: a cut answer is not asked for again from its beginning."""

    digests: list[Digest]
    bodies: dict[Digest, bytes | None] = field(default_factory=dict)


async def run_errand(
    errand: Errand, blobs: Callable[[Sequence[Digest]], AsyncIterator[tuple[Digest, bytes | None]]]
) -> Errand:
    """Every body of the errand came, or is known to be missing; those that came before a failure stay.

    Raises:
        RelayfileError: as `blobs`.
    """
    async for digest, body in blobs([digest for digest in errand.digests if digest not in errand.bodies]):
        errand.bodies[digest] = body
    return errand


def load(wants: Mapping[Digest, int], most_files: int, most_bytes: int) -> list[Digest]:
    """As much of what is wanted as one errand brings: what one turn can place."""
    chosen: list[Digest] = []
    size = 0
    for digest, size_bytes in wants.items():
        if chosen and (size + size_bytes > most_bytes or len(chosen) >= most_files):
            break
        chosen.append(digest)
        size += size_bytes
    return chosen
