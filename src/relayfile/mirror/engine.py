"""The cycle: gather, plan, intend, execute, record. The only task that touches the mirror's state.

Bodies follow in the next commits; the signatures here are what the daemon codes against.
"""

from collections.abc import AsyncIterator, Coroutine

from relayfile.mirror.picture import Picture, Progress
from relayfile.mirror.ports import Ports
from relayfile.mirror.state import State


class Engine:
    """One mirror at work.

    The daemon runs every job of `jobs()` in one task group; when the job `engine` ends (after `stop`), it cancels
    the others. All methods belong to the event loop's thread.
    """

    def __init__(self, state: State, ports: Ports) -> None:
        raise NotImplementedError

    def jobs(self) -> list[tuple[str, Coroutine[None, None, None]]]:
        """(name, coroutine) of everything that must run: `engine`, `feed`, `watch`, `push`, `fetch`."""
        raise NotImplementedError

    async def first_observed(self) -> None:
        """Returns once this mirror has ever observed the whole workspace (at once on a mirror that resumes).

        Raises:
            Halted: the workspace is gone.
        """
        raise NotImplementedError

    def current(self, deadline_s: float) -> AsyncIterator[Progress]:
        """Progress until the head and the local edits as of now are on both sides; then it ends.

        Raises:
            Unavailable: `deadline_s` passed first.
            LoginRequired: the login died.
            Halted: a person must decide first.
        """
        raise NotImplementedError

    def picture(self) -> Picture:
        """How the mirror stands now. Cheap: no I/O."""
        raise NotImplementedError

    async def changed(self, seen: Picture) -> Picture:
        """The first picture that differs from `seen`."""
        raise NotImplementedError

    def accept_deletes(self) -> None:
        """The deletions the brake holds now go through, once (R30)."""
        raise NotImplementedError

    def restore_deletes(self) -> None:
        """The deletions the brake holds now are undone: each side gets back what the other still has (R30)."""
        raise NotImplementedError

    def stop(self) -> None:
        """The job `engine` ends after the cycle it is in; nothing is lost, and counters are saved."""
        raise NotImplementedError
