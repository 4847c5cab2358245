"""Which conflicts there are, and which of them a person names by the path or by the copy."""

import json
from collections.abc import Sequence

from relayfile.cli import mirrors
from relayfile.credentials.home import Home
from relayfile.errors import NotFound
from relayfile.mirror.registry import Record
from relayfile.wire import control
from relayfile.wire.control import Conflict

_SHOWN = 8
_ANSWER_WITHIN_S = 30.0


def of(home: Home, record: Record) -> list[Conflict]:
    """The open conflicts of a mirror, oldest first.

    Raises:
        Unavailable: as `mirrors.ask`.
    """
    answer = mirrors.ask(home, record, "GET", control.CONFLICTS, _ANSWER_WITHIN_S)
    found: list[Conflict] = json.loads(answer.body())
    return found


def named(home: Home, word: str) -> tuple[Record, list[Conflict]]:
    """The mirror, and its conflicts that `word` names: a path or a copy, as the shell or the workspace names it.

    Raises:
        NotFound: code `no_conflict`: it names none; the hint names those there are.
        UsageError, Unavailable: as `mirrors`.
    """
    record, path = mirrors.meant(home, word)
    known = of(home, record)
    found = [one for one in known if path in {one["path"], one["copy"]}]
    if not found:
        raise none_there(record, path, known)
    return record, found


def none_there(record: Record, path: str, known: Sequence[Conflict]) -> NotFound:
    """The failure that says that `path` is no conflict, and which are."""
    there = ", ".join(one["path"] for one in known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    return NotFound(
        f"{path} is no conflict of {record.directory}. Nothing was changed.",
        code="no_conflict",
        hint=f"those there are: {there}" if known else "there is none: `relayfile status` shows the mirror",
    )
