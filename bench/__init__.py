"""The benchmark: each figure of the product beside its floor, measured in the same run on the same machine (R39)."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # real servers and machines are started the way the tests start them
