"""A disk, a server and a clock in memory, with knobs: what the mirror is given when it is tested by the thousand.

They keep the contracts of `mirror.ports` to the letter and nothing more, so that a test fails for a reason of the
mirror's own.
"""

import asyncio
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from relayfile.client.feed import Batch
from relayfile.client.push import Conflict, Large, Outcome, Push, Stored, Torn, TornError
from relayfile.core import digest as tree_digest
from relayfile.core.merge import ancestors
from relayfile.core.trash import Kept, Old
from relayfile.mirror.cycle import Cycle, Gathered, Next
from relayfile.mirror.fetch import MISSING
from relayfile.mirror.ports import (
    LARGE_BYTES,
    Body,
    Changed,
    Done,
    Fetched,
    Found,
    Known,
    Left,
    Lost,
    Missing,
    Place,
    Ports,
    Refused,
    Remove,
    Result,
    SetAside,
    Sight,
    Step,
    Twin,
    Unfit,
    Unstable,
)
from relayfile.mirror.state import Identity, State
from relayfile.model import Change, Cursor, Delete, Digest, Put, Stat, TreePath, Version


class Died(BaseException):
    """The process was killed here. Not an Exception: nothing may catch it."""


async def at_once(work):
    """`ports.RunBlocking` in place."""
    return work()


def path(text: str) -> TreePath:
    return TreePath.parse(text)


def digest_of(body: bytes) -> Digest:
    return Digest(sha256(body).digest())


class SimClock:
    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the cycle does not sleep")


@dataclass
class SimDisk:
    """Files as (body, stat). `budget` is how many more steps or calls may happen before the process dies."""

    files: dict[TreePath, tuple[bytes, Stat]] = field(default_factory=dict)
    trash: list[bytes] = field(default_factory=list)
    kept_there: dict[str, tuple[Kept, bytes]] = field(default_factory=dict)
    now_s: float = 1_700_000_000.0
    trashed: dict[Stat, bytes] = field(default_factory=dict)
    ticks: int = 0
    die_in: int | None = None
    refuse: dict[TreePath, Refused] = field(default_factory=dict)
    steps: int = 0
    before_execute: list = field(default_factory=list)
    before_each: list = field(default_factory=list)
    before_reread: list = field(default_factory=list)
    before_piece: list = field(default_factory=list)
    unreadable: set[TreePath] = field(default_factory=set)
    parts: dict[Digest, bytes] = field(default_factory=dict)
    room: int = 1 << 40
    elsewhere: dict[str, str] = field(default_factory=dict)

    def write(self, at: str, body: bytes, mode: str = "644") -> None:
        self.files[path(at)] = (body, self._stat(body, mode))

    def delete(self, at: str) -> None:
        self.files.pop(path(at), None)

    def text(self) -> dict[str, bytes]:
        return {str(one): body for one, (body, _) in sorted(self.files.items())}

    def _stat(self, body: bytes, mode: str) -> Stat:
        self.ticks += 1
        return Stat(1, self.ticks, len(body), self.ticks, self.ticks, mode)

    def _live(self) -> None:
        if self.die_in is not None:
            if self.die_in == 0:
                raise Died
            self.die_in -= 1

    # Disk

    def execute(self, steps: Sequence[Step]) -> list[Result]:
        once, self.before_execute = self.before_execute, []
        for user in (*once, *self.before_each):
            user()
        results = []
        for step in steps:
            self._live()
            self.steps += 1
            results.append(self._one(step))
        self._live()
        return results

    def _one(self, step: Step) -> Result:
        if step.path in self.refuse:
            return self.refuse[step.path]
        held = self.files.get(step.path)
        if (held[1] if held else None) != step.expected:
            return Changed(step.path)
        match step:
            case Place(at, version, body):
                if (body := self._content(body, version.digest)) is None:
                    return Unfit(at)
                assert digest_of(body) == version.digest
                if any(above in self.files for above in ancestors(at)):
                    return Refused(at, "a folder of its path is a file here")
                if any(one.startswith(f"{at}/") for one in self.files):
                    return Refused(at, "a folder that is not empty lies in its place")
                if held:
                    self._keep(step, *held)
                self.files[at] = (body, self._stat(body, version.mode))
                self.parts.pop(version.digest, None)
                return Done(at, self.files[at][1])
            case Remove(at):
                self._keep(step, *self.files.pop(at))
                return Done(at, None)
            case SetAside(at, _, copy):
                return self._set_aside(at, copy)

    def _content(self, body: Body, digest: Digest) -> bytes | None:
        if isinstance(body, Twin):
            held = self.files.get(body.path)
            found = held[0] if held and held[1] == body.stat else self.trashed.get(body.stat)
            return found if found is not None and digest_of(found) == digest else None
        return self.parts.get(digest) if isinstance(body, Fetched) else body

    def _keep(self, step: Place | Remove, body: bytes, stat: Stat) -> None:
        self.trash.append(body)
        self.trashed[stat] = body
        one = f"k{len(self.trash)}"
        name = step.path.rpartition("/")[2]
        there = Kept(one, step.path, name, self.now_s, len(body), stat.mode, step.old or Old(), ("", one))
        self.kept_there[one] = (there, body)

    def kept(self) -> list[Kept]:
        return [one for one, _ in self.kept_there.values()]

    def kept_content(self, one: Kept) -> tuple[Version, bytes] | None:
        self._live()
        if one.id not in self.kept_there:
            return None
        body = self.kept_there[one.id][1]
        return Version(0, digest_of(body), len(body), one.mode), body

    def _set_aside(self, at: TreePath, copy: TreePath) -> Done:
        mine = self.files.pop(at)
        if copy not in self.files:
            self.files[copy] = mine
            return Done(at, mine[1])
        if self.files[copy][0] == mine[0]:  # as another machine of this name made it
            self.trash.append(mine[0])
        else:
            self.files[TreePath(f"{copy} 2")] = mine
        return Done(at, None)

    def read(self, at: TreePath, expected: Stat) -> bytes | None:
        self._live()
        held = self.files.get(at)
        return held[0] if held and held[1] == expected else None

    def pieces(self, at: TreePath, expected: Stat, digest: Digest) -> Iterator[bytes | None]:
        self._live()
        body = self.read(at, expected)
        if body is None or digest_of(body) != digest:
            yield None
            return
        for first in range(0, len(body), LARGE_BYTES):
            for user in self.before_piece:
                user(at, first)
            there = self.files.get(at)
            yield body[first : first + LARGE_BYTES] if there and there[1] == expected else None

    def recover(self, placing: Mapping[TreePath, Version]) -> list[TreePath]:
        return []

    # Parts

    def begin(self, digest: Digest, size: int) -> int | Lost:
        self._live()
        if size > self.room:
            self.parts.pop(digest, None)
            return Lost("disk_full", "disk full")
        return len(self.parts.get(digest, b""))

    def append(self, digest: Digest, at: int, piece: bytes) -> Lost | None:
        self._live()
        if at and digest not in self.parts:
            return Lost("unwanted", "gone")
        self.parts[digest] = self.parts.get(digest, b"")[:at] + piece
        return None

    def verify(self, digest: Digest) -> Iterator[int | bool]:
        self._live()
        yield len(self.parts.get(digest, b""))
        if digest_of(self.parts.get(digest, b"")) == digest:
            yield True
        else:
            self.parts.pop(digest, None)
            yield False

    def keep_only(self, wanted: Container[Digest]) -> None:
        for digest in [one for one in self.parts if one not in wanted]:
            del self.parts[digest]

    # Scanner

    def local_name(self, at: TreePath) -> str:
        return at

    def path_of(self, local: str) -> TreePath:
        return TreePath(local)

    def sweep(self, known: Known) -> Iterator[Found | Unstable | Left]:
        for at in list(self.files):
            yield self._found(at, known)

    def rescan(self, paths: Iterable[TreePath], known: Known) -> list[Sight]:
        sights: list[Sight] = []
        for at in sorted(paths):
            if at in self.files:
                sights.append(self._found(at, known))
            else:
                sights.append(Missing(at))
        return sights

    def _found(self, at: TreePath, known: Known) -> Found:
        body, stat = self.files[at]
        before = known.get(at)
        return Found(at, stat, before[1] if before and before[0] == stat else digest_of(body))

    def reread(self, at: TreePath, _: Known) -> Iterator[int | Sight]:
        for user in self.before_reread:
            user(at)
        if at in self.unreadable:
            yield Left(at, "it cannot be read: Input/output error")
        elif at in self.files:
            body, stat = self.files[at]
            yield from [65_536] * (len(body) // 65_536)
            yield len(body) % 65_536
            yield Found(at, stat, digest_of(body))
        else:
            yield Missing(at)

    def rot(self, at: str, body: bytes) -> None:
        """Other bytes under the same state: nobody wrote them."""
        self.files[path(at)] = (body, self.files[path(at)][1])


@dataclass
class SimServer:
    """One workspace. Keeps every body ever written, so that a test can ask whether bytes were lost."""

    epoch: str = "e1"
    position: int = 0
    nodes: dict[TreePath, tuple[int, Version | None]] = field(default_factory=dict)
    bodies: dict[Digest, bytes] = field(default_factory=dict)
    keys: dict[str, Stored] = field(default_factory=dict)
    inline: int = 65_536
    puts: int = 0
    fetched: int = 0
    sent: int = 0

    def write(self, at: str, body: bytes, mode: str = "644") -> int:
        self.position += 1
        version = Version(self.position, digest_of(body), len(body), mode)
        self.bodies[version.digest] = body
        self.nodes[path(at)] = (self.position, version)
        return self.position

    def delete(self, at: str) -> None:
        if self.nodes.get(path(at), (0, None))[1] is not None:
            self.position += 1
            self.nodes[path(at)] = (self.position, None)

    def text(self) -> dict[str, bytes]:
        return {str(at): self.bodies[one.digest] for at, (_, one) in sorted(self.nodes.items()) if one}

    def digest(self) -> bytes:
        total = tree_digest.EMPTY
        for at, (_, version) in self.nodes.items():
            total = tree_digest.moved(total, at, None, version)
        return total

    def delta(self, cursor: Cursor, start: int | None, limit: int = 500) -> list[Batch]:
        """Everything after `cursor` in batches, the last with `end` and the digest."""
        since = cursor.position
        first = self.position if since == 0 else start
        changes: list[Change] = []
        for at, (position, version) in sorted(self.nodes.items(), key=lambda item: item[1][0]):
            if position <= since:
                continue
            if version is not None:
                body = self.bodies[version.digest]
                inline = body if len(body) <= self.inline else None
                changes.append(Put(at, position, version.digest, version.size, version.mode, inline))
            elif since and not (first is not None and position <= first):
                changes.append(Delete(at, position))
        batches = []
        for i in range(0, len(changes), limit):
            some, rest = changes[i : i + limit], changes[i + limit :]
            ahead = (len(rest), sum(one.size for one in rest if isinstance(one, Put)))
            there = Cursor(self.epoch, some[-1].position)
            batches.append(Batch(some, there, self.position, first, ahead=ahead))
        end = Cursor(self.epoch, self.position)
        batches.append(Batch([], end, self.position, first, end=True, tree_digest=self.digest()))
        return batches

    def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        return asyncio.run(self.receive(pushes))

    async def receive(self, pushes: Sequence[Push]) -> list[Outcome]:
        return [await self._received(one) for one in pushes]

    async def _received(self, one: Push) -> Outcome:
        if isinstance(one.body, Large):
            try:
                whole = b"".join([piece async for piece in one.body.pieces()])
            except TornError:
                return Torn(one.path)
            assert len(whole) == one.body.size
            one = replace(one, body=whole)
        return self._push(one)

    def _push(self, one: Push) -> Outcome:
        if one.key in self.keys:
            return self.keys[one.key]
        position, version = self.nodes.get(one.path, (0, None))
        current = position if version else 0
        if current != one.over:
            return Conflict(one.path, current)
        self.puts += 1
        if one.body is None:
            self.delete(one.path)
        elif not (version and version.digest == digest_of(one.body) and version.mode == one.mode):
            self.write(one.path, one.body, one.mode)
        stored = Stored(one.path, self.nodes[one.path][0])
        self.keys[one.key] = stored
        return stored


class SimMirror:
    """One mirror: state in a real file, everything else simulated. `run` turns it until nothing is left to do."""

    def __init__(self, folder: Path, server: SimServer, disk: SimDisk | None = None, name: str = "one") -> None:
        self.file = folder / f"{name}.db"
        self.name = name
        self.server = server
        self.disk = disk or SimDisk()
        self.clock = SimClock()
        self.made = 0
        self.hints: set[TreePath] = set()
        self.drop_answers = False
        self.turns = 0
        self.read_only = False
        self.last: Next | None = None
        self.start()

    def start(self) -> None:
        """The process begins (again)."""
        self.state = State.open(self.file, Identity("m", "rw", "http://s", 1, 2))
        self.state._db.pragma("synchronous", "off")
        self.begin: str | None = "start"
        self.cycle = Cycle(self.state, self.ports(), read_only=self.read_only)

    def kill(self) -> None:
        """The process is gone; the disk and what was committed stay."""
        self.disk.die_in = None
        self.state.close()
        self.start()

    def new_key(self) -> str:
        self.made += 1
        return f"{self.name}-{self.made:032d}"

    def ports(self) -> Ports:
        return Ports(
            self.clock,
            self.disk,
            self.disk,
            self.disk,
            None,
            None,
            at_once,
            lambda: None,
            "host",
            lambda: 0.5,
            self.new_key,
        )

    def edit(self, at: str, body: bytes, mode: str = "644") -> None:
        self.disk.write(at, body, mode)
        self.hints.add(path(at))

    def remove(self, at: str) -> None:
        self.disk.delete(at)
        self.hints.add(path(at))

    def turn(self, **gathered) -> Next:
        self.turns += 1
        self.clock.at += 0.01
        self.disk.now_s = self.clock.at
        hints, self.hints = frozenset(self.hints), set()
        begin, self.begin = self.begin, None
        gathered.setdefault("may_push", True)
        self.last = self.cycle.turn(Gathered(begin=begin, hints=hints, **gathered))
        return self.last

    def run(self, most: int = 60, **gathered) -> Next:
        """Turns until both sides are quiet; the first takes what was `gathered`."""
        done = self.turn(**gathered)
        for _ in range(most):
            carried = self.carry(done)
            stream = done.report.stream
            behind = stream.open or stream.position < self.server.position or not done.report.equal
            if not carried and not done.report.more and not self.hints and not behind:
                return done
            busy = done.report.more
            batches = () if busy else self.server.delta(stream.cursor, stream.start)
            done = self.turn(batches=batches, **carried)
            follows = done.report.more or done.parcel.pushes or done.wants or done.reread
            if not carried and not busy and not follows:
                return done
        raise AssertionError(f"not quiet after {most} turns: {done.report}")

    def carry(self, done: Next) -> dict:
        """What the turn asked for, done by the server."""
        carried = {}
        if done.parcel.pushes:
            outcomes = self.server.push(done.parcel.pushes)
            self.last_pushes = done.parcel.pushes
            carried["answer"] = (done.parcel, outcomes)
        if done.wants:
            self.server.fetched += len(done.wants)
            carried["bodies"] = {one: self.fetch(one) for one in done.wants}
        return carried

    def fetch(self, digest: Digest) -> Body | Lost:
        body = self.server.bodies.get(digest)
        if body is None:
            return MISSING
        if len(body) <= LARGE_BYTES:
            return body
        held = self.disk.begin(digest, len(body))
        for at in range(held, len(body), LARGE_BYTES):
            self.server.sent += len(body[at : at + LARGE_BYTES])
            self.disk.append(digest, at, body[at : at + LARGE_BYTES])
        return Fetched() if list(self.disk.verify(digest))[-1] else MISSING
