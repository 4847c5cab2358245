"""`./dev bench [NAME…]`: measure, print a table, write bench/results.json. Nothing else should run meanwhile."""

import json
import os
import platform
import sys
import time

from bench import ROOT, command, mirror, server, sessions
from bench.figures import Figure, table

MEASURES = {
    "status": command.status,
    "bootstrap": mirror.bootstrap,
    "backlog": mirror.backlog,
    "edit": mirror.edit,
    "memory": mirror.memory,
    "writes": server.writes,
    "token": sessions.token,
    "crowd": sessions.crowd,
    "waking": sessions.waking,
}


def main() -> int:
    """All figures asked for were measured; 1 when one misses its goal."""
    wanted = sys.argv[1:] or list(MEASURES)
    if unknown := set(wanted) - set(MEASURES):
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in wanted:
        began = time.monotonic()
        print(f"measuring {name} …", end=" ", file=sys.stderr, flush=True)
        figures += MEASURES[name]()
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    results = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "figures": [figure.row() for figure in figures],
    }
    (ROOT / "bench" / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(table(figures))
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
