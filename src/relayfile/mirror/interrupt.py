"""A stretch of waiting that another coroutine may end, without a task, a timer or a clock of its own (R37)."""

import asyncio
from types import TracebackType
from typing import Self


class Interruptible:
    """`with Interruptible() as wait:` what is awaited inside ends, quietly, when somebody calls `wait.strike()`.

    `struck` tells afterwards whether it did. A cancellation from elsewhere is never swallowed.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.struck = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "only a task can wait"
        self._cancelling = self._task.cancelling()
        return self

    def strike(self) -> None:
        """What is awaited inside ends now; harmless when nothing is."""
        if self._task is not None and not self.struck:
            self.struck = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        assert task is not None, "entered"
        if not self.struck:
            return False
        return task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
