"""What somebody waits for: everything up to a position on the disk, or one path at a revision or later."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from relayfile.core import paths
from relayfile.mirror.measure import Pending
from relayfile.mirror.state import State, Stream
from relayfile.model import TreePath

Standing: TypeAlias = Literal["asked", "coming", "here", "gone", "left_out"]


@dataclass(slots=True)
class Awaited:
    """`position` of the log, or `path` at that revision or later. `standing` is how that was after the last turn.

    `asked`: there was none since. `gone`: the log was read past the revision, and nothing lies at the path.
    `left_out`: this mirror does not keep it, for `reason`; beside `coming` the reason is why it has not come yet.
    """

    position: int
    path: TreePath | None = None
    standing: Standing = "asked"
    reason: str = ""

    def look(self, state: State, done: int) -> None:
        """`standing` is true now. `done` is the position up to which the disk holds everything; 0: not known."""
        if self.path is None:
            self.standing = "here" if done >= self.position else "coming"
        else:
            self.standing, self.reason = self._path(self.path, state, done)

    def _path(self, path: TreePath, state: State, done: int) -> tuple[Standing, str]:
        if reason := paths.left_out(path):
            return "left_out", reason
        refused = [one for one in state.refusals.of(path) if one.side == "down" or one.code == "view"]
        if lasting := next((one for one in refused if one.lasting), None):
            return "left_out", lasting.reason
        node = next(state.trees.nodes([path]), None)
        if node is not None and node.agreed >= self.position:
            return ("here" if node.stat is not None else "gone"), ""
        if done >= self.position:  # what was agreed to be absent has no row
            return "gone", ""
        return "coming", refused[0].reason if refused else ""


def applied(stream: Stream, pending: Pending) -> int:
    """Up to where everything that was observed is on the disk; refused paths are skipped, and listed (R19)."""
    if stream.open and not stream.observed_once:
        return 0
    return max(0, stream.position if pending.oldest is None else min(stream.position, pending.oldest - 1))
