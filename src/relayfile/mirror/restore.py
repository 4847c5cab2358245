"""What a person wants back from the trash, carried out: intend, execute, record.

The content is placed as any is, and what comes of it is a local edit. What lies at the path now goes into the trash
in its turn, and only if the server has it. A process that dies between two steps leaves the path as it was or with
the content that was wanted, so the word is given again and ends the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from relayfile.core.trash import Kept
from relayfile.mirror.local import Survey
from relayfile.mirror.ports import LARGE_BYTES, Changed, Disk, Done, Found, Place, Refused, Result, Unfit
from relayfile.mirror.resolve import PAUSED, Settlement
from relayfile.mirror.state import State
from relayfile.mirror.trees import UNKNOWN, LocalState, Node
from relayfile.model import TreePath

MOST_FILES: Final = 256
MOST_BYTES: Final = 8 * 1024 * 1024
_GONE: Final = Settlement("gone", "it is no longer in the trash")
_THERE: Final = Settlement("there", "another file lies there")
_CHANGED: Final = Settlement("changed", "it was changed just now")
_UNSENT: Final = Settlement("unsent", "an edit lies there that the server does not have yet")
_DONE: Final = Settlement()


@dataclass(frozen=True, slots=True)
class Wish:
    """This content at that path, or `if_gone` only where nothing lies there."""

    kept: Kept
    path: TreePath
    if_gone: bool


@dataclass(slots=True)
class Restoration:
    """Wishes of different paths, as many as one turn may carry out. `settlements`, in their order, are None until
    it has.
    """

    wishes: Sequence[Wish]
    settlements: list[Settlement] | None = None

    @property
    def settled(self) -> bool:
        """Whether a turn has carried it out, or put it off."""
        return self.settlements is not None

    def put_off(self) -> None:
        """It is not carried out, as the mirror is paused."""
        self.settlements = [PAUSED] * len(self.wishes)


def portions(wishes: Sequence[Wish]) -> Iterator[Restoration]:
    """The wishes in portions for one turn each; a large content, which can be placed once, by itself."""
    some: list[Wish] = []
    size = 0
    for wish in wishes:
        large = max(wish.kept.size, *(one.kept.size for one in some[-1:]), 0) > LARGE_BYTES
        if some and (large or len(some) >= MOST_FILES or size + wish.kept.size > MOST_BYTES):
            yield Restoration(some)
            some, size = [], 0
        some.append(wish)
        size += wish.kept.size
    if some:
        yield Restoration(some)


class Restore:
    """Carries restorations out."""

    def __init__(self, state: State, disk: Disk, survey: Survey) -> None:
        self._state = state
        self._disk = disk
        self._survey = survey

    def kept(self) -> Sequence[Kept]:
        """What can be had back, oldest first."""
        return self._disk.kept()

    def carry_out(self, order: Restoration, now_s: float) -> None:
        """What came of each wish is in the order, and recorded.

        Once: harmless to repeat.

        Raises:
            Unavailable: the state or the disk did not work now.
        """
        paths = {wish.path for wish in order.wishes}
        # What was written a moment before the word was given counts, whether a hint of it came already or not.
        self._survey.rescan(paths, now_s)
        nodes = {node.path: node for node in self._state.trees.nodes(paths)}
        settlements: dict[TreePath, Settlement] = {}
        steps: list[Place] = []
        for wish in order.wishes:
            match self._step(wish, nodes.get(wish.path)):
                case Place() as step:
                    steps.append(step)
                case settlement:
                    settlements[wish.path] = settlement
        if steps:
            self._state.intents.place([(step.path, step.version) for step in steps])
            results = self._disk.execute(steps)
            with self._state.transaction():
                self._state.intents.placed()
                for step, result in zip(steps, results, strict=True):
                    settlements[step.path] = self._recorded(step, result, now_s)
        order.settlements = [settlements[wish.path] for wish in order.wishes]

    def _step(self, wish: Wish, node: Node | None) -> Place | Settlement:
        """How the wish is carried out; or what came of it, where there is nothing to do."""
        found = self._disk.kept_content(wish.kept)
        if found is None:
            return _GONE
        if isinstance(found, Refused):
            return Settlement("refused", found.reason)
        version, body = found
        local = node.trees.local if node else None
        if node is None or local is None:
            return Place(wish.path, version, body, None)
        if local.same_content(version):
            return _DONE
        if wish.if_gone:
            return _THERE
        if not node.on_the_server:
            return _UNSENT
        return Place(wish.path, version, body, node.stat, node.old("restored"))

    def _recorded(self, step: Place, result: Result, now_s: float) -> Settlement:
        match result:
            case Done(path, None):  # touched again already: only a scan knows (R27)
                self._state.trees.record((), [LocalState(path, UNKNOWN, None)], now_s)
                self._survey.unstable.add(path)
            case Done(path, stat) if stat is not None:
                self._state.trees.see([Found(path, stat, step.version.digest)], now_s)
            case Changed() | Unfit():
                return _CHANGED
            case Refused(reason=reason):
                return Settlement("refused", reason)
        return _DONE
