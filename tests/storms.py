"""Many real processes on one login, struck by faults, and what the server's audit log tells of it afterwards.

Judged by counts, never by how long something took: a busy machine makes a storm slower, not wrong.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lossy_proxy import LossyProxy
from machines import Machine
from servers import Server

SHORTENED = 0.1
"""The server makes each access lifetime 0 to 10 % shorter (R7)."""
CLOCKS_S = 0.05
"""How much the audit's clock, which people may set, is trusted less than the clients'."""
REFUSED = ("rejected", "reused", "revoked", "superseded")
TROUBLE = [
    "login: renewal does not get through",
    "login: outcome of a renewal unknown",
    "login: another process has been renewing for long",
]
"""What a daemon or a command says in its log when it or another was struck during a renewal."""
KILLED = -signal.SIGKILL
SIGN_IN_NEEDED = 4
BUSY = 75
LOCK_WAIT_S = 30.0
"""Whoever waits longer than this for a holder that is stopped says so and ends with BUSY (T08)."""
LEAST_STRIKES = 12
_AIMS = ("holder", "holder", "anyone", "anyone", "holder", "holder", "daemon", "daemon")
"""Stops and kills alternate, so that each aim is met by both."""


@dataclass(frozen=True)
class Figures:
    """What one credential family went through, by the server's word."""

    lasted_s: float
    access_ttl_s: float
    rotated: list[tuple[int, float]]
    events: Counter[str]
    by_role: Counter[str]

    @property
    def allowed(self) -> float:
        """R5: as many rotations as this time has room for."""
        return self.lasted_s / (0.58 * self.access_ttl_s) + 1

    @property
    def lifetimes(self) -> float:
        return self.lasted_s / self.access_ttl_s

    @property
    def refused(self) -> int:
        return sum(self.events[word] for word in REFUSED)

    def check_r5(self) -> None:
        """Each generation was rotated once, none too early, and not more of them than time allows."""
        generations = [generation for generation, _ in self.rotated]
        assert generations == sorted(set(generations)), f"a generation was rotated twice: {Counter(generations)}"
        apart = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(self.rotated)]
        least = 0.65 * (1 - SHORTENED) * self.access_ttl_s - CLOCKS_S
        assert min(apart, default=least) >= least, f"{min(apart):.2f} s apart, wanted {least:.2f}"
        assert len(self.rotated) <= self.allowed, f"{len(self.rotated)} rotations, {self.allowed:.1f} allowed"

    def __str__(self) -> str:
        rotations = len(self.rotated)
        refused = ", ".join(f"{word} {self.events[word]}" for word in REFUSED)
        return (
            f"{self.lasted_s:.0f} s = {self.lifetimes:.1f} lifetimes of {self.access_ttl_s:g} s: "
            f"{rotations} rotations, {rotations / self.lifetimes:.2f} a lifetime (R5 allows {self.allowed:.0f}), "
            f"replays {self.events['replayed']}, {refused}; renewed by {dict(self.by_role)}"
        )


def figures(server: Server, family: str, access_ttl_s: float) -> Figures:
    """The audit of one family until now."""
    now = time.time()
    events = [event for event in server.audit() if event["family"] == family]
    rotated = [event for event in events if event["event"] == "rotated"]
    first = datetime.fromisoformat(events[0]["at"]).timestamp()
    return Figures(
        now - first,
        access_ttl_s,
        [(event["generation"], datetime.fromisoformat(event["at"]).timestamp()) for event in rotated],
        Counter(event["event"] for event in events),
        Counter(_role(event["client"]) for event in rotated),
    )


def _role(client: str) -> str:
    return client.partition("(")[2].partition(";")[0] or client.rpartition(" ")[2] or client


def family_of(machine: Machine) -> str:
    """The family of the machine's shared login."""
    return str(json.loads(machine.credentials.read_text())["family"])


@dataclass
class Storm:
    """`crowd` processes at a time on one machine, each a real command, again and again until the storm is over.

    Struck are commands at random, now and then the daemon, and as often whoever holds the lock of the credential file
    at that moment.
    """

    machine: Machine
    commands: Sequence[tuple[str, ...]]
    crowd: int = 24
    stop_s: float = 0.0
    """For how long SIGSTOP lasts; 0: no faults at all."""
    seed: int = 1
    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    killed: int = 0
    stopped: int = 0
    stopped_holding: int = 0
    killed_holding: int = 0
    """Those of the above who held the lock when they were struck, by the kernel's word."""
    daemons_killed: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _struck: set[int] = field(default_factory=set)
    _still: set[int] = field(default_factory=set)
    _starting: threading.Lock = field(default_factory=threading.Lock)
    """Held while a daemon is started: one that dies before it has begun is another test's matter."""

    @contextmanager
    def raging(self) -> Iterator["Storm"]:
        """Inside, the crowd runs; after it every process of the crowd has ended."""
        threads = [threading.Thread(target=self._loop, args=(n,), name=f"storm-{n}") for n in range(self.crowd)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _loop(self, number: int) -> None:
        for turn in itertools.count(number):
            if self._over.is_set():
                return
            words = self.commands[turn % len(self.commands)]
            with subprocess.Popen(
                self.machine.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.machine.environment(),
                cwd=self.machine.folder,
            ) as process:
                self._running[process.pid] = process
                try:
                    out, err = process.communicate(timeout=100 + self.stop_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    out, err = process.communicate()
                    self.wrong.append(f"{words} did not end in time: {err.decode()}")
                finally:
                    del self._running[process.pid]
            killed = process.returncode == KILLED and process.pid in self._struck
            self.codes[process.returncode] += 1
            waited = process.returncode == BUSY and self.stop_s > LOCK_WAIT_S and b"has been renewing" in err
            if process.returncode != 0 and not killed and not waited:
                self.wrong.append(f"{words} -> {process.returncode}: {out.decode()[-500:]} {err.decode()[-1500:]}")

    @property
    def forced_logins(self) -> int:
        """Commands that asked for a sign-in."""
        return self.codes[SIGN_IN_NEEDED]

    def rage_for(self, seconds: float, *, every_s: float = 0.3, root: Path | None = None, least: int = 0) -> None:
        """Faults for so long, and twelve of them at least: SIGSTOP and SIGKILL in turn.

        Goes on until `least` were stopped while they held the lock, as many were killed while they did, and a daemon
        was killed; but not for ever. A daemon that was killed is started again at `root`.
        """
        chance, began = random.Random(self.seed), time.monotonic()
        mended: list[threading.Thread] = []
        for aim in itertools.cycle(_AIMS):
            lasted_s = time.monotonic() - began
            if self.wrong or (lasted_s >= seconds and (self._enough(least) or lasted_s >= 8 * seconds)):
                break
            stops = self.stopped <= self.killed + self.daemons_killed
            if self.stop_s and (victim := self._victim(aim, chance, 2 * every_s)) is not None:
                strike = self._stop if stops else self._kill
                mended.append(threading.Thread(target=strike, args=(*victim, root)))
                mended[-1].start()
            self._over.wait(every_s * (0.5 + chance.random()))
        for thread in mended:
            thread.join()

    def _enough(self, least: int) -> bool:
        held = min(self.stopped_holding, self.killed_holding) >= least and (self.daemons_killed or not least)
        return not self.stop_s or (self.strikes >= LEAST_STRIKES and bool(held))

    @property
    def strikes(self) -> int:
        return self.stopped + self.killed + self.daemons_killed

    def _victim(self, aim: str, chance: random.Random, within_s: float) -> tuple[int, bool] | None:
        """A process, and whether it holds the lock: such a one if wanted and found; else a daemon, or anyone."""
        daemons = self.machine.daemons()
        if aim == "holder" and (pid := self._holder_standing_still(daemons, within_s)) is not None:
            return pid, True
        pids = daemons if aim == "daemon" and daemons else [*self._running, *daemons]
        pids = [pid for pid in pids if pid not in self._still]
        return (chance.choice(pids), False) if pids else None

    def _holder_standing_still(self, daemons: Sequence[int], within_s: float) -> int | None:
        """A process that holds the lock by the kernel's word, and was stopped before it let it go."""
        lock, until = self.machine.credentials.with_suffix(".lock"), time.monotonic() + within_s
        while time.monotonic() < until:
            pid = holder_of(lock)
            if pid is not None and pid not in self._still and (pid in self._running or pid in daemons):
                process = self._running.get(pid)
                _send(process, pid, signal.SIGSTOP)
                if _stands_still(pid) and holder_of(lock) == pid:
                    return pid
                _send(process, pid, signal.SIGCONT)
            time.sleep(0.001)
        return None

    def _stop(self, pid: int, holding: bool, _: Path | None) -> None:
        process = self._running.get(pid)
        self.stopped += 1
        self.stopped_holding += holding
        self._still.add(pid)
        _send(process, pid, signal.SIGSTOP)
        self._over.wait(self.stop_s)
        _send(process, pid, signal.SIGCONT)
        self._still.discard(pid)

    def _kill(self, pid: int, holding: bool, root: Path | None) -> None:
        process = self._running.get(pid)
        if process is not None:
            self._struck.add(pid)
            self.killed += 1
            self.killed_holding += holding
            _send(process, pid, signal.SIGKILL)
        elif root is not None and self._starting.acquire(blocking=False):
            try:
                if pid in self.machine.daemons():
                    self.killed_holding += holding
                    self._kill_daemon(pid, root)
            finally:
                self._starting.release()
        elif holding:
            _send(None, pid, signal.SIGCONT)

    def _kill_daemon(self, pid: int, root: Path) -> None:
        self.daemons_killed += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        again = self.machine.try_("start", root, within_s=100 + self.stop_s)
        if again.code != 0 and not (again.code == BUSY and self.stop_s > LOCK_WAIT_S):
            self.wrong.append(str(again))

    def __str__(self) -> str:
        commands = ", ".join(f"exit {code}: {count}" for code, count in sorted(self.codes.items()))
        return (
            f"{self.crowd} commands at a time, {sum(self.codes.values())} in all ({commands}); killed {self.killed}, "
            f"stopped {self.stopped}, daemon killed {self.daemons_killed}; of them while holding the lock: "
            f"stopped {self.stopped_holding}, killed {self.killed_holding}; forced logins {self.forced_logins}"
        )


def holder_of(lock: Path) -> int | None:
    """The process that holds this flock now. What stands in the file is a note, which outlives the lock."""
    try:
        inode = str(lock.stat().st_ino)
    except FileNotFoundError:
        return None
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, _, pid, where, *_ = line.split()
        if kind == "FLOCK" and where.rpartition(":")[2] == inode:
            return int(pid)
    return None


def _stands_still(pid: int) -> bool:
    """Whether the stop that was sent has come into force; a process that is gone does not stand."""
    until = time.monotonic() + 1.0
    with suppress(OSError):
        while time.monotonic() < until:
            if (state := Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]) in "TZX":
                return state == "T"
    return False


def _send(process: subprocess.Popen[bytes] | None, pid: int, sign: signal.Signals) -> None:
    """To a command while it is ours to wait for; to a daemon by its id."""
    with suppress(ProcessLookupError):
        if process is not None:
            process.send_signal(sign)
        else:
            os.kill(pid, sign)


def losses(proxy: LossyProxy) -> str:
    """For the figures."""
    return f"answers of the token endpoint lost after the server acted: {proxy.lost} of {proxy.renewals}"
