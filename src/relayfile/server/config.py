"""Every setting of the server: frozen values in groups, read once where the process begins.

Nothing else in the server reads the environment or the command line.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relayfile.errors import UsageError

MIB: Final = 1_048_576
_UNITS_S: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def duration_s(text: str) -> float:
    """The seconds that `text` means: `3s`, `30m`, `90d`, `1.5h`, `250ms`, or a bare number of seconds.

    Raises:
        UsageError: it is none of these.
    """
    if not (found := _DURATION.fullmatch(text.strip().lower())):
        raise UsageError(f"not a duration: {text!r}", hint="write a number and a unit, such as 30s, 30m, 12h or 90d")
    return float(found[1]) * _UNITS_S[found[2]]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the server listens. `port` 0 lets the system choose one.

    `public_url` is how clients reach it when that is not `http://host:port` (a proxy, another name);
    `ready_file`, when given, holds the actual address once the server really listens.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    ready_file: Path | None = None


def host_and_port(text: str) -> tuple[str, int]:
    """The two halves of `HOST:PORT`, `[V6]:PORT` or `:PORT` (every interface).

    Raises:
        UsageError: no port, or one that is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UsageError(f"not an address to listen at: {text!r}", hint="write HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - the caller asked for every interface


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that an unattended first start creates; ignored, with a notice, when accounts exist (R45)."""

    name: str | None = None
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long each token lives, in seconds (R7). `refresh_overlap_s` 0 behaves like a strict cloud (R2)."""

    access_ttl_s: float = 1_800.0
    refresh_ttl_s: float = 30 * 86_400.0
    absolute_ttl_s: float = 90 * 86_400.0
    refresh_overlap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest JSON body and the largest streamed file, in bytes, and how long tombstones are kept (R24).

    `prune_tombstones_days` None keeps them for ever.
    """

    body_bytes: int = 16 * MIB
    file_bytes: int = 1_024 * MIB
    prune_tombstones_days: float | None = None


@dataclass(frozen=True, slots=True)
class Logs:
    """Where the access log goes, one JSON object a line: DATA/access.log, or stderr, or nowhere."""

    access: bool = True
    to_stderr: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What one server process runs with. `data` holds everything it must not lose; `keys` is DATA/keys by default."""

    data: Path
    keys: Path | None = None
    listen: Listen = field(default_factory=Listen)
    owner: Owner = field(default_factory=Owner)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    limits: Limits = field(default_factory=Limits)
    logs: Logs = field(default_factory=Logs)

    @property
    def keys_dir(self) -> Path:
        """The folder of the server's keys."""
        return self.keys or self.data / "keys"
