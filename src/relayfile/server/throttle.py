"""How often someone may try. Counts in memory: a restart forgives, which an attacker cannot cause."""

import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

from relayfile.errors import Unavailable

_MAX_KEYS: Final = 10_000


class Throttle:
    """At most `limit` counted attempts in any `window_s` seconds, for each key."""

    def __init__(self, limit: int, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._attempts: dict[Hashable, deque[float]] = {}

    def wait_s(self, *keys: Hashable) -> float:
        """The seconds until all of `keys` may try again; 0 is now."""
        now = self._clock()
        wait_s = 0.0
        for key in keys:
            seen = self._attempts.get(key)
            while seen and seen[0] <= now - self._window_s:
                seen.popleft()
            if seen is not None and len(seen) >= self._limit:
                wait_s = max(wait_s, seen[0] + self._window_s - now)
        return wait_s

    def check(self, *keys: Hashable) -> None:
        """None of `keys` has used up its attempts.

        Raises:
            Unavailable: 429 `rate_limited`, with the seconds until the next attempt is free.
        """
        if wait_s := self.wait_s(*keys):
            raise Unavailable(
                "too many attempts; wait before the next one",
                code="rate_limited",
                status=429,
                retry_after_s=max(1.0, wait_s),
            )

    def count(self, *keys: Hashable) -> None:
        """One more attempt by each of `keys`."""
        now = self._clock()
        for key in keys:
            if len(self._attempts) >= _MAX_KEYS and key not in self._attempts:
                self._forget(now)
            self._attempts.setdefault(key, deque(maxlen=self._limit)).append(now)

    def _forget(self, now: float) -> None:
        """Keys whose attempts are all old are gone; when that frees too little, so are the ones seen first."""
        for key in [key for key, seen in self._attempts.items() if not seen or seen[-1] <= now - self._window_s]:
            del self._attempts[key]
        for key in list(self._attempts)[: max(0, len(self._attempts) - _MAX_KEYS + _MAX_KEYS // 10)]:
            del self._attempts[key]
