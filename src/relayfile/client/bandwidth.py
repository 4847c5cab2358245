"""A limit on the bytes of contents that a mirror sends or receives: whoever carries some waits here for its turn."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from relayfile.core.bandwidth import Bucket

STEP_BYTES: Final = 64 * 1024
"""What is carried at once where there is a limit."""
_BURST_S: Final = 1.0


class Limit:
    """One direction. `rate` is in bytes a second; 0: there is no limit."""

    def __init__(
        self,
        rate: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bucket = Bucket(rate, max(STEP_BYTES, rate * _BURST_S)) if rate else None
        self._monotonic = monotonic
        self._sleep = sleep

    @property
    def free(self) -> bool:
        """Whether there is none."""
        return self._bucket is None

    async def take(self, count_bytes: int) -> None:
        """Returns when so many bytes may be carried."""
        if self._bucket is not None and count_bytes:
            wait_s = self._bucket.take(count_bytes, self._monotonic())
            if wait_s > 0:
                await self._sleep(wait_s)


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Both directions."""

    up: Limit = field(default_factory=Limit)
    down: Limit = field(default_factory=Limit)
