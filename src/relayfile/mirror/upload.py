"""The way up: where only the local tree differs from base, the server follows.

An edit is frozen (its bytes read and checked against the row), written down as a push intent, and only then handed
to the courier; its outcome settles it. Edits of a path whose push is on its way wait for that outcome.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final, TypeAlias

from relayfile.client.push import Conflict, Large, Outcome, Push, Refused, Stored, Torn, TornError, size_of
from relayfile.core import merge, outbox
from relayfile.core.outbox import Entry
from relayfile.errors import RelayfileError
from relayfile.mirror.guard import Guard
from relayfile.mirror.local import Survey
from relayfile.mirror.past import Decision, Did
from relayfile.mirror.ports import LARGE_BYTES, Ports
from relayfile.mirror.refusals import Refusal
from relayfile.mirror.state import State, Stream
from relayfile.mirror.trees import Agreement, Node
from relayfile.model import Digest, Stat, TreePath

READ_ONLY: Final = "read_only"
NOT_SENT: Final = "not sent: this mirror is read-only"
PARCEL_FILES: Final = 200
PARCEL_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Parcel:
    """Edits frozen for sending, each with the request that carries it. `settled` need not be sent any more."""

    entries: list[Entry] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    settled: list[Entry] = field(default_factory=list)

    def add(self, entry: Entry, body: bytes | Large | None) -> None:
        """One more edit goes along."""
        mode = "644" if entry.version is None else entry.version.mode
        self.entries.append(entry)
        self.pushes.append(Push(entry.path, entry.key, entry.over, body, mode))

    @property
    def full(self) -> bool:
        """Whether nothing more should go along."""
        return len(self.pushes) >= PARCEL_FILES or sum(size_of(push.body) for push in self.pushes) >= PARCEL_BYTES


Outcomes: TypeAlias = list[Outcome]
Answer: TypeAlias = tuple[Parcel, Outcomes | RelayfileError]


class Upload:
    """Brings the server to what lies on the disk.

    `answers` are what the server said of parcels and is not recorded yet. `orphans` are entries that were sent by a
    process or a cycle that ended before it heard the answer.
    `read_only`: nothing is sent, and each edit is listed as that.
    """

    def __init__(self, state: State, ports: Ports, guard: Guard, survey: Survey) -> None:
        self._state = state
        self._ports = ports
        self._new_key = ports.new_key
        self._guard = guard
        self._survey = survey
        self.answers: list[Answer] = []
        self.orphans: list[Entry] = []
        self.read_only = False

    def settle(self, stream: Stream, now_s: float) -> None:
        """What the server said of parcels is recorded. While a generation is open it waits: what was written may have
        gone again, and only the whole generation tells.
        """
        if stream.open:
            return
        for parcel, said in self.answers:
            if isinstance(said, RelayfileError):  # the whole request was refused; nothing was written
                refused = [Refused(entry.path, said.code, said.message) for entry in parcel.entries]
                self._settle(parcel.entries, refused, stream, now_s, lasting=False)
            else:
                self._settle(parcel.entries, said, stream, now_s, lasting=True)
        self.answers.clear()

    def prepare(self, stream: Stream, now_s: float, *, observed: bool) -> Parcel:
        """The next edits, frozen and written down. `observed`: this process has read the log up to its head.

        Nothing goes up while a generation is open: what the server has is not known yet.

        Durable: the push intents, once the surrounding transaction is.
        """
        parcel = Parcel()
        if self.orphans:
            self._adopt_orphans(parcel, stream, now_s, observed=observed)
        if stream.open:
            return parcel
        if self.read_only:
            self._withhold(now_s)
            return parcel
        fresh: list[Entry] = []
        halted = self._guard.review("remote", now_s) is not None
        deleted: list[Digest] = []
        for node in self._edits(deletions=not halted):
            if parcel.full:
                break
            match merge.decide(node.trees.base, node.trees.local, node.trees.remote):
                case merge.RemoveRemote(over):
                    assert node.trees.base is not None, "it was deleted"
                    deleted.append(node.trees.base.digest)
                    fresh.append(Entry(self._new_key(), node.path, over, None))
                    parcel.add(fresh[-1], None)
                case merge.Upload(over) if frozen := self._freeze(node, over):
                    fresh.append(frozen[0])
                    parcel.add(*frozen)
        self._state.intents.send(fresh)
        if deleted:
            self._state.brake.let_through("remote", deleted)
        return parcel

    def _edits(self, *, deletions: bool) -> list[Node]:
        """The next edits, deletions last: of a folder that was renamed the new names are there before the old ones
        go, so that nobody who follows takes it for a mass deletion (R30).
        """
        edits = self._state.trees.up(PARCEL_FILES, deletions=False)
        if not deletions or len(edits) >= PARCEL_FILES:
            return edits
        mixed = self._state.trees.up(PARCEL_FILES, deletions=True)
        return [*edits, *(node for node in mixed if node.stat is None)]

    def _withhold(self, now_s: float) -> None:
        """Every local edit is listed as one that is not sent, until the path changes there or the mirror may send."""
        while nodes := self._state.trees.up(PARCEL_FILES, deletions=True):
            self._state.refusals.add([Refusal(node.path, "up", READ_ONLY, NOT_SENT, lasting=True) for node in nodes])
            withheld = [Decision(one.path, "withheld", one.revision or None, NOT_SENT, READ_ONLY) for one in nodes]
            self._state.past.note(withheld, now_s)

    def _freeze(self, node: Node, over: int) -> tuple[Entry, bytes | Large] | None:
        assert node.trees.local is not None, "an edit lies on the disk"
        body = self._body(node)
        return None if body is None else (Entry(self._new_key(), node.path, over, node.trees.local), body)

    def _body(self, node: Node) -> bytes | Large | None:
        """The content of the local file as its row says, a large one as it is then read; None: it is another by now,
        and is looked at again.
        """
        assert node.stat is not None, "it lies there"
        assert node.trees.local is not None, "and was read"
        digest = node.trees.local.digest
        if node.trees.local.size > LARGE_BYTES:
            return Large(node.trees.local.size, partial(_sent_pieces, self._ports, node.path, node.stat, digest))
        body = self._ports.disk.read(node.path, node.stat)
        if body is None or sha256(body).digest() != digest:
            self._survey.again[node.path] = "up"
            return None
        return body

    def _adopt_orphans(self, parcel: Parcel, stream: Stream, now_s: float, *, observed: bool) -> None:
        waiting: list[Entry] = []
        settled: list[Entry] = []
        for entry in self.orphans:
            node = next(iter(self._state.trees.nodes([entry.path])), None)
            local = node.trees.local if node else None
            match outbox.after_restart(entry, local, node.trees.remote if node else None, observed=observed):
                case outbox.Wait():
                    waiting.append(entry)
                case outbox.Drop():
                    settled.append(entry)
                case outbox.Agreed(revision, version):
                    self._agree([Agreement(entry.path, revision, version)], stream)
                    self._state.past.note([Decision(entry.path, _sent(entry), revision)], now_s)
                    settled.append(entry)
                case outbox.Resend() if self.read_only:  # what the log shows by its head is what came of it
                    (settled if observed else waiting).append(entry)
                case outbox.Resend():
                    body = None
                    if entry.version is not None:
                        assert node is not None, "what was sent lies there still"
                        body = self._body(node)
                    if (entry.version is not None and body is None) or parcel.full:
                        waiting.append(entry)
                    else:
                        parcel.add(entry, body)
        self._state.intents.settle(settled)
        parcel.settled.extend(settled)
        self.orphans = waiting

    def _settle(
        self, entries: Sequence[Entry], outcomes: Iterable[Outcome], stream: Stream, now_s: float, *, lasting: bool
    ) -> int:
        agreed: list[Agreement] = []
        refusals: list[Refusal] = []
        done: list[Decision] = []
        for entry, outcome in zip(entries, outcomes, strict=True):
            match outcome:
                case Stored(_, revision) if revision:
                    settled = outbox.stored(entry, revision)
                    agreed.append(Agreement(entry.path, settled.revision, settled.version))
                    done.append(Decision(entry.path, _sent(entry), revision))
                case Stored() | Conflict():
                    done.append(Decision(entry.path, "overtaken", entry.over or None))
                    if not self._moved_on(entry.path, entry.over):
                        why = "the server has a newer version; waiting to observe it"
                        refusals.append(Refusal(entry.path, "up", "overtaken", why, lasting=False))
                case Torn(path):
                    self._survey.again[path] = "up"
                    done.append(Decision(path, "moved_meanwhile", entry.over or None))
                case Refused(_, code, message):
                    done.append(Decision(entry.path, "refused_there", entry.over or None, message, code))
                    refusals.append(Refusal(entry.path, "up", code, message, lasting))
        self._state.intents.settle(entries)
        self._agree(agreed, stream)
        self._state.refusals.add(refusals)
        self._state.past.note(done, now_s)
        return len(agreed)

    def _agree(self, agreed: list[Agreement], stream: Stream) -> None:
        self._state.trees.acknowledge(agreed, stream.generation)
        if agreed:
            self._state.acknowledge(max(one.revision for one in agreed))

    def _moved_on(self, path: TreePath, over: int) -> bool:
        """Whether the version that overtook an edit was observed already; an older one where a log was put back."""
        return any(node.revision != over for node in self._state.trees.nodes([path]))


async def _sent_pieces(ports: Ports, path: TreePath, stat: Stat, digest: Digest) -> AsyncIterator[bytes]:
    """The content of a local file, read between the turns of the mirror while it is sent (`Large.pieces`)."""
    reading = ports.disk.pieces(path, stat, digest)
    while piece := await ports.run_blocking(partial(next, reading, b"")):
        yield piece
    if piece is None:
        raise TornError(path)


def _sent(entry: Entry) -> Did:
    return "deletion_sent" if entry.version is None else "sent"
