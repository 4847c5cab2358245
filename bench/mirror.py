"""What filling a mirror costs: the first time, after a backlog, with kills and with expiring tokens on the way."""

import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import bare
from bench.figures import Figure, timed
from bench.world import BODY_BYTES, EVENTS, FILES, World, until_current, world
from machines import Machine

ROUNDS = 3
KILLS = 5
EXPIRING = "2s"
PLACING_FLOOR = (
    "fetch the bodies of 1 KB over loopback from a bare server, sha256, stage, syncfs, rename, syncfs, "
    f"one FULL commit for {bare.BATCH} files"
)


@dataclass
class Rounds:
    """Seconds of each round: the work, the same start with nothing to do, and the bare pipeline, taken in turn."""

    took: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def start(self) -> float:
        """What starting alone takes."""
        return statistics.median(self.idle)

    def net(self, starts: int = 1) -> list[float]:
        """Seconds of the work alone, in each round."""
        return [one - starts * self.start for one in self.took]

    @property
    def note(self) -> str:
        """What was taken off, and how much the floor wandered."""
        floors = ", ".join(f"{one:.2f}" for one in self.bare)
        return (
            f"daemon start-up, measured apart with nothing to do and taken off: {self.start:.2f} s; floors {floors} s"
        )


@contextmanager
def daemon(machine: Machine, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon of the mirror that `mount WORDS` names, as a child; it is stopped at the end, or was killed."""
    command = machine.command("mount", *words, "--foreground")
    with subprocess.Popen(
        command, env=machine.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def start_until_current(machine: Machine, head: int, *words: str | Path) -> float:
    """Seconds from the start of the daemon to a mirror that has applied `head`, proven."""
    began = time.perf_counter()
    with daemon(machine, *words):
        until_current(machine, head)
        return time.perf_counter() - began


def bootstrap() -> list[Figure]:
    """The first filling of a mirror with 4,000 files; the start with nothing to do is that of an empty workspace."""
    rounds = Rounds()
    with world() as here, bare.child(bare.BODIES, str(FILES), str(BODY_BYTES)) as port:
        machine = here.machine()
        here.workspace(machine, "empty")
        here.fill(here.workspace(machine, "full"), 0, FILES)
        for number in range(ROUNDS):
            for name, head, into in (("full", FILES, rounds.took), ("empty", 0, rounds.idle)):
                into.append(start_until_current(machine, head, name, here.place / f"{name}{number}"))
                _forget(machine)
            rounds.bare.append(bare.place_all(port, here.place / f"bare{number}", FILES, BODY_BYTES))
    return [filling(f"bootstrap of {FILES:,} files", rounds, FILES, 1_500)]


def filling(name: str, rounds: Rounds, files: int, least: float) -> Figure:
    """A filling as files a second."""
    rates = [files / one for one in rounds.net()]
    rate, floor = statistics.median(rates), files / statistics.median(rounds.bare)
    return Figure(name, rate, "files/s", floor, PLACING_FLOOR, rate / floor, f">= {least:,.0f} files/s",
                  rate >= least, rates, rounds.note)  # fmt: skip


def _forget(machine: Machine) -> None:
    """The stopped mirror is no longer known, so that the next one is the machine's only one."""
    for record in machine.home.glob("mirrors/*"):
        record.rename(machine.folder / f"was-{record.name}")


@dataclass
class Backlog:
    """A mirror of 4,000 files that is not running while another 53,000 events over them are written, each round."""

    here: World
    machine: Machine
    workspace: str
    root: Path
    head: int = FILES

    @classmethod
    def of(cls, here: World) -> "Backlog":
        """The mirror is filled."""
        machine = here.machine()
        made = cls(here, machine, here.workspace(machine, "w"), here.place / "root")
        here.fill(made.workspace, 0, FILES)
        start_until_current(machine, FILES, "w", made.root)
        return made

    def grow(self) -> None:
        """53,000 events behind."""
        self.here.fill(self.workspace, self.head, self.head + EVENTS)
        self.head += EVENTS

    def catch_up(self) -> float:
        """Seconds from the start of the daemon to a mirror that is current."""
        return start_until_current(self.machine, self.head, self.root)

    def catch_up_killed(self, start_s: float, span_s: float) -> float:
        """The same with `KILLS` kill -9, evenly over a run of `span_s` behind starts of `start_s`."""
        took: list[float] = []
        with timed(took):
            for _ in range(KILLS):
                with daemon(self.machine, self.root) as process:
                    time.sleep(start_s + span_s / (KILLS + 1))
                    process.kill()
            self.catch_up()
        return took[0]


def backlog() -> list[Figure]:
    """A mirror of 4,000 files catches up on 53,000 events over them: undisturbed, killed, with expiring tokens."""
    whole, killed, expiring = Rounds(), Rounds(), Rounds()
    with (
        world() as here,
        world(access_ttl=EXPIRING, refresh_overlap="0s") as short,
        bare.child(bare.BODIES, str(FILES), str(BODY_BYTES)) as port,
    ):
        lasting, hasty = Backlog.of(here), Backlog.of(short)
        bare.place_all(port, here.place / "bare", FILES, BODY_BYTES)
        renewals: list[int] = []
        for _ in range(ROUNDS):
            lasting.grow()
            whole.took.append(lasting.catch_up())
            whole.idle.append(lasting.catch_up())
            whole.bare.append(bare.place_all(port, here.place / "bare", FILES, BODY_BYTES))
            lasting.grow()
            killed.took.append(lasting.catch_up_killed(whole.idle[-1], whole.took[-1] - whole.idle[-1]))
            hasty.grow()
            before = _renewals(short)
            expiring.took.append(hasty.catch_up())
            renewals.append(_renewals(short) - before)
            expiring.idle.append(hasty.catch_up())
    killed.idle = whole.idle
    return _backlog_figures(whole, killed, expiring, renewals)


def _renewals(here: World) -> int:
    return sum(event["event"] == "renewed" for event in here.server.audit())


def _backlog_figures(whole: Rounds, killed: Rounds, expiring: Rounds, renewals: list[int]) -> list[Figure]:
    took, floor = statistics.median(whole.net()), statistics.median(whole.bare)
    with_kills, with_expiry = statistics.median(killed.net(KILLS + 1)), statistics.median(expiring.net())
    undisturbed = "the same backlog, undisturbed"
    return [
        Figure(f"backlog of {EVENTS:,} events over {FILES:,} files", took, "s", floor, PLACING_FLOOR, took / floor,
               "<= 2.5x floor", took <= 2.5 * floor, whole.net(), whole.note),
        Figure(f"the same with {KILLS} kills", with_kills, "s", took, undisturbed, with_kills / took,
               "<= 1.3x undisturbed", with_kills <= 1.3 * took, killed.net(KILLS + 1),
               f"{KILLS + 1} starts taken off, {whole.start:.2f} s each"),
        Figure("the same with expiring tokens", with_expiry, "s", took, undisturbed, with_expiry / took,
               "<= 1 s more", with_expiry <= took + 1, expiring.net(),
               f"tokens last {EXPIRING}; renewals during each: {', '.join(map(str, renewals))}"),
    ]  # fmt: skip
