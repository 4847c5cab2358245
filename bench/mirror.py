"""What a mirror costs: the first filling, a backlog, one edit to another mirror, memory."""

import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import bare
from bench.figures import Figure, percentile
from bench.world import BODY_BYTES, EVENTS, FILES, World, picture, until_current, world
from machines import Machine

ROUNDS = 5
EDITS = 200
PLACING_FLOOR = (
    f"fetch {FILES} bodies of 1 KB over loopback from a bare server, sha256, stage, syncfs, rename, syncfs, "
    f"one FULL commit for {bare.BATCH} files"
)


@dataclass
class Rounds:
    """Seconds of each round: the work, the same start with nothing to do, and the bare pipeline, taken in turn."""

    took: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def figure(self, name: str) -> Figure:
        """The medians beside each other."""
        start, floor = statistics.median(self.idle), statistics.median(self.bare)
        net = [one - start for one in self.took]
        measured = statistics.median(net)
        return Figure(
            *(name, measured, "s", floor, PLACING_FLOOR, measured / floor, "<= 3x floor, 6 s"),
            met=measured <= min(3 * floor, 6.0),
            samples=net,
            note=f"daemon start-up, measured apart with nothing to do and taken off: {start:.2f} s; "
            f"floors {', '.join(f'{one:.2f}' for one in self.bare)} s",
        )


def _start_until_current(machine: Machine, words: list[str], head: int) -> float:
    """Seconds from the command to a mirror that has applied `head`, proven."""
    began = time.perf_counter()
    with subprocess.Popen(
        machine.command(*words), env=machine.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        until_current(machine, head)
        took = time.perf_counter() - began
        assert process.wait() == 0, process.stderr and process.stderr.read()
    return took


def bootstrap() -> list[Figure]:
    """The first filling of a mirror with 4,000 files; the start with nothing to do is that of an empty workspace."""
    rounds = Rounds()
    with world() as here, bare.child(bare.BODIES, str(FILES), str(BODY_BYTES)) as port:
        machine = here.machine()
        here.workspace(machine, "empty")
        here.fill(here.workspace(machine, "full"), 0, FILES)
        for number in range(ROUNDS):
            for name, head, into in (("full", FILES, rounds.took), ("empty", 0, rounds.idle)):
                root = here.place / f"{name}{number}"
                into.append(_start_until_current(machine, ["mount", name, str(root)], head))
                machine.run("stop", root)
                _forget(machine)
            rounds.bare.append(bare.place_all(port, here.place / f"bare{number}", FILES, BODY_BYTES))
    return [rounds.figure("bootstrap of 4,000 files")]


def backlog() -> list[Figure]:
    """A mirror of 4,000 files catches up on 53,000 events over them."""
    rounds = Rounds()
    with world() as here, bare.child(bare.BODIES, str(FILES), str(BODY_BYTES)) as port:
        machine = here.machine()
        workspace, root = here.workspace(machine, "w"), here.place / "root"
        here.fill(workspace, 0, FILES)
        machine.run("mount", "w", root, within_s=120)
        until_current(machine, FILES)
        bare.place_all(port, here.place / "bare", FILES, BODY_BYTES)
        head = FILES
        for _ in range(ROUNDS):
            machine.run("stop", root)
            here.fill(workspace, head, head + EVENTS)
            head += EVENTS
            rounds.took.append(_start_until_current(machine, ["restart", str(root)], head))
            machine.run("stop", root)
            rounds.idle.append(_start_until_current(machine, ["restart", str(root)], head))
            rounds.bare.append(bare.place_all(port, here.place / "bare", FILES, BODY_BYTES))
    return [rounds.figure("backlog of 53,000 events over 4,000 files")]


def _forget(machine: Machine) -> None:
    """The stopped mirror is no longer known, so that the next one is the machine's only one."""
    for record in machine.home.glob("mirrors/*"):
        record.rename(machine.folder / f"was-{record.name}")


def edit() -> list[Figure]:
    """One edit in mirror A until it can be read in mirror B, 200 times."""
    with world() as here:
        one, other = here.machine(), here.machine()
        here.workspace(one, "w")
        root_a, root_b = here.place / "a", here.place / "b"
        for machine, root in ((one, root_a), (other, root_b)):
            machine.run("mount", "w", root)
            machine.until_live(root)
        samples = [_edit_ms(root_a / "edit.txt", root_b / "edit.txt", number) for number in range(EDITS + 5)][5:]
    floor = _bare_edits()
    p50, p95 = percentile(samples, 0.5), percentile(samples, 0.95)
    floor_is = "read, sha256, send over loopback, one FULL commit, stage, fdatasync, rename, fsync of the folder"
    return [
        Figure("edit A to B, p50 of 200", p50, "ms", percentile(floor, 0.5), floor_is, p50 / percentile(floor, 0.5),
               "p50 <= 30 ms", p50 <= 30, samples),
        Figure("edit A to B, p95 of 200", p95, "ms", percentile(floor, 0.95), "", p95 / percentile(floor, 0.95),
               "", True, ()),
    ]  # fmt: skip


def _edit_ms(source: Path, target: Path, number: int) -> float:
    wanted = f"{number} ".encode() * 50
    began = time.perf_counter()
    source.write_bytes(wanted)
    while True:
        with contextlib.suppress(FileNotFoundError):
            if target.read_bytes() == wanted:
                return (time.perf_counter() - began) * 1000
        assert time.perf_counter() - began < 20, f"edit {number} did not arrive within 20 s"
        time.sleep(0.0005)


def _bare_edits() -> list[float]:
    with tempfile.TemporaryDirectory(prefix="rf-bare-") as folder:
        target = Path(folder) / "target"
        target.mkdir()
        with bare.child(bare.RELAY, folder, str(target)) as port, socket.create_connection(("127.0.0.1", port)) as to:
            to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return [bare.one_edit(to, Path(folder) / "source.txt", number) for number in range(EDITS)]


BARE_IMPORTS = "import relayfile.mirror.daemon; print(open('/proc/self/status').read())"


def memory() -> list[Figure]:
    """What a daemon with 4,000 files holds over what its imports alone hold."""
    with world() as here:
        machine = here.machine()
        _mirror_of_4000(here, machine)
        seen = picture(machine)
        assert seen
        resident = _resident_mib(Path(f"/proc/{seen['pid']}/status").read_text())
    imports = _resident_mib(
        subprocess.run([sys.executable, "-c", BARE_IMPORTS], capture_output=True, text=True, check=True).stdout
    )
    over = resident - imports
    note = f"the daemon {resident:.1f} MiB, its bare imports {imports:.1f} MiB"
    return [
        Figure("daemon memory with 4,000 files, over its imports", over, "MiB", None, "", None,
               "<= 35 MiB", over <= 35, (resident, imports), note)
    ]  # fmt: skip


def _mirror_of_4000(here: World, machine: Machine) -> None:
    here.fill(here.workspace(machine, "w"), 0, FILES)
    machine.run("mount", "w", here.place / "root", within_s=120)
    until_current(machine, FILES)


def _resident_mib(status: str) -> float:
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024
