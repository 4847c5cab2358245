"""The mirror's memory: SQLite outside the mirror (5-sync A.1). Each public method is one transaction."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """What this state belongs to. Any other workspace, server or root than these must not meet it (R33)."""

    mirror: str
    workspace: str
    server: str
    root_dev: int
    root_ino: int


class State:
    """Three trees, the cursor, intents and conflicts of one mirror."""

    @classmethod
    def open(cls, path: Path, identity: Identity) -> "State":
        """The state at `path`, made if it was not there.

        Raises:
            Misconfigured: it belongs to another workspace, server or root.
            Damaged: it is no state of ours, or of a newer relayfile.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Everything is in the file."""
        raise NotImplementedError
