"""What an edit costs on its way: one file or a set from mirror to mirror, a burst of new ones to the server."""

import contextlib
import socket
import statistics
import tempfile
import time
from pathlib import Path

from bench import bare
from bench.figures import Figure, percentile
from bench.world import BODY_BYTES, FILES, World, body, path, world

EDITS = 200
SETS = 100
SET_FILES = 11
BURSTS = 5
WARMING = 5
QUIET_S = 0.15
RELAY_FLOOR = "read, sha256, send over loopback, one FULL commit, stage, fdatasync, rename, fsync of the folder"


def edit() -> list[Figure]:
    """From mirror A until it can be read in mirror B: one edit, and a set of 11 files that were written together.

    A file that was written less than 0.1 s ago is looked at only when it was left alone for 5 ms, so edits of one
    file right behind each other are a figure of their own.
    """
    with world() as here:
        root_a, root_b = _two_mirrors(here)
        ones = _samples(root_a, root_b, EDITS, 1, QUIET_S)
        sets = _samples(root_a, root_b, SETS, SET_FILES, QUIET_S)
        in_a_row = percentile(row := _samples(root_a, root_b, EDITS, 1, 0), 0.5)
    floor, set_floor = _bare_edits(1), _bare_edits(SET_FILES)
    p50, p95 = percentile(ones, 0.5), percentile(ones, 0.95)
    bare50, bare95 = percentile(floor, 0.5), percentile(floor, 0.95)
    set50, bare_set = percentile(sets, 0.5), percentile(set_floor, 0.5)
    return [
        Figure(f"edit A to B, p50 of {EDITS}", p50, "ms", bare50, RELAY_FLOOR, p50 / bare50,
               "<= 10 ms", p50 <= 10, ones),
        Figure(f"edit A to B, p95 of {EDITS}", p95, "ms", bare95, "", p95 / bare95, "<= 30 ms", p95 <= 30),
        Figure(f"{SET_FILES} files A to B, p50 of {SETS}", set50, "ms", bare_set, "the same, in one commit",
               set50 / bare_set, "<= 25 ms", set50 <= 25, sets),
        Figure("edits of one file in a row, p50", in_a_row, "ms", bare50, "", in_a_row / bare50, "", True, row),
    ]  # fmt: skip


def _two_mirrors(here: World) -> tuple[Path, Path]:
    one, other = here.machine(), here.machine()
    here.workspace(one, "w")
    roots = here.place / "a", here.place / "b"
    for machine, root in zip((one, other), roots, strict=True):
        machine.run("mount", "w", root)
        machine.until_live(root)
    return roots


def _samples(source: Path, target: Path, count: int, files: int, quiet_s: float) -> list[float]:
    """Milliseconds from the first of `files` written in one folder to the last one readable in the other; then both
    are left alone for `quiet_s`.
    """
    names = [f"edit{files}-{number}.txt" for number in range(files)]
    samples = []
    for number in range(count + WARMING):
        wanted = f"{number} ".encode() * 50
        began = time.perf_counter()
        for name in names:
            (source / name).write_bytes(wanted)
        for name in names:
            _until_holds(target / name, wanted)
        samples.append((time.perf_counter() - began) * 1000)
        time.sleep(quiet_s)
    return samples[WARMING:]


def _until_holds(place: Path, wanted: bytes) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(FileNotFoundError):
            if place.read_bytes() == wanted:
                return
        assert time.monotonic() < deadline, "it did not arrive within 30 s"
        time.sleep(0.0005)


def _bare_edits(files: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="rf-bare-") as folder:
        target = Path(folder) / "target"
        target.mkdir()
        with (
            bare.child(bare.RELAY, folder, str(target), str(files)) as port,
            socket.create_connection(("127.0.0.1", port)) as to,
        ):
            to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return [bare.edit(to, Path(folder) / "source", number, files) for number in range(EDITS)]


def burst() -> list[Figure]:
    """4,000 new files appear in a live mirror; until the server has them all."""
    took: list[float] = []
    floor: list[float] = []
    with world() as here:
        machine = here.machine()
        workspace, root = here.workspace(machine, "w"), here.place / "root"
        machine.run("mount", "w", root)
        machine.until_live(root)
        http = here.server.observer()
        for number in range(BURSTS):
            began = time.perf_counter()
            write_new(root / f"burst{number}")
            while http.ok("GET", f"/v1/workspaces/{workspace}/fs/digest")["position"] < (number + 1) * FILES:
                assert time.perf_counter() - began < 120, machine.evidence()
                time.sleep(0.02)
            took.append(time.perf_counter() - began)
            machine.until_live(root)
            floor.append(bare.send_all(here.place / f"bare{number}", write_new))
        http.close()
    rates = [FILES / one for one in took]
    rate, bare_rate = statistics.median(rates), FILES / statistics.median(floor)
    return [
        Figure(f"{FILES:,} new local files, until the server has them", rate, "files/s", bare_rate, bare.SENDING,
               rate / bare_rate, ">= 1,500 files/s", rate >= 1500, rates)
    ]  # fmt: skip


def write_new(root: Path) -> list[Path]:
    """The 4,000 files, in 40 folders."""
    written = []
    for number in range(FILES):
        target = root / path(number)[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body(number)[:BODY_BYTES].encode())
        written.append(target)
    return written
