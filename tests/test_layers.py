"""Who may know whom, and who may touch the world."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "relayfile"

PURE = sorted((SOURCE / "core").glob("*.py"))
WORLD = {
    *("asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "socket", "selectors", "http", "urllib"),
    *("time", "random", "secrets", "logging", "os", "shutil", "tempfile", "pathlib", "io", "sqlite3", "apsw"),
    *("aiohttp", "starlette", "uvicorn", "watchfiles", "asyncinotify"),
}
"""What a decision must not know: files, network, processes, clocks, chance, logs."""

PROCESS_LIFE = {"daemon.py", "launch.py"}
"""The mirror's modules that are about processes: the one that wires a daemon, and the one that starts it."""

PORTABLE = sorted(path for path in (SOURCE / "mirror").glob("*.py") if path.name not in PROCESS_LIFE)
STARTS_WORK = {"create_task", "ensure_future", "TaskGroup", "to_thread", "run_in_executor", "Thread", "Timer"}
STARTS_WORK |= {"ThreadPoolExecutor", "ProcessPoolExecutor", "gather"}
CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.sleep"),
    *("time.clock_gettime", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"),
    *("asyncio.sleep", "asyncio.timeout", "asyncio.wait_for"),
}

READS_ENVIRONMENT = {
    "credentials/home.py": "RELAYFILE_HOME, once",
    "credentials/machine.py": "RELAYFILE_TOKEN and its like",
    "credentials/stash.py": "the XDG folders where a successor may be put aside",
    "server/config.py": "the server's settings",
    "cli/boot.py": "RELAYFILE_HOME on the path that must not import credentials/",
    "cli/terminal.py": "the width and the colours of the terminal",
    "mirror/launch.py": "what the daemon inherits",
}
"""Modules that may read `os.environ`, each with what for."""


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def world_faults(source: str) -> list[str]:
    return sorted({name for name in imported(source) if name.partition(".")[0] in WORLD})


def portability_faults(source: str) -> list[str]:
    """Calls by which a module would make its own task or thread, or read a clock nobody gave it (R37)."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in CLOCKS or name.rpartition(".")[2] in STARTS_WORK:
                found.append(f"line {node.lineno}: {name}()")
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "threading", "concurrent.futures"}:
            found.append(f"line {node.lineno}: from {node.module} import …")
    return found


def test_every_module_imports_only_from_its_own_package_or_from_below():
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
            "--no-logo",
        ],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 kept" in ran.stdout or "kept, 0 broken" in ran.stdout, ran.stdout


@pytest.mark.parametrize("module", PURE, ids=lambda path: path.name)
def test_a_decision_knows_no_file_no_network_no_clock_and_no_chance(module):
    assert not world_faults(module.read_text())


@pytest.mark.parametrize("module", PORTABLE, ids=lambda path: path.name)
def test_below_the_daemon_nothing_starts_tasks_or_threads_or_reads_a_clock(module):
    assert not portability_faults(module.read_text())


def test_the_environment_is_read_only_where_settings_are_made():
    readers = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if any(
            dotted(node) in {"os.environ", "os.getenv", "os.environb"} if isinstance(node, ast.Attribute) else False
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert not readers - set(READS_ENVIRONMENT)


def test_the_gate_itself_sees_each_kind_of_fault():
    assert world_faults("import time\nfrom os import path\nimport asyncio.events\n") == [
        "asyncio.events",
        "os",
        "os.path",
        "time",
    ]
    assert portability_faults("import asyncio\nasync def f():\n    asyncio.create_task(g())\n")
    assert portability_faults("import time\nx = time.monotonic()\n")
    assert portability_faults("from time import monotonic\n")
    assert not portability_faults("async def f(clock):\n    await clock.sleep(1)\n    return clock.monotonic()\n")
