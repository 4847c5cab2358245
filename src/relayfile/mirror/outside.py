"""What lies on disk for readers outside: `.relay/state.json` in the root, and the last picture for a later `status`.

There is one writer, and it writes each as a whole. Neither is truth, so neither is synced, and a full disk is no
reason to stop.
"""

import contextlib
import json
import os
from collections.abc import Callable
from typing import Final, Self

from relayfile.credentials.home import Home
from relayfile.mirror import status
from relayfile.mirror.beneath import Beneath
from relayfile.wire import control, state_file
from relayfile.wire.control import Fragment

STATE: Final = "state.json"
_AT_ONE: Final = frozenset({"live", "pending", "conflict"})


class StateFile:
    """Both files, kept as the mirror goes while it is entered; on leaving they say that it has stopped."""

    def __init__(
        self, home: Home, beneath: Beneath, fragment: Callable[[], Fragment], now: Callable[[], float]
    ) -> None:
        self._home = home
        self._beneath = beneath
        self._fragment = fragment
        self._now = now
        self._started_at = now()
        self._succeeded_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, raised: BaseException | None, __: object) -> None:
        seen = self._fragment()
        seen["state"] = "stopped"
        seen["cause"] = status.ending(raised)
        seen["connection"] = "none"
        seen["pid"] = None
        self.write(seen)

    def write(self, seen: Fragment) -> None:
        """Both files say what `seen` says."""
        now = self._now()
        if seen["state"] in _AT_ONE:
            self._succeeded_at = now
        succeeded_at = self._succeeded_at
        content = state_file.content(
            seen,
            now=control.timestamp(now) or "",
            succeeded_at=control.timestamp(succeeded_at),
            succeeded_age_s=None if succeeded_at is None else now - succeeded_at,
            started_at=control.timestamp(self._started_at) or "",
        )
        with contextlib.suppress(OSError):
            status.save_last(self._home, seen)
        with contextlib.suppress(OSError):
            self._publish(json.dumps(content, indent=1).encode() + b"\n")

    def _publish(self, content: bytes) -> None:
        part, folder = f"{STATE}.part", self._beneath.private
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(part, flags, 0o644, dir_fd=folder)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        os.rename(part, STATE, src_dir_fd=folder, dst_dir_fd=folder)
