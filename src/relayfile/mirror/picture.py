"""What anyone may know of a running mirror: one frozen picture, and the state word derived from it (R36)."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

StateWord: TypeAlias = Literal[
    "stopped",
    "damaged",
    "halted",
    "auth-failed",
    "config-error",
    "offline",
    "bootstrapping",
    "catching-up",
    "conflict",
    "pending",
    "live",
    "paused",
]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the state is what it is: one code for programs, one sentence for people."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the filling or catching up is. `rate` is files a second over the last seconds; totals may grow."""

    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Contents since the daemon began: fetched by their digest, in so many bytes; copied from what lay on this disk
    already; and damaged on their way, so that they were thrown away.
    """

    fetched: int = 0
    fetched_bytes: int = 0
    reused: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A mirror at one moment.

    `equal` is True when both trees were compared by digest at `observed` and nothing moved since, None while that
    is not known, False when they were compared and differ. `proven_at` (unix seconds) is when they last were equal.
    `applied` is the position up to which everything is on the disk; refused paths are skipped and listed in
    `not_kept`, each with its reason, as many of the `not_kept_count` as can be listed. `local_names` are those paths,
    each with its name here, that the file system cannot hold under their own.
    """

    state: StateWord
    cause: Cause | None = None
    head: int = 0
    observed: int = 0
    applied: int = 0
    equal: bool | None = None
    proven_at: float | None = None
    pending_edits: int = 0
    conflicts: int = 0
    not_kept: tuple[tuple[str, str], ...] = ()
    not_kept_count: int = 0
    local_names: tuple[tuple[str, str], ...] = ()
    held_deletions: int = 0
    engine_starts: int = 0
    cycles: int = 0
    cycles_cancelled: int = 0
    mismatches: int = 0
    mismatched_at: float | None = None
    progress: Progress = field(default_factory=Progress)
    last_error: Cause | None = None
    bootstrapping: bool = False
    connection: str = "connecting"
    traffic: Traffic = field(default_factory=Traffic)
    paused: bool = False
