"""Gather, the local side: what the scanner sees becomes the local tree."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from relayfile.core.paths import before_conflict
from relayfile.mirror.ports import Found, Left, Missing, Scanner, Unstable
from relayfile.mirror.refusals import Refusal, Side
from relayfile.mirror.state import State
from relayfile.model import TreePath

CHUNK: Final = 512
MOST_LISTED: Final = 1_000


class Survey:
    """Looks at the disk, all of it or a few paths.

    `again` are paths whose row the disk contradicted when a step was tried; if a scan finds them just as the row
    says, something that is never mirrored lies there, and the path waits in place of being tried in a circle.
    `unstable` are files that were being written; they are looked at again a moment later.
    """

    def __init__(self, state: State, scanner: Scanner) -> None:
        self._state = state
        self._scanner = scanner
        self.again: dict[TreePath, Side] = {}
        self.unstable: set[TreePath] = set()
        self.left: dict[str, str] = {}

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """What lies here under another name than its own, by path, as far as it can be listed."""
        return dict(islice(self._scanner.elsewhere.items(), MOST_LISTED))

    def sweep(self, now_s: float) -> None:
        """The local tree is what lies on the disk: offline edits and offline deletions are found too."""
        trees, swept = self._state.trees, self._state.swept
        self.left.clear()
        self.unstable.clear()
        swept.begin()
        sights = self._scanner.sweep(trees)
        while chunk := list(islice(sights, CHUNK)):
            swept.note(sight.path for sight in chunk if not isinstance(sight, Left))
            self._take(chunk, now_s)
        trees.see(swept.missing(), now_s)
        self._state.refusals.reopen(self.left)
        self._give_up_circling(set())

    def rescan(self, hinted: Iterable[TreePath], now_s: float) -> None:
        """The local tree is what lies at the hinted paths, at those a step stumbled over, and at unstable ones."""
        paths: set[TreePath] = {*hinted, *self.again, *self.unstable}
        if not paths:
            return
        self.unstable.clear()
        forgotten = [name for name in self.left if not paths.isdisjoint(_itself_and_above(name))]
        for name in forgotten:
            del self.left[name]
        self._give_up_circling(self._take(self._scanner.rescan(paths, self._state.trees), now_s))
        if forgotten:
            self._state.refusals.reopen(self.left)

    def _take(self, sights: Iterable[Found | Missing | Unstable | Left], now_s: float) -> set[TreePath]:
        certain: list[Found | Missing] = []
        for sight in sights:
            if isinstance(sight, Left):
                if len(self.left) < MOST_LISTED:
                    self.left[sight.name] = sight.reason
            elif isinstance(sight, Unstable):
                self.unstable.add(sight.path)
            else:
                if self.left and isinstance(sight, Missing):
                    self.left.pop(sight.path, None)
                certain.append(sight)
        changed = self._state.trees.see(certain, now_s)
        self._note_copies(changed, now_s)
        for path in changed:
            self.again.pop(path, None)
        return changed

    def _note_copies(self, changed: Iterable[TreePath], now_s: float) -> None:
        """A conflict copy that neither side ever had was made by the disk, of a write that raced (R27).

        Before the workspace was ever seen nobody knows that, and what lies here may be one of long ago.
        """
        if not self._state.stream().observed_once:
            return
        for copy in changed:
            path = before_conflict(copy)
            if path == copy:
                continue
            nodes = {node.path: node for node in self._state.trees.nodes((copy, path))}
            found, theirs = nodes.get(copy), nodes.get(path)
            if found and found.stat and not found.trees.base and not found.trees.remote:
                revision = theirs.revision if theirs else 0
                self._state.conflicts.set_aside([(path, copy, revision)], now_s)

    def _give_up_circling(self, changed: set[TreePath]) -> None:
        stuck = [path for path in self.again if path not in changed and path not in self.unstable]
        self._state.refusals.add(
            [
                Refusal(
                    path, self.again[path], "in_the_way", "something that is not mirrored lies there", lasting=False
                )
                for path in stuck
            ]
        )
        self.again.clear()


def _itself_and_above(name: str) -> Iterator[str]:
    yield name
    while name := name.rpartition("/")[0]:
        yield name
