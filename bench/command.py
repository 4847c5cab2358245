"""What `relayfile status` costs a prompt or a loop, against starting Python at all."""

import statistics
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure, timed
from bench.world import world

RUNS = 30


def status() -> list[Figure]:
    """`relayfile status` with one live mirror, taken in turn with `python -c pass`."""
    with world() as here:
        machine = here.machine()
        here.workspace(machine, "w")
        machine.run("mount", "w", here.place / "root")
        machine.until_live(here.place / "root")
        program = Path(sys.executable).with_name("relayfile")
        ours: list[float] = []
        python: list[float] = []
        for _ in range(RUNS):
            for words, into in (([str(program), "status"], ours), ([sys.executable, "-c", "pass"], python)):
                with timed(into):
                    subprocess.run(words, env=machine.environment(), stdout=subprocess.DEVNULL, check=True)
    measured, floor = statistics.median(ours) * 1000, statistics.median(python) * 1000
    return [
        Figure("relayfile status", measured, "ms", floor, "python -c pass", measured / floor,
               "<= 60 ms over floor", measured - floor <= 60, [one * 1000 for one in ours],
               f"{measured - floor:.1f} ms over its floor")
    ]  # fmt: skip
