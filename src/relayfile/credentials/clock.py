"""The clocks a login lives by: the one people set, and the one that counts through sleep and that nobody sets."""

import time
from functools import cached_property
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests can own it."""

    @property
    def boot_id(self) -> str:
        """The boot from which `boottime` counts; empty when it cannot be told from another."""

    def wall(self) -> float:
        """Unix seconds; may jump either way."""

    def boottime(self) -> float:
        """Seconds since boot, sleep included; never jumps."""

    def sleep(self, seconds: float) -> None:
        """Returns `seconds` later."""


class SystemClock:
    """The clocks of this machine."""

    @cached_property
    def boot_id(self) -> str:
        """As the kernel says; empty where it does not, and then only the wall clock counts across processes."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()
        except OSError:
            return ""

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def boottime(self) -> float:
        """`CLOCK_BOOTTIME`; where there is none, `CLOCK_MONOTONIC` counts sleep itself (macOS)."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    def sleep(self, seconds: float) -> None:
        """Returns `seconds` later."""
        time.sleep(seconds)
