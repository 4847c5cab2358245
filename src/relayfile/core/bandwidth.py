"""How long bytes wait, so that no more than a rate goes by: a bucket that fills with the clock it is told."""

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Lets `rate` bytes a second by, and after a pause `burst` bytes at once.

    Over any time t at most rate * t + burst bytes go by, as long as nobody takes more than `burst` in one piece.
    """

    rate: float
    burst: float
    _paid_s: float = float("-inf")  # when everything taken so far is paid for

    def take(self, count: int, now_s: float) -> float:
        """For how many seconds these bytes are to wait. Who takes first goes first."""
        self._paid_s = max(self._paid_s, now_s - self.burst / self.rate) + count / self.rate
        return max(0.0, self._paid_s - now_s)
