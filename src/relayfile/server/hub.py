"""Wakes waiting feeds. Carries no data: "something after 41 exists", and the log answers what."""

import asyncio


class Hub:
    """Who waits for which workspace, and the highest position heard of. Used from the event loop only."""

    def __init__(self) -> None:
        self._heads: dict[str, int] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def changed(self, workspace: str, head: int = 0) -> None:
        """Who waits for this workspace looks again; `head` is the position that is there now, when it is known."""
        self._heads[workspace] = max(head, self._heads.get(workspace, 0))
        for waiter in self._waiting.pop(workspace, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, workspace: str, after_position: int, timeout_s: float | None = None) -> bool:
        """True once something after `after_position` may exist; False when `timeout_s` passed first."""
        if self._heads.get(workspace, 0) > after_position:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(workspace, set())
        waiting.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            waiting.discard(waiter)
            if not waiting and self._waiting.get(workspace) is waiting:
                del self._waiting[workspace]
        return True
