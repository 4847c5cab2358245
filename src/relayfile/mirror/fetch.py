"""Contents from the server by digest: many small ones an errand, each large one by itself; a few errands at once.

What is small is brought into memory, so only so much of it is out at once; what is large goes to `ports.Parts`, from
where it was cut. It decides nothing about files: it is told what is wanted, and gives what came.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from relayfile.errors import NotFound, Unavailable
from relayfile.mirror.courier import Courier
from relayfile.mirror.picture import Traffic
from relayfile.mirror.ports import LARGE_BYTES, Body, Fetched, Lost, Ports
from relayfile.model import Digest

SMALL_AT_ONCE: Final = 3
LARGE_AT_ONCE: Final = 2
ERRAND_FILES: Final = 512
ERRAND_BYTES: Final = 8 * 1024 * 1024
"""Of small contents at most `SMALL_AT_ONCE` times this are on their way: with what a turn has at hand, 32 MiB."""
PIECE_BYTES: Final = 1024 * 1024
MISSING: Final = Lost("missing", "the server no longer has this version; waiting for the later one")
_DAMAGED: Final = Lost("damaged_body", "what the server sent is not the content it named, and was thrown away")


@dataclass(slots=True)
class Errand:
    """Contents to bring, with their sizes, and those that came already: a cut answer is not asked for from its
    beginning.
    """

    wants: Mapping[Digest, int]
    bodies: dict[Digest, Body | Lost] = field(default_factory=dict)


class Fetch:
    """A few errands under way. All methods belong to the event loop's thread."""

    def __init__(self, ports: Ports, wake: asyncio.Event) -> None:
        self._ports = ports
        self._small = self._couriers(SMALL_AT_ONCE, self._bring_small, wake)
        self._large = self._couriers(LARGE_AT_ONCE, self._bring_large, wake)
        self.traffic = Traffic()

    def jobs(self) -> list[tuple[str, Coroutine[None, None, None]]]:
        """What is to run for ever, by name."""
        return [(f"fetch {number}", one.run()) for number, one in enumerate((*self._small, *self._large), 1)]

    def hold(self, *, held: bool) -> None:
        """As `Courier.hold`, for all."""
        for courier in (*self._small, *self._large):
            courier.hold(held=held)

    def hurry(self) -> None:
        """As `Courier.hurry`, for all."""
        for courier in (*self._small, *self._large):
            courier.hurry()

    def take(self) -> dict[Digest, Body | Lost]:
        """What came back, once."""
        came: dict[Digest, Body | Lost] = {}
        for courier in (*self._small, *self._large):
            if (back := courier.take()) is not None:
                errand = back[0]
                came |= {digest: errand.bodies.get(digest, MISSING) for digest in errand.wants}
        return came

    def send(self, wants: Mapping[Digest, int]) -> None:
        """As much of what is wanted as can be carried now is under way."""
        out = {digest for one in (*self._small, *self._large) if one.parcel for digest in one.parcel.wants}
        small = {digest: size for digest, size in wants.items() if size <= LARGE_BYTES and digest not in out}
        large = iter([one for one in wants.items() if one[1] > LARGE_BYTES and one[0] not in out])
        for courier in _idle(self._small):
            if load := _load(small):
                courier.send(Errand(load))
        for courier, (digest, size) in zip(_idle(self._large), large, strict=False):
            courier.send(Errand({digest: size}))

    def reused(self, contents: int) -> None:
        """So many contents lay on this disk already, and were not fetched."""
        if contents:
            self.traffic = replace(self.traffic, reused=self.traffic.reused + contents)

    async def _bring_small(self, errand: Errand) -> Errand:
        """Every content came, or is known to be missing; those that came before a failure stay.

        Raises:
            RelayfileError: as `Api.blobs`.
        """
        left = [digest for digest in errand.wants if digest not in errand.bodies]
        async for digest, body in self._ports.api.blobs(left):
            errand.bodies[digest] = MISSING if body is None else body
            if body is not None:
                self._count(fetched=1, size_bytes=len(body))
        return errand

    async def _bring_large(self, errand: Errand) -> Errand:
        """The content lies whole in the parts, or cannot be had; what had come before a failure is not asked for.

        Raises:
            RelayfileError: as `Api.blob`.
        """
        for digest, size in errand.wants.items():
            errand.bodies[digest] = await self._brought(digest, size)
        return errand

    async def _brought(self, digest: Digest, size: int) -> Body | Lost:
        parts, run = self._ports.parts, self._ports.run_blocking
        held = await run(partial(parts.begin, digest, size))
        if isinstance(held, Lost):
            return held
        if held < size:
            try:
                ended = await self._received(digest, held, size)
            except NotFound:
                return MISSING
            if ended is not None:
                return ended
        verifying = parts.verify(digest)
        while not isinstance(found := await run(partial(next, verifying)), bool):
            pass  # in pieces, so that the mirror's turns come in between
        if not found:
            self._count(damaged=1)
            return _DAMAGED
        self._count(fetched=1)
        return Fetched()

    async def _received(self, digest: Digest, held: int, size: int) -> Lost | None:
        """Everything from `held` on lies in the parts; or why it does not.

        Raises:
            Unavailable: it was cut.
        """
        parts, run = self._ports.parts, self._ports.run_blocking
        gathered, at = bytearray(), held
        answer = self._ports.api.blob(digest, held)
        async with aclosing(answer) as pieces:  # type: ignore[type-var] # a generator
            async for first, piece in pieces:
                if first != at + len(gathered):  # all of it comes again, or what nobody asked for
                    gathered, at = bytearray(), first
                gathered += piece
                self._count(size_bytes=len(piece))
                if len(gathered) >= PIECE_BYTES or at + len(gathered) >= size:
                    full, gathered = bytes(gathered), bytearray()
                    if (refused := await run(partial(parts.append, digest, at, full))) is not None:
                        return refused
                    at += len(full)
                if at > size:
                    break
        if gathered:
            rest = bytes(gathered)
            if (refused := await run(partial(parts.append, digest, at, rest))) is not None:
                return refused
            at += len(rest)
        if at < size:
            raise Unavailable("a large body was cut", code="cut_stream")
        return None

    def _count(self, *, fetched: int = 0, size_bytes: int = 0, damaged: int = 0) -> None:
        now = self.traffic
        self.traffic = replace(
            now,
            fetched=now.fetched + fetched,
            fetched_bytes=now.fetched_bytes + size_bytes,
            damaged=now.damaged + damaged,
        )

    def _couriers(
        self, count: int, carry: Callable[[Errand], Awaitable[Errand]], wake: asyncio.Event
    ) -> list[Courier[Errand, Errand]]:
        ports = self._ports
        return [Courier(carry, ports.clock, ports.chance, wake) for _ in range(count)]


def _idle(couriers: list[Courier[Errand, Errand]]) -> Iterator[Courier[Errand, Errand]]:
    return (courier for courier in couriers if courier.parcel is None)


def _load(wants: dict[Digest, int]) -> dict[Digest, int]:
    """As much of what is wanted as one errand brings, taken out of `wants`."""
    chosen: dict[Digest, int] = {}
    size = 0
    for digest, size_bytes in wants.items():
        if chosen and (size + size_bytes > ERRAND_BYTES or len(chosen) >= ERRAND_FILES):
            break
        chosen[digest] = size_bytes
        size += size_bytes
    for digest in chosen:
        del wants[digest]
    return chosen
