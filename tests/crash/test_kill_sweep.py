"""A daemon is killed before each of its system calls in turn, while it brings a dozen changes down and up.

`strace` attaches to one thread and kills the process when that thread is about to make its Nth call of a kind. A
calm run counts the calls. Here a seeded sample is tried; all of them with --slow.
"""

import random
import re
import shutil
import signal
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from fleet import COPY, Fleet, Member
from machines import difference
from waiting import until

CALLS = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "syncfs", "sendto", "symlinkat"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "link", "linkat", "rmdir"),
)
AT_START = frozenset(CALLS) - {"openat"}
"""While Python is loading, its first thread opens hundreds of modules: nothing of ours."""
BALLAST = 800
"""Files that lie still, so that what each round deletes is far from what the brake asks about."""
SAMPLE = {"live": 10, "starting": 6}
SEED = 4


class Point(NamedTuple):
    """Where the daemon dies: before call `n` of this kind. `thread` counts as `Member.threads` does."""

    thread: int | None
    call: str
    n: int


@pytest.fixture(scope="module", autouse=True)
def _tracing():
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"processes may not be traced here: {tried.stderr.decode()[:200]}")


@dataclass
class Scene:
    """A mirror whose workspace and directory change in rounds, each of which ends in a known tree."""

    fleet: Fleet
    member: Member
    traces: Path
    round: int = 0
    known: set[bytes] = field(default_factory=set)
    traced_threads: list[int] = field(default_factory=list)
    _copies: list[str] = field(default_factory=list)

    def expected(self) -> dict[str, bytes]:
        """What both sides hold after this round, but for the conflict copy."""
        r = self.round
        return {
            "placed.bin": b"\0\xff placed %d" % r,
            "replaced": b"replaced %d" % r,
            f"came-{r}": b"came %d" % r,
            f"d{r}/deep/er": b"in a new folder %d" % r,
            "both.bin": b"\0\xff theirs %d" % r,
            "both.txt": text(r, r),
            "edited": b"edited here %d" % r,
            f"mine/{r}": b"new here %d" % r,
            "link": b"nowhere-%d" % r,
            "tool": b"#!/bin/sh\n",
            **{f"still/{n}": b"%d" % n for n in range(BALLAST)},
        }

    def begin(self) -> None:
        """The tree of round 0 is everywhere."""
        texts = [
            (f"/{path}", body.decode())
            for path, body in self.expected().items()
            if path != "link" and b"\xff" not in body
        ]
        self.fleet.http.bulk(self.fleet.workspace, texts)
        for path in ("placed.bin", "both.bin"):
            assert self.fleet.http.put(self.fleet.workspace, f"/{path}", self.expected()[path]).status < 300
        (self.member.root / "link").symlink_to("nowhere-0")
        assert not difference(self.fleet.at_rest(), self.expected())
        self.known |= set(self.expected().values())

    def change(self) -> int:
        """One round more, on both sides, none of which knows of the other's yet; how many events it must come to."""
        before, self.round = self.round, self.round + 1
        r, there, here = self.round, self.fleet.workspace, self.member.root
        http, expected = self.fleet.http, self.expected()
        self.known |= set(expected.values()) | {ours(r), text(r, before), text(before, r)}
        theirs = {path: expected[path].decode() for path in ("replaced", f"came-{r}", f"d{r}/deep/er")}
        http.bulk(
            there, [(f"/{path}", body) for path, body in {**theirs, "both.txt": text(r, before).decode()}.items()]
        )
        for path in ("placed.bin", "both.bin"):
            assert http.put(there, f"/{path}", expected[path]).status < 300
        for path in (f"came-{before}", f"d{before}/deep/er"):
            assert http.delete(there, f"/{path}").status < 300
        (here / "both.bin").write_bytes(ours(r))
        (here / "both.txt").write_bytes(text(before, r))
        (here / "edited").write_bytes(expected["edited"])
        (here / "mine").mkdir(exist_ok=True)
        (here / "mine" / str(r)).write_bytes(expected[f"mine/{r}"])
        (here / "mine" / str(before)).unlink()
        (here / "link").unlink()
        (here / "link").symlink_to(f"nowhere-{r}")
        (here / "tool").chmod(0o755 if r % 2 else 0o644)
        for copy in self._copies:
            (here / copy).unlink()
        return 8 + 7 + len(self._copies)

    def check(self, head: int, events: int, where: object) -> None:
        """This round ended as it must: each change once, one conflict copy, nothing lost, no half file."""
        tree = self.fleet.at_rest()
        copies = {path: body for path, body in tree.items() if COPY.fullmatch(path)}
        assert list(copies.values()) == [ours(self.round)], f"{where}: {copies}\n{self.evidence(head)}"
        rest = {path: body for path, body in tree.items() if path not in copies}
        assert not (unlike := difference(rest, self.expected())), f"{where}: {unlike}\n{self.evidence(head)}"
        mode = (self.member.root / "tool").stat().st_mode & 0o111
        assert bool(mode) == bool(self.round % 2), f"{where}: the mode\n{self.evidence(head)}"
        assert self.fleet.head == head + events, f"{where}: not each change once\n{self.evidence(head)}"
        left = list((self.member.root / ".relay" / "stage").iterdir())
        assert not left, f"{where}: {left}"
        self._copies = list(copies)

    def check_whole(self, where: object) -> None:
        """What a reader finds after a death are whole files."""
        half = {path: body for path, body in self.member.files().items() if body not in self.known}
        assert not half, f"{where}: {half}"

    def evidence(self, head: int) -> str:
        return f"{self.fleet.writers(head)}\n{self.member.evidence()}"

    # ---------------------------------------------------------------------------------- a round, live or from a start

    def live(self, point: Point | None) -> bool:
        """A round while the daemon runs; whether it died at `point`."""
        head = self.fleet.head
        threads = self.member.threads()
        whom = ["-f", "-p", str(threads[0])] if point is None else ["-p", str(threads[point.thread or 0])]
        if point is None:
            self.traced_threads = threads
        with self.traced(whom, point):
            self.member.tell("/pause")
            events = self.change()
            self.member.tell("/resume")
            died = self.outcome(head, events)
        return self.restarted(died, head, events, point)

    def starting(self, point: Point | None) -> bool:
        """A round that the daemon finds when it begins; whether it died at `point`."""
        head = self.fleet.head
        self.member.stop()
        events = self.change()
        self.member.start(*self.strace(["-f"], point))
        died = self.outcome(head, events)
        if not died:
            self.member.tell("/stop")
            assert self.member.process is not None
            died = self.member.process.wait(60) == -signal.SIGKILL  # its end is part of the sweep
        return self.restarted(died, head, events, point, again=True)

    def outcome(self, head: int, events: int) -> bool:
        """Waits for the end of the daemon, or of the round; whether it died."""

        def over() -> bool:
            said = self.member.picture()
            done = said.get("observed") == head + events and said.get("equal") and not said["pending_edits"]
            return not self.member.alive or bool(done)

        until(over, within_s=60, what="it died, or the round is over", evidence=lambda: self.evidence(head))
        return not self.member.alive

    def restarted(self, died: bool, head: int, events: int, where: object, *, again: bool = False) -> bool:
        if died:
            assert where is not None, f"it ended by itself\n{self.evidence(head)}"
            self.check_whole(where)
        if died or again:
            self.member.process = None
            self.member.start()
        until(
            lambda: self.member.tell("/resume"), within_s=60, what="it listens", evidence=lambda: self.evidence(head)
        )
        self.check(head, events, where)
        return died

    # ------------------------------------------------------------------------------------------------------- strace

    def strace(self, whom: list[str], point: Point | None) -> list[str]:
        calls = ",".join(CALLS) if point is None else point.call
        inject = [] if point is None else ["-e", f"inject={point.call}:signal=KILL:when={point.n}"]
        return ["strace", "-q", "-o", str(self.traces), "-e", f"trace={calls}", "-e", "signal=none", *inject, *whom]

    @contextmanager
    def traced(self, whom: list[str], point: Point | None) -> Iterator[None]:
        """The calls of these threads are traced inside."""
        self.traces.unlink(missing_ok=True)
        words = [word for word in self.strace(whom, point) if word != "-q"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as strace:
            try:
                assert strace.stderr is not None
                assert b"attached" in (said := strace.stderr.readline()), said
                yield
            finally:
                strace.terminate()
                strace.communicate(timeout=30)

    def counted(self, kind: str) -> list[Point]:
        """Every call that the trace has, by the thread that made it; of a process begun under it by kind alone."""
        calls: dict[int, Counter[str]] = defaultdict(Counter)
        for line in self.traces.read_text(errors="replace").splitlines():
            if found := re.match(r"(\d+) +(\w+)\(", line):
                calls[int(found[1])][found[2]] += 1
        if kind == "starting":
            most: Counter[str] = Counter()
            for one in calls.values():
                most |= one
            return [Point(None, call, n + 1) for call in sorted(AT_START) for n in range(most[call])]
        return [
            Point(number, call, n + 1)
            for number, tid in enumerate(self.traced_threads)
            for call, count in sorted(calls[tid].items())
            for n in range(count)
        ]


def text(theirs: int, ours: int) -> bytes:
    """A text of which they edit the first line, and we the last."""
    return b"theirs %d\n%bours %d\n" % (theirs, b"between\n" * 5, ours)


def ours(number: int) -> bytes:
    return b"\0\xff ours %d" % number


def sample(points: list[Point], count: int, chance: random.Random) -> list[Point]:
    """One of each kind of call at least, the rest at random."""
    kinds = defaultdict(list)
    for point in points:
        kinds[point.call].append(point)
    chosen = {chance.choice(kinds[call]) for call in sorted(kinds)}
    rest = [point for point in points if point not in chosen]
    return [*sorted(chosen), *chance.sample(rest, max(0, min(len(rest), count - len(chosen))))][:count]


@pytest.fixture
def scene(server, new_machine, place) -> Iterator[Scene]:
    machine = new_machine()
    with Fleet.of(server, [machine], place) as fleet:
        made = Scene(fleet, fleet.members[0], place / "traces")
        made.begin()
        yield made
        fleet.check_nothing_is_hidden()


@pytest.mark.timeout(600)
def test_killed_before_any_system_call_of_a_sample_it_ends_as_if_nothing_had_happened(scene):
    for kind, count in SAMPLE.items():
        sweep(scene, kind, count)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("kind", ["live", "starting"])
def test_killed_before_any_system_call_it_ends_as_if_nothing_had_happened(scene, kind):
    sweep(scene, kind, None)


def sweep(scene: Scene, kind: str, count: int | None) -> None:
    a_round = scene.live if kind == "live" else scene.starting
    a_round(None)
    points = scene.counted(kind)
    assert len(points) > 50, points
    chosen = points if count is None else sample(points, count, random.Random(SEED))
    died = Counter(point.call for point in chosen if a_round(point))
    reached, kinds = sum(died.values()), Counter(point.call for point in chosen)
    print(
        f"\n{kind}: {len(points)} calls in a calm round, {len(chosen)} tried, died at {reached}: "
        f"{dict(died)} of {dict(kinds)}"
    )
    assert reached >= 0.7 * len(chosen), (died, kinds)
