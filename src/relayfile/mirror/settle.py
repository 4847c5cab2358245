"""When a changed path is worth looking at (R32): at once if it was quiet, else when no more comes for a moment."""

from collections.abc import Callable
from typing import Final

from relayfile.model import TreePath

QUIET_S: Final = 0.1
SETTLE_S: Final = 0.005
STILL_OPEN_S: Final = 1.0
GONE_QUIET_S: Final = 0.05
GONE_AT_MOST_S: Final = 0.5
_REMEMBERED: Final = 4096


class Settling:
    """Paths that changed, each until it is due: `changed` is an edit that is complete, `opened` one going on."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due: dict[TreePath, float] = {}
        self._last: dict[TreePath, float] = {}
        self._gone: set[TreePath] = set()
        self._first_gone = 0.0
        self._last_gone = 0.0

    def changed(self, path: TreePath) -> None:
        """A complete edit: due now on a path that was quiet for `QUIET_S`, else once nothing came for `SETTLE_S`."""
        now = self._monotonic()
        before = self._last.get(path)
        self._gone.discard(path)
        self._due[path] = now if before is None or now - before >= QUIET_S else now + SETTLE_S
        self._last[path] = now

    def gone(self, path: TreePath) -> None:
        """It went away: due with all others that go, once none went for `GONE_QUIET_S`, at the latest after
        `GONE_AT_MOST_S`. Nobody waits for a deletion; what is deleted together must be judged together (R30), and
        a name that comes back at once was an editor saving.
        """
        now = self._monotonic()
        if not self._gone:
            self._first_gone = now
        self._last_gone = now
        self._due.pop(path, None)
        self._gone.add(path)

    def opened(self, path: TreePath) -> None:
        """A writer is at it: due `STILL_OPEN_S` after it began, or sooner by `changed` when it closes."""
        self._due.setdefault(path, self._monotonic() + STILL_OPEN_S)

    def settled(self) -> list[TreePath]:
        """The paths that are due, each once."""
        now = self._monotonic()
        paths = [path for path, due in self._due.items() if due <= now]
        for path in paths:
            del self._due[path]
        if self._gone and now >= self._gone_due():
            paths += self._gone
            self._gone.clear()
        if len(self._last) > _REMEMBERED:
            self._last = {path: at for path, at in self._last.items() if now - at < QUIET_S}
        return paths

    def next_in_s(self) -> float | None:
        """In how long the next path is due; None: none waits."""
        dues = [*self._due.values(), *([self._gone_due()] if self._gone else [])]
        return max(0.0, min(dues) - self._monotonic()) if dues else None

    def _gone_due(self) -> float:
        return min(self._last_gone + GONE_QUIET_S, self._first_gone + GONE_AT_MOST_S)

    def forget(self) -> None:
        """No path waits: everything is looked at anyway."""
        self._due.clear()
        self._gone.clear()
