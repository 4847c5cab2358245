"""Numbers of bytes as people write them."""

import re
from typing import Final

from relayfile.errors import UsageError

_WRITTEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_MOST: Final = 2**62


def bytes_of(text: str) -> int:
    """The bytes that `text` means: `500k`, `2M`, `1.5G`, or a bare number. A k is 1,000, as everywhere in relayfile.

    Raises:
        UsageError: it is none of these.
    """
    found = _WRITTEN.fullmatch(text.strip())
    count = int(float(found[1]) * _UNITS[found[2].lower()]) if found else _MOST
    if count >= _MOST:
        raise UsageError(f"not a size: {text[:40]!r}. Nothing was changed.", hint="such as 500k, 2M, 1.5G")
    return count
