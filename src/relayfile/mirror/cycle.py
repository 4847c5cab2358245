"""One turn of the mirror: gather, plan, intend, execute, record. Synchronous, so it can be tested by the million.

A turn is two transactions around the disk: everything gathered and everything intended in the first, what came of
it in the second. A turn that fails leaves both sides as they were or as the intents tell; the next begins with
`begin`, as a restart does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from relayfile.client.feed import Batch
from relayfile.core import feed, paths
from relayfile.core.feed import Reception, Remedy
from relayfile.core.merge import Trees
from relayfile.core.safety import Direction, Halt
from relayfile.mirror import why
from relayfile.mirror.apply import Apply, Tally
from relayfile.mirror.apply import Batch as Work
from relayfile.mirror.audit import Audit
from relayfile.mirror.awaited import Awaited, applied
from relayfile.mirror.conflicts import Conflict
from relayfile.mirror.guard import Guard
from relayfile.mirror.local import Survey
from relayfile.mirror.measure import Pending
from relayfile.mirror.past import Decision
from relayfile.mirror.ports import Body, Lost, Ports
from relayfile.mirror.proof import Proof
from relayfile.mirror.refusals import Refusal
from relayfile.mirror.resolve import Resolve, Ruling
from relayfile.mirror.restore import Restoration, Restore
from relayfile.mirror.state import Counters, State, Stream
from relayfile.mirror.upload import READ_ONLY, Answer, Parcel, Upload
from relayfile.mirror.why import Account
from relayfile.model import Cursor, Digest, Put, TreePath

Order: TypeAlias = Literal["accept_deletes", "restore_deletes"] | Ruling | Restoration
MOST_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that came in since the last turn.

    `begin` opens the life of a process or mends a turn that failed: the stage is settled and everything is swept;
    then `flying` are the keys of pushes whose answer will still come. `reset`: the log can no longer be read from
    the cursor; "view" when that is because the reader's view changed (R22). `paused`: both sides are observed, and
    nothing is placed.
    """

    begin: Literal["start", "resume"] | None = None
    flying: frozenset[str] = frozenset()
    batches: Sequence[Batch] = ()
    reset: Literal["expired", "view"] | None = None
    hints: frozenset[TreePath] = frozenset()
    sweep: bool = False
    answer: Answer | None = None
    bodies: Mapping[Digest, Body | Lost] = field(default_factory=dict)
    said: tuple[Cursor, bytes] | None = None
    orders: Sequence[Order] = ()
    retry: bool = False
    may_push: bool = False
    paused: bool = False
    tickets: Sequence["Ticket"] = ()
    awaited: Sequence[Awaited] = ()


@dataclass(slots=True)
class Ticket:
    """What someone waits for since `since_s` (monotonic): the head of the log, and the local edits as of then.

    `head` is None until the server was asked, `edits` (content by path) until the next sweep is done. An edit leaves
    when the server has it, or when a later edit took its place.

    With `prove` it also waits until both trees were compared anew and found equal, at `proven`, after the mirror's
    own sum was made from its rows again (`drifted`: it had been another one).
    """

    since_s: float = 0.0
    head: int | None = None
    edits: dict[TreePath, Digest | None] | None = None
    prove: bool = False
    compared: int | None = None
    proven: int | None = None
    drifted: bool = False

    def reached(self, observed: int) -> bool:
        """Whether everything waited for is known on this side."""
        return self.head is not None and self.edits is not None and observed >= self.head

    @property
    def settled(self) -> bool:
        """Whether no edit is waited for any more, and the proof is there that was asked for."""
        return self.edits is not None and not self.edits and not self.unproven

    @property
    def unproven(self) -> bool:
        """Whether a comparison is still waited for."""
        return self.prove and self.proven is None


@dataclass(frozen=True, slots=True)
class Report:
    """How the mirror stands after a turn. `left` are local names that cannot be looked at or sent, `impossible` paths
    of the server that no mirror can have; each with its reason. `elsewhere` are paths with another name here.
    """

    stream: Stream
    pending: Pending
    counters: Counters
    conflicts: int
    halts: Mapping[Direction, Halt]
    refused: Sequence[Refusal]
    refused_count: int
    left: Mapping[str, str]
    impossible: Mapping[str, str]
    elsewhere: Mapping[str, str]
    equal: bool | None
    damaged: bool
    unstable: bool
    more: bool
    tally: Tally
    happened: Sequence[Decision]


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be carried now. `reread`: the feed begins again at the cursor."""

    report: Report
    parcel: Parcel
    wants: Mapping[Digest, int]
    reread: bool


class Cycle:
    """The mirror's state and everything that changes it. `restore` knows the trash.

    Runs in: one thread at a time; the engine task awaits each turn.
    """

    def __init__(self, state: State, ports: Ports, *, read_only: bool = False) -> None:
        self._state = state
        self._ports = ports
        self._guard = Guard(state)
        self._survey = Survey(state, ports.scanner)
        self._apply = Apply(state, ports.disk, self._guard, self._survey, ports.host)
        self._upload = Upload(state, ports, self._guard, self._survey)
        self._upload.read_only = read_only
        self._resolve = Resolve(state, ports.disk, self._survey)
        self.restore = Restore(state, ports.disk, self._survey)
        self._proof = Proof(state)
        self._observed = False
        self._whole = False  # not between two pages of the log, where a path may be missing that changed later again
        self._impossible: dict[str, str] = {}

    def turn(self, gathered: Gathered) -> Next:
        """Everything gathered is in the state, and what follows from it was done on the disk or is in the answer.

        Raises:
            Unavailable: the state or the disk did not work now; begin again with `begin="resume"`.
            Damaged: the state is not readable.
        """
        with self._state.faults():
            return self._turn(gathered, self._ports.clock.now())

    def count(self, cycles: int, cancelled: int) -> None:
        """So many cycles more are counted.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            self._state.count_cycles(cycles, cancelled)

    def account(self, path: TreePath) -> Account:
        """All that is known of the path now, or of the one that lies here under that name.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            if next(self._state.trees.nodes([path]), None) is None:
                path = self._ports.disk.path_of(path) or path
            known = why.account(self._state, self._guard, path, self._survey.left, self._impossible)
            return replace(known, local_name=self._ports.disk.local_name(path))

    def conflicts(self) -> list[Conflict]:
        """Every conflict whose copy lies on the disk, oldest first.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            return self._state.conflicts.open()

    def audit(self) -> Audit:
        """A pass over every file, none of it done yet.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            return Audit(self._state, self._ports.scanner, self._survey, self._ports.clock.now)

    def mend(self) -> int:
        """The server's version is wanted back in place of every file that rotted; how many.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            return self._state.rot.mend(self._ports.clock.now())

    def differing(self, limit: int) -> tuple[int, list[tuple[Trees, str]]]:
        """How many paths do not hold the same on both sides; some of them, each with why.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            count, listed = self._state.measure.differing(limit)
            why_of = dict(listed)
            return count, [(node.trees, why_of[node.path]) for node in self._state.trees.nodes(why_of)]

    def trees(self, paths: Iterable[TreePath]) -> list[Trees]:
        """What the rows know of these paths.

        Raises:
            Unavailable: not now.
        """
        with self._state.faults():
            return [node.trees for node in self._state.trees.nodes(paths)]

    def _turn(self, gathered: Gathered, now_s: float) -> Next:
        state = self._state
        if gathered.begin is not None:
            self._begin(gathered, now_s)
        elif gathered.sweep:
            self._survey.sweep(now_s)
        with self._only_if_kept(), state.transaction():
            reread = self._gather(gathered, now_s)
            fresh = [] if reread else self._observe(gathered.batches, now_s)
            reread = reread or fresh is None
            self._upload.settle(state.stream(), now_s)
            batch = Work() if gathered.paused else self._apply.prepare(fresh or [], now_s)
            stream = state.stream()
            parcel = Parcel()
            if gathered.may_push:
                parcel = self._upload.prepare(stream, now_s, observed=self._observed)
        with self._only_if_kept():
            tally = self._apply.carry_out(batch, now_s)
        resolved = self._hear(gathered, now_s)
        if not batch.full:
            # one still wanted waits for its other half: the two of a merge may come in turns, each without the other
            kept = {one: body for one, body in self._apply.bodies.items() if one in batch.wants}
            self._apply.bodies = kept
            self._apply.lost.clear()
        for ticket in gathered.tickets:
            if ticket.edits is None:
                if gathered.sweep or gathered.begin:
                    self._begin_ticket(ticket)
            else:
                ticket.edits = {one: what for one, what in ticket.edits.items() if state.measure.awaits(one, what)}
        again = tally.copies + tally.yielded + tally.merged + tally.unfit
        more = batch.full or bool(self._survey.again) or parcel.full or again > 0
        more = more or bool(parcel.settled) or resolved  # their paths waited for that; an edit to push
        report, differs = self._report(tally, now_s, more=more)
        if not report.stream.open:  # until then it may still be observed that a content is wanted
            self._ports.parts.keep_only(state.measure.large())
        self._answer(gathered, report)
        return Next(report, parcel, batch.wants, reread or differs)

    def _answer(self, gathered: Gathered, report: Report) -> None:
        """Whoever waits for a proof or an arrival knows how that stands after this turn."""
        for ticket in gathered.tickets:
            if ticket.compared is not None and self._proof.compared > ticket.compared and ticket.unproven:
                ticket.proven = self._proof.equal_at if (self._proof.equal_at or 0) >= (ticket.head or 0) else None
        done = applied(report.stream, report.pending) if self._whole and not report.stream.open else 0
        for one in gathered.awaited:
            one.look(self._state, done)

    def _begin_ticket(self, ticket: Ticket) -> None:
        """The disk was swept: what lies on it now is what this ticket is about."""
        ticket.edits = self._state.measure.edits()
        if ticket.prove:
            ticket.drifted = self._state.measure.resum()
            ticket.compared = self._proof.compared

    def _hear(self, gathered: Gathered, now_s: float) -> bool:
        """What people ruled on conflicts or want back is carried out, or put off while paused; whether any was."""
        open_ = [one for one in gathered.orders if isinstance(one, Ruling | Restoration) and not one.settled]
        for order in open_:
            if gathered.paused:
                order.put_off()
            elif isinstance(order, Ruling):
                order.settlement = self._resolve.carry_out(order, now_s)
            else:
                self.restore.carry_out(order, now_s)
        return bool(open_) and not gathered.paused

    @contextmanager
    def _only_if_kept(self) -> Iterator[None]:
        """What happens inside will be told; if it fails, so that it is not recorded, it will not."""
        untold = self._state.past.untold
        known = len(untold)
        try:
            yield
        except BaseException:
            del untold[known:]
            raise

    def _begin(self, gathered: Gathered, now_s: float) -> None:
        state = self._state
        if gathered.begin == "start":
            state.start_engine()
        placing = state.intents.placing()
        copies = self._ports.disk.recover(placing)
        self._survey.sweep(now_s)
        with state.transaction():
            state.conflicts.set_aside(((paths.before_conflict(copy), copy, 0) for copy in copies), now_s)
            self._apply.settle_merges(placing, now_s)
            state.intents.placed()
            if not self._upload.read_only:
                state.refusals.lift(READ_ONLY)
        self._upload.answers.clear()
        self._upload.orphans = [entry for entry in state.intents.sent() if entry.key not in gathered.flying]
        self._apply.bodies.clear()
        self._proof.forget()

    def _gather(self, gathered: Gathered, now_s: float) -> bool:
        """What came in besides the log; whether the feed must begin again at 0."""
        state = self._state
        if "accept_deletes" in gathered.orders:
            self._guard.accept()
        if "restore_deletes" in gathered.orders:
            self._guard.restore()
        if gathered.retry:
            state.refusals.retry()
        if gathered.answer is not None:
            self._upload.answers.append(gathered.answer)
        if gathered.begin is None and not gathered.sweep:
            self._survey.rescan(gathered.hints, now_s)
        for digest, body in gathered.bodies.items():
            if isinstance(body, Lost):
                self._apply.lost[digest] = body
            else:
                self._apply.bodies[digest] = body
        if gathered.said is not None:
            self._proof.hear(*gathered.said)
        if gathered.reset is not None:
            self._observe_again(filtered=gathered.reset == "view")
            return True
        return False

    def _observe(self, batches: Sequence[Batch], now_s: float) -> list[TreePath] | None:
        """The remote tree and the cursor hold what the batches say; which paths those were. None: another log."""
        state = self._state
        stream = state.stream()
        fresh: list[TreePath] = []
        for batch in batches:
            match feed.accept(stream.cursor, batch.cursor):
                case Reception.DUPLICATE:
                    continue
                case Reception.RESET:
                    self._observe_again(filtered=False)
                    return None
                case Reception.APPLY:
                    changes = feed.fold(batch.changes)
            stream = self._generation(stream, batch)
            state.trees.observe(changes, stream.generation, now_s)
            state.restored.compare(batch.cursor.epoch, batch.head, changes, now_s)
            for change in changes:
                fresh.append(change.path)
                # One that lies is not used: the content is asked for by its digest, and then refused by name.
                if isinstance(change, Put) and change.body is not None and _honest(change.body, change.digest):
                    self._apply.bodies[change.digest] = change.body
            self._impossible.update(batch.refused)
            start = batch.start if stream.open else None
            if (batch.cursor, batch.head, start) != (stream.cursor, stream.head, stream.start):
                state.move_cursor(batch.cursor, batch.head, start)
            self._whole = batch.end or batch.live
            if batch.end:
                self._observed = True
                state.refusals.lift("forbidden")  # rights may have changed: no hand need touch a file for it (I12)
                if stream.open:
                    state.end_generation(batch.cursor.position, now_s)
            self._proof.hear(batch.cursor, batch.tree_digest)
            stream = state.stream()
        return fresh

    def _generation(self, stream: Stream, batch: Batch) -> Stream:
        """A generation is open if the batch is part of one: also where nothing was ever seen of the log, so that it
        was read from 0 again. Of what went meanwhile its absence is all that the log tells (R17).
        """
        if batch.start is None or stream.open:
            return stream
        self._state.begin_generation(filtered=False)
        self._state.acknowledge(stream.acknowledged)
        return self._state.stream()

    def _observe_again(self, *, filtered: bool) -> None:
        self._state.begin_generation(filtered=filtered)
        self._observed = self._whole = False
        self._impossible.clear()
        self._proof.forget()

    def _report(self, tally: Tally, now_s: float, *, more: bool) -> tuple[Report, bool]:
        """The picture's facts, and whether the feed must begin again because the trees differ."""
        state = self._state
        stream = state.stream()
        pending = state.measure.pending()
        chosen = self._proof.check(stream, pending, now_s)
        if chosen is Remedy.OBSERVE_AGAIN:
            self._observe_again(filtered=False)
            stream = state.stream()
        equal: bool | None = None
        if pending.nothing and self._proof.differs:
            equal = False
        elif pending.nothing and self._proof.equal_at == stream.position >= stream.acknowledged:
            equal = True
        report = Report(
            stream,
            pending,
            state.counters(),
            state.measure.conflicts(),
            dict(self._guard.halts),
            state.refusals.listed(MOST_LISTED),
            state.refusals.count(),
            dict(self._survey.left),
            dict(self._impossible),
            self._survey.elsewhere,
            equal,
            self._proof.damaged,
            bool(self._survey.unstable),
            more,
            tally,
            tuple(state.past.untold),
        )
        state.past.untold.clear()
        return report, chosen in {Remedy.REREAD, Remedy.OBSERVE_AGAIN}


def _honest(body: bytes, digest: Digest) -> bool:
    return sha256(body).digest() == digest
