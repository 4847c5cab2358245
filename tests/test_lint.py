"""ruff, its formatter and mypy --strict are part of the ordinary test run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("words", [("ruff", "check", "--quiet"), ("ruff", "format", "--check", "--quiet"), ("mypy",)])
def test_the_tree_is_clean_under(words):
    ran = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
