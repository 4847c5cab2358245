"""`./dev bench [--large] [NAME…]`: measure, print a table, keep it in bench/results.json. Nothing else should run
meanwhile. `--large` adds what takes minutes: mirrors of 100,000 files.
"""

import compileall
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import ROOT, command, edits, mirror, rest, server, sessions
from bench.figures import Figure, table

MEASURES = {
    "status": command.status,
    "bootstrap": mirror.bootstrap,
    "backlog": mirror.backlog,
    "edit": edits.edit,
    "burst": edits.burst,
    "rest": rest.rest,
    "writes": server.writes,
    "token": sessions.token,
    "crowd": sessions.crowd,
    "waking": sessions.waking,
}
LARGE = {"large": rest.large}


def main() -> int:
    """All figures asked for were measured; 1 when one misses its goal."""
    asked = sys.argv[1:]
    measures = MEASURES | LARGE if "--large" in asked else MEASURES
    wanted = [name for name in asked if name != "--large"] or list(measures)
    if unknown := set(wanted) - set(measures):
        there_are = f"{', '.join(MEASURES)}; with --large also {', '.join(LARGE)}"
        print(f"unknown: {', '.join(sorted(unknown))}; there are {there_are}", file=sys.stderr)
        return 2
    compileall.compile_dir(ROOT / "src", quiet=1)  # as whoever installs it does; processes of tests write no bytecode
    figures: list[Figure] = []
    for name in wanted:
        began = time.monotonic()
        print(f"measuring {name} …", end=" ", file=sys.stderr, flush=True)
        figures += measures[name]()
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    keep(figures, ROOT / "bench" / "results.json")
    print(table(figures))
    return 0 if all(figure.met for figure in figures) else 1


def keep(figures: Sequence[Figure], path: Path) -> None:
    """`path` holds these figures, each with its moment, in place of earlier ones of that name; the others stay."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    measured = {figure.name: {**figure.row(), "at": at} for figure in figures}
    try:
        before = json.loads(path.read_text())
    except FileNotFoundError:
        before = {"figures": []}
    kept = {row["name"]: {"at": before.get("at"), **row} for row in before["figures"]}
    results = {
        "at": at,
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "figures": list((kept | measured).values()),
    }
    path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
