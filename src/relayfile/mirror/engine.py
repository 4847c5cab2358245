"""The engine task: it alone owns the mirror's state, turn after turn; everyone else leaves messages for it.

It starts no task and no thread, reads no clock of its own, and decides nothing about files: a turn of `Cycle` does
the work. Here is only the asynchronous shell: who waits for what, what is carried where, and what happens when a
turn fails.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypeVar

from relayfile.client.feed import Batch
from relayfile.core import schedule
from relayfile.errors import CursorExpired, Damaged, RelayfileError, Unavailable
from relayfile.mirror.board import Board
from relayfile.mirror.courier import Courier
from relayfile.mirror.cycle import Cycle, Gathered, Next, Order
from relayfile.mirror.events import Events
from relayfile.mirror.fetch import Fetch
from relayfile.mirror.inbox import Due, Inbox
from relayfile.mirror.picture import Cause, Picture
from relayfile.mirror.ports import Head, Ports
from relayfile.mirror.proof import comparable
from relayfile.mirror.reader import Reader
from relayfile.mirror.resolve import Ruling
from relayfile.mirror.restore import Restoration
from relayfile.mirror.state import State
from relayfile.mirror.upload import Outcomes, Parcel
from relayfile.mirror.waiting import Waiting

R = TypeVar("R", Ruling, Restoration)
T = TypeVar("T")

TURN_CHANGES: Final = 512
TURN_BYTES: Final = 8 * 1024 * 1024
PULSE_S: Final = 1.0
MOST_HINTS: Final = 10_000
RETRY_GONE_S: Final = 60.0
SAVE_CYCLES: Final = 256


class Engine:
    """One mirror at work.

    The daemon runs every job of `jobs()` in one task group; when the job `engine` ends (after `stop`), it cancels
    the others. `waiting` is for whoever waits for something, `events` for
    whoever follows what happens. All methods belong to the event loop's thread.
    """

    def __init__(self, state: State, ports: Ports, *, paused: bool = False, read_only: bool = False) -> None:
        self._ports = ports
        self._cycle = Cycle(state, ports, read_only=read_only)
        self._wake = asyncio.Event()
        self._inbox = Inbox()
        self._due = Due()
        self._reader = Reader(ports.api, self._wake)
        self._board = Board(ports.clock, self._reader)
        self.waiting = Waiting(ports, self._board, self._inbox, self._due, self._wake)
        self.events = Events(self._board, ports.clock, self.picture)
        self._pushes: Courier[Parcel, Outcomes] = Courier(
            lambda parcel: ports.api.push(parcel.pushes), ports.clock, ports.chance, self._wake
        )
        self._fetch = Fetch(ports, self._wake)
        self._proofs: Courier[float, Head] = Courier(
            lambda _: ports.api.digest(), ports.clock, ports.chance, self._wake
        )
        self.hold(paused=paused)

    def jobs(self) -> list[tuple[str, Coroutine[None, None, None]]]:
        """(name, coroutine) of everything that must run for the mirror to work."""
        return [
            ("engine", self._run()),
            ("feed", self._reader.run()),
            ("watch", self._watch()),
            ("push", self._pushes.run()),
            *self._fetch.jobs(),
            ("proof", self._proofs.run()),
            ("pulse", self._pulse()),
        ]

    async def between(self, work: Callable[[Cycle], T]) -> T:
        """The result of `work`, done where turns are done, between two of them: it sees whole rows.

        Raises:
            RelayfileError: what `work` raised.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def answered() -> None:
            try:
                result = await self._ports.run_blocking(partial(work, self._cycle))
            except RelayfileError as error:
                if not answer.done():  # whoever asked may be gone by now
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

        self._inbox.questions.append(answered)
        self._wake.set()
        return await answer

    def picture(self) -> Picture:
        """How the mirror stands now. Cheap: no I/O."""
        return self._board.picture(self._ports.login())

    async def changed(self, seen: Picture) -> Picture:
        """The first picture that differs from `seen`."""
        while (now := self.picture()) == seen:
            await self._board.news()
        return now

    def order(self, order: Order) -> None:
        """What a person decided is done in the next turn: the deletions the brake holds now go through, once, or are
        undone, so that each side gets back what the other still has (R30).
        """
        self._inbox.orders.append(order)
        self._wake.set()

    async def pause(self) -> None:
        """Nothing is placed and nothing sent from now on; local edits and the log go on being recorded."""
        self.hold(paused=True)
        while self._inbox.placing:
            await self._board.news()

    def hold(self, *, paused: bool) -> None:
        """From the next turn on nothing is placed or sent; or all of it goes on."""
        self._board.paused = paused
        self._pushes.hold(held=paused)
        self._fetch.hold(held=paused)
        self._wake.set()

    async def settle(self, order: R) -> R:
        """The order, carried out or put off; what is to be sent because of it is on its way."""
        self.order(order)
        while not order.settled:
            await self._board.news()
        return order

    def stop(self) -> None:
        """The job `engine` ends after the turn it is in; nothing is lost, and counters are saved."""
        self._inbox.stopping = True
        self._wake.set()

    # -------------------------------------------------------------------------------------------------- jobs

    async def _run(self) -> None:
        self._wake.set()
        try:
            while not self._inbox.stopping:
                await self._wake.wait()
                self._wake.clear()
                waiting = self._due.turn_s is not None and self._due.turn_s > self._ports.clock.monotonic()
                if not waiting and not self._inbox.stopping:
                    await self._turn()
                await self._inbox.answer()
                self.events.look()
                self._board.announce()
        finally:
            self.events.end()
            self._board.announce()
        with suppress(Unavailable):  # a counter is not worth a failed stop
            await self._save_cycles()

    async def _watch(self) -> None:
        async for hint in self._ports.watcher.hints():
            self._inbox.hints |= hint.paths
            if hint.overflow or len(self._inbox.hints) > MOST_HINTS:
                self._inbox.sweep = True
                self._inbox.hints.clear()
            self._wake.set()

    async def _pulse(self) -> None:
        """Wakes the engine for what time alone brings about."""
        clock = self._ports.clock
        while True:
            await clock.sleep(PULSE_S)
            report = self._board.report
            self.events.look()
            if self._inbox.tickets or self._inbox.awaited or self.events.followed:
                self._board.announce()  # whoever waits looks at the clock
            if self._due.any(clock.monotonic()):
                self._wake.set()
            if report is None:
                continue
            if report.unstable or report.damaged:
                self._wake.set()
            asked = report.equal is None or any(ticket.unproven for ticket in self._inbox.tickets)
            unproven = asked and comparable(report.stream, report.pending)
            if unproven and self._reader.connection == "live" and self._proofs.parcel is None:
                self._proofs.send(clock.monotonic())

    # -------------------------------------------------------------------------------------------------- turns

    async def _turn(self) -> None:
        gathered = self._gather()
        try:
            done = await self._ports.run_blocking(partial(self._cycle.turn, gathered))
        except (Unavailable, Damaged) as error:
            await self._failed(gathered, error)
            return
        finally:
            self._inbox.placing = False
        self._due.turn_s, self._due.failures, self._board.failing = None, 0, False
        self._board.unsaved_cycles += 1
        self._follow(gathered, done)
        if self._board.unsaved_cycles >= SAVE_CYCLES:
            with suppress(Unavailable):
                await self._save_cycles()

    def _gather(self) -> Gathered:
        inbox, now_s = self._inbox, self._ports.clock.monotonic()
        self._board.pace.turn(now_s)
        batches: list[Batch] = []
        reset: Literal["expired", "view"] | None = None
        report = self._board.report
        # The log waits while an earlier part of it is still being applied, so bodies at hand stay bounded.
        arrivals = [] if inbox.begin or (report and report.more) else self._reader.take(TURN_CHANGES, TURN_BYTES)
        for arrival in arrivals:
            if isinstance(arrival, Batch):
                batches.append(arrival)
                self._board.gone = None
                self._board.pace.ahead = arrival.ahead
            elif isinstance(arrival, CursorExpired):
                reset = "view" if arrival.code == "view_changed" else "expired"
            else:  # no cursor can help: the workspace is gone, or is not for this sign-in (R26)
                self._board.gone = arrival
                self._due.log_s = now_s + RETRY_GONE_S
        self._hurry()
        answer = self._pushes.take()
        proof = self._proofs.take()
        said = proof[1] if proof is not None and isinstance(proof[1], tuple) else None
        for ticket in inbox.tickets:
            if proof is not None and said is not None and ticket.since_s <= proof[0]:
                ticket.head = said[0].position
        gathered = Gathered(
            begin=inbox.begin,
            flying=frozenset(entry.key for entry in (self._pushes.parcel or Parcel()).entries),
            batches=batches,
            reset=reset,
            hints=frozenset(inbox.hints),
            sweep=inbox.sweep,
            answer=answer,
            bodies=self._fetch.take(),
            said=said,
            orders=tuple(inbox.orders),
            retry=self._due.refused_s is not None and self._due.refused_s <= now_s,
            may_push=self._pushes.parcel is None and self._board.gone is None and not self._board.paused,
            paused=self._board.paused,
            tickets=tuple(inbox.tickets),
            awaited=tuple(inbox.awaited),
        )
        inbox.begin, inbox.sweep, inbox.placing = None, False, not gathered.paused
        inbox.hints.clear()
        inbox.orders.clear()
        return gathered

    def _follow(self, gathered: Gathered, done: Next) -> None:
        """What the turn asks for is under way."""
        report, now_s = done.report, self._ports.clock.monotonic()
        if before := self._board.report:
            for name in before.left.keys() - report.left.keys():
                self._ports.watcher.opened(name)
        self.events.tell(report.happened)
        self._fetch.reused(report.tally.reused)
        self._board.traffic = self._fetch.traffic
        self._board.post(report)
        log_due = self._due.log_s is not None and self._due.log_s <= now_s
        if gathered.begin or done.reread or log_due:
            self._due.log_s = None
            self._reader.read_from(report.stream.cursor, report.stream.start)
        if done.parcel.pushes:
            self._pushes.send(done.parcel)
        self._fetch.send(done.wants)
        if self._proofs.parcel is None and any(ticket.head is None for ticket in self._inbox.tickets):
            self._proofs.send(now_s)
        waiting = bool(report.halts) or any(not one.lasting for one in report.refused)
        self._due.retry_refused(now_s, waiting=waiting, tried=gathered.retry)
        if report.more or self._reader.waiting:
            self._wake.set()

    async def _failed(self, gathered: Gathered, error: RelayfileError) -> None:
        """The turn left nothing half done; the next one begins as after a restart. What people ordered is kept."""
        inbox, due = self._inbox, self._due
        inbox.begin = "start" if gathered.begin == "start" else "resume"
        inbox.orders[:0] = gathered.orders
        due.failures += 1
        due.turn_s = self._ports.clock.monotonic() + schedule.reconnect_s(due.failures, self._ports.chance())
        self._board.failing = True
        self._board.failure = Cause(error.code, error.message)
        with suppress(Unavailable, Damaged):
            await self._ports.run_blocking(partial(self._cycle.count, 0, 1))

    def _hurry(self) -> None:
        """What waits out an outage goes at once when the feed has found the server again."""
        was_live, self._inbox.live = self._inbox.live, self._reader.connection == "live"
        if self._inbox.live and not was_live:
            self._pushes.hurry()
            self._fetch.hurry()
            self._proofs.hurry()

    async def _save_cycles(self) -> None:
        count, self._board.unsaved_cycles = self._board.unsaved_cycles, 0
        await self._ports.run_blocking(partial(self._cycle.count, count, 0))
