"""Carries one parcel at a time over the network, for as long as that takes, while the engine goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from relayfile.core import schedule
from relayfile.errors import RelayfileError, Unavailable
from relayfile.mirror.interrupt import Interruptible
from relayfile.mirror.ports import Clock

P = TypeVar("P")
A = TypeVar("A")


class Courier(Generic[P, A]):
    """One parcel is out at most, so nothing needs a queue and nothing can grow.

    Transient trouble is waited out and the same parcel carried again: nothing is burned by an expiry, a 5xx or a
    night without network (P2, I12). A dead login parks inside `carry`. Any other failure is the answer.
    """

    def __init__(
        self, carry: Callable[[P], Awaitable[A]], clock: Clock, chance: Callable[[], float], wake: asyncio.Event
    ) -> None:
        self._carry = carry
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._sent = asyncio.Event()
        self._pausing = Interruptible()
        self._carrying = Interruptible()
        self._open = asyncio.Event()
        self._open.set()
        self._parcel: P | None = None
        self._answer: A | RelayfileError | None = None

    @property
    def parcel(self) -> P | None:
        """What is out now, or whose answer was not taken yet."""
        return self._parcel

    def send(self, parcel: P) -> None:
        """The parcel is on its way. Only when none is."""
        assert self._parcel is None, "one parcel at a time"
        self._parcel = parcel
        self._sent.set()

    def hurry(self) -> None:
        """A pause between two attempts ends now: the server is known to be there again."""
        self._pausing.strike()

    def hold(self, *, held: bool) -> None:
        """Nothing is carried while `held`; what is under way is called back, and is carried again afterwards."""
        if held:
            self._open.clear()
            self._carrying.strike()
        else:
            self._open.set()

    def take(self) -> tuple[P, A | RelayfileError] | None:
        """The parcel that came back with its answer, once."""
        if self._parcel is None or self._answer is None:
            return None
        back = (self._parcel, self._answer)
        self._parcel = self._answer = None
        return back

    async def run(self) -> None:
        """Carries for ever."""
        while True:
            await self._sent.wait()
            self._sent.clear()
            assert self._parcel is not None, "it was sent"
            self._answer = await self._deliver(self._parcel)
            self._wake.set()

    async def _deliver(self, parcel: P) -> A | RelayfileError:
        attempt = 0
        while True:
            await self._open.wait()
            try:
                with Interruptible() as self._carrying:
                    return await self._carry(parcel)
            except Unavailable as trouble:
                attempt += 1
                pause_s = schedule.reconnect_s(attempt, self._chance(), retry_after_s=trouble.retry_after_s)
                with Interruptible() as self._pausing:
                    await self._clock.sleep(pause_s)
            except RelayfileError as refusal:
                return refusal
