"""When to try again and when to renew, from (attempt, now, jitter). Pure: the caller brings clock and chance.

`chance` is always a number drawn uniformly from [0, 1).
"""

from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_S: Final = 1.0
EARLY_CAP_S: Final = 60.0
LATE_CAP_S: Final = 300.0
EARLY_S: Final = 600.0
RETRY_AFTER_CAP_S: Final = 900.0
OWNER_SPAN: Final = (0.65, 0.80)
ADVISORY_AT: Final = 0.90
WAKE_GRACE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the steps of one renewal may take (4-sessions B.4). `holder_s` bounds all attempts together."""

    lock_wait_s: float = 30.0
    holder_s: float = 20.0
    connect_s: float = 3.0
    read_s: float = 8.0
    attempts: int = 4
    attempt_pause_s: float = 0.25
    rereads_s: tuple[float, ...] = (1.0, 3.0)


def backoff_s(
    attempt: int, chance: float, *, failing_for_s: float = 0.0, retry_after_s: float | None = None
) -> float:
    """How long to wait after failure number `attempt` (from 1): doubling, capped, with full jitter.

    What the server asked for wins, up to 15 minutes; half a second to it keeps a crowd from returning at once.
    """
    if retry_after_s is not None:
        return min(max(retry_after_s, 0.0), RETRY_AFTER_CAP_S) + 0.5 * chance
    cap = EARLY_CAP_S if failing_for_s < EARLY_S else LATE_CAP_S
    # The exponent is bounded before it is raised: after a week of failures 2**attempt has no float.
    return float(min(cap, FIRST_PAUSE_S * 2 ** min(attempt - 1, 16)) * (0.1 + 0.9 * chance))


def reconnect_s(attempt: int, chance: float, *, retry_after_s: float | None = None) -> float:
    """How long a feed waits before it connects again: at once-ish first, a minute at most."""
    if retry_after_s is not None:
        return backoff_s(attempt, chance, retry_after_s=retry_after_s)
    return float(min(60.0, 0.25 * 2 ** min(attempt - 1, 16)) * (0.5 + 0.5 * chance))


def attempt_pause_s(attempt: int, chance: float, limits: Limits) -> float:
    """The pause after attempt number `attempt` of one renewal: 0.25, 0.5, 1 s, each ±50 %."""
    return float(limits.attempt_pause_s * 2 ** (attempt - 1) * (0.5 + chance))


def owner_point(chance: float) -> float:
    """At which share of its life the owner renews an access token: uniform over 65 to 80 %, once a generation."""
    low, high = OWNER_SPAN
    return low + (high - low) * chance


def mandatory_left_s(lifetime_s: float) -> float:
    """With less than this left a token is not begun to be used (R6)."""
    return min(30.0, 0.05 * lifetime_s)


def refresh_window_s(refresh_life_s: float) -> float:
    """With less than this left of the refresh token the renewal comes as early as R5 allows (R6)."""
    return min(86_400.0, 0.20 * refresh_life_s)
