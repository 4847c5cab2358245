"""One thing that happened in a mirror, in the words of `relayfile watch`."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from relayfile.mirror.picture import Cause, StateWord
from relayfile.model import TreePath

Kind: TypeAlias = Literal[
    "placed", "removed", "merged", "uploaded", "deleted_remotely", "conflict", "refused", "state", "lost"
]


@dataclass(frozen=True, slots=True)
class Event:
    """One change that was applied or sent, durably; or a new state; or how many events were left out (`count`).

    `revision` is the one the path is at by it; for `refused` the one that could not be placed, or was edited.
    """

    kind: Kind
    path: TreePath | None = None
    revision: int | None = None
    state: StateWord | None = None
    cause: Cause | None = None
    count: int | None = None
    at_s: float = 0.0
