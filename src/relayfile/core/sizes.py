"""Numbers of bytes as people write them."""

import re
from typing import Final

from relayfile.errors import UsageError

_WRITTEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_MOST: Final = 2**62


LEAST_RATE: Final = 10_000


def rates_of(text: str) -> tuple[int, int]:
    """(up, down) bytes a second that `text` means: `2M` for both, or `500k/2M`; `0` or `unlimited` is 0: no limit.

    Raises:
        UsageError: it is none of these, or so little that nothing would get through.
    """
    up, _, down = text.partition("/")
    rates = [0 if one.strip() == "unlimited" else bytes_of(one) for one in (up, down or up)]
    if any(0 < rate < LEAST_RATE for rate in rates):
        raise UsageError(f"a bandwidth of {text} is too little. Nothing was changed.", hint="at least 10k, or 0")
    return rates[0], rates[1]


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
