"""The push intents: what an answer of the server, or the death of the process, means for an edit that was sent.

A local edit is recorded the moment it is seen, as a local row that differs from base; edits of one path therefore
coalesce by themselves. It becomes an `Entry` only when its content is frozen for sending (R29): from then on the
entry never changes, and a later edit of the path becomes a new entry over this one's outcome.
"""

from dataclasses import dataclass
from typing import TypeAlias

from relayfile.model import TreePath, Version


@dataclass(frozen=True, slots=True)
class Entry:
    """One edit on its way. `version` (revision 0) is what was sent, None a deletion. `key` makes it happen once."""

    key: str
    path: TreePath
    over: int
    version: Version | None


@dataclass(frozen=True, slots=True)
class Agreed:
    """Base becomes `version` at `revision` (None: absent there): both sides held it at that moment."""

    revision: int
    version: Version | None


@dataclass(frozen=True, slots=True)
class Resend:
    """The same request goes out again under the same key: it is answered as the first one was."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody can tell yet whether it was written; the observation up to the head will."""


@dataclass(frozen=True, slots=True)
class Drop:
    """It was not written, or what was written has been observed by another name: plan the path anew."""


Fate: TypeAlias = Agreed | Resend | Wait | Drop


def stored(entry: Entry, revision: int) -> Agreed:
    """What is agreed once the server said that it wrote `entry` as `revision`."""
    if entry.version is None:
        return Agreed(revision, None)
    sent = entry.version
    return Agreed(revision, Version(revision, sent.digest, sent.size, sent.mode))


def after_restart(entry: Entry, local: Version | None, remote: Version | None, *, observed: bool) -> Fate:
    """What becomes of an entry that was sent by a process that died before it heard the answer.

    The remote tree may show it already; else, while the file still holds what was sent, it is sent again under its
    key. A file edited since cannot be: then only the observation up to the head tells whether it was written.
    """
    if remote is not None and remote.revision > entry.over and remote.same_content(entry.version):
        return Agreed(remote.revision, remote)
    if entry.version is None:
        return Resend() if local is None else _by_observation(observed)
    if entry.version.same_content(local):
        return Resend()
    return _by_observation(observed)


def _by_observation(observed: bool) -> Wait | Drop:
    return Drop() if observed else Wait()
