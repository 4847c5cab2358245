"""What stands beside the package: `./dev`, and where the benchmark keeps its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLD_PYTHON = """
import runpy, sys
sys.version_info, sys.version, sys.argv = (3, 10, 13, "final", 0), "3.10.13 (main)", ["dev", "--help"]
runpy.run_path("dev", run_name="__main__")
"""


def test_dev_says_which_python_it_needs():
    ran = subprocess.run([sys.executable, "-c", OLD_PYTHON], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "needs Python 3.11 or newer; this is 3.10.13. Nothing was set up." in ran.stderr
    assert "next: " in ran.stderr


def test_measuring_some_figures_keeps_the_others(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    from bench.__main__ import keep
    from bench.figures import Figure

    def figure(name: str, measured: float) -> Figure:
        return Figure(name, measured, "s", None, "", None, "", met=True)

    path = tmp_path / "results.json"
    keep([figure("status", 1.0), figure("edit", 2.0)], path)
    keep([figure("edit", 3.0)], path)
    kept = {row["name"]: row["measured"] for row in json.loads(path.read_text())["figures"]}
    assert kept == {"status": pytest.approx(1.0), "edit": pytest.approx(3.0)}
