"""What a mirror costs that has nothing to do: its restart, its memory, a minute of rest. And 100,000 files."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import bare
from bench.figures import Figure, timed
from bench.mirror import Rounds, daemon, filling, start_until_current
from bench.world import BODY_BYTES, FILES, World, until_current, world
from journeys_support import picture
from machines import Machine

RESTARTS = 5
IDLE_S = 60.0
LARGE = 100_000
BARE_IMPORTS = """
import relayfile.mirror.daemon
from relayfile.client import dpop
dpop.Key.new()  # its library is loaded by the first key, as by the enrolment of a new mirror
print(open('/proc/self/status').read())
"""
WALK = "import os, relayfile.mirror.daemon; [os.stat(os.path.join(at, f)) for at, _, fs in os.walk({!r}) for f in fs]"


def rest() -> list[Figure]:
    """A mirror of 4,000 files that was just filled: its memory, a minute of doing nothing, and its restart."""
    with world() as here:
        machine, root = here.machine(), here.place / "root"
        here.fill(here.workspace(machine, "w"), 0, FILES)
        with daemon(machine, "w", root):
            until_current(machine, FILES)
            figures = [_memory(machine, FILES, 20), *_idle(here, machine)]
        return [*figures, _restart(machine, root, FILES, 0.5)]


def large() -> list[Figure]:
    """The same with 100,000 files, and their first filling beside that of 4,000."""
    with world() as here, bare.child(bare.BODIES, str(LARGE), str(BODY_BYTES)) as port:
        machine, root = here.machine(), here.place / "root"
        here.fill(here.workspace(machine, "small"), 0, FILES)
        here.fill(here.workspace(machine, "w"), 0, LARGE, over=LARGE)
        other = here.machine()
        here.workspace(other, "empty")
        rounds, few = Rounds(), Rounds()
        rounds.idle = few.idle = [start_until_current(other, 0, "empty", here.place / "empty")]
        third = here.machine()
        few.took = [start_until_current(third, FILES, "small", here.place / "small")]
        with daemon(machine, "w", root):
            with timed(rounds.took):
                until_current(machine, LARGE, within_s=900)
            memory = _memory(machine, LARGE, 60)
        rounds.bare = [bare.place_all(port, here.place / "bare", LARGE, BODY_BYTES)]
        rate = FILES / few.net()[0]
        filled = filling(f"bootstrap of {LARGE:,} files", rounds, LARGE, 0.8 * rate)
        return [filled, memory, _restart(machine, root, LARGE, 2.0)]


def _restart(machine: Machine, root: Path, files: int, goal_s: float) -> Figure:
    took: list[float] = []
    floor: list[float] = []
    for _ in range(RESTARTS):
        took.append(start_until_current(machine, files, root))
        with timed(floor):
            subprocess.run([sys.executable, "-c", WALK.format(str(root))], check=True)
    measured, least = statistics.median(took), statistics.median(floor)
    return Figure(f"restart with nothing changed, {files:,} files", measured, "s", least,
                  "a process with the same imports that stats every file", measured / least,
                  f"<= {goal_s} s", measured <= goal_s, took)  # fmt: skip


def _memory(machine: Machine, files: int, goal: float) -> Figure:
    resident = _resident_mib(Path(f"/proc/{_pid(machine)}/status").read_text())
    alone = subprocess.run([sys.executable, "-c", BARE_IMPORTS], capture_output=True, text=True, check=True)
    imports = _resident_mib(alone.stdout)
    over = resident - imports
    note = f"the daemon {resident:.1f} MiB, its bare imports, with the library of its key, {imports:.1f} MiB"
    return Figure(f"daemon memory with {files:,} files, over its imports", over, "MiB", None, "", None,
                  f"<= {goal} MiB", over <= goal, (resident, imports), note)  # fmt: skip


def _idle(here: World, machine: Machine) -> list[Figure]:
    time.sleep(5)  # the start has settled
    pid = _pid(machine)
    asked, used, began = len(here.server.access_log()), _cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    share = (_cpu_s(pid) - used) / (time.monotonic() - began) * 100
    requests = len(here.server.access_log()) - asked
    return [
        Figure(f"idle daemon, share of a core over {IDLE_S:.0f} s", share, "%", None, "", None,
               "<= 0.1 %", share <= 0.1),
        Figure("idle daemon, requests meanwhile", requests, "", None, "", None,
               "none but the heartbeat", requests == 0),
    ]  # fmt: skip


def _pid(machine: Machine) -> int:
    seen = picture(machine)
    assert seen, machine.evidence()
    return int(seen["pid"])


def _cpu_s(pid: int) -> float:
    """Seconds of a core that the process has used, by the scheduler's own count."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _resident_mib(status: str) -> float:
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024
