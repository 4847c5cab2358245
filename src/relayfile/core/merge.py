"""What to do with one path, given what was last agreed, what lies on the disk, and what the server has.

Pure: no I/O, no clock, no randomness. The whole policy of the mirror is the function `decide`; `plan` only sorts
its answers into the order in which they may be done.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from relayfile.core import lines
from relayfile.model import SYMLINK, Digest, TreePath, Version


@dataclass(frozen=True, slots=True)
class Trees:
    """The three states of one path. None is absent. A local version has revision 0."""

    path: TreePath
    base: Version | None
    local: Version | None
    remote: Version | None


@dataclass(frozen=True, slots=True)
class Keep:
    """All three agree, or the path is nowhere."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Both sides hold the same; only the record of it (base) lags."""


@dataclass(frozen=True, slots=True)
class Download:
    """The local path shall hold the remote version."""

    version: Version


@dataclass(frozen=True, slots=True)
class RemoveLocal:
    """The local path shall be absent."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The server shall hold the local content, if its path is still at revision `over`; 0: if it is absent."""

    over: int


@dataclass(frozen=True, slots=True)
class RemoveRemote:
    """The server's path shall be absent, if it is still at revision `over`."""

    over: int


@dataclass(frozen=True, slots=True)
class KeepBoth:
    """The local content is set aside as a conflict copy; the path shall hold the remote version."""

    theirs: Version


@dataclass(frozen=True, slots=True)
class Combine:
    """The local path shall hold `body`, the text with both edits, in place of `KeepBoth`.

    It is an edit of `theirs`, whose revision `version` bears.
    """

    theirs: Version
    version: Version
    body: bytes


Decided: TypeAlias = Keep | Adopt | Download | RemoveLocal | Upload | RemoveRemote | KeepBoth
Action: TypeAlias = Decided | Combine


def decide(base: Version | None, local: Version | None, remote: Version | None) -> Decided:
    """The one right next step for a path: nothing unsaved is overwritten (I9), nothing deleted unasked (I8)."""
    if _same(local, remote):
        return Keep() if remote == base else Adopt()
    if _same(local, base):  # the disk was not touched
        return RemoveLocal() if remote is None else Download(remote)
    if remote is None:  # they deleted or never had it, we edited: an edit beats a delete
        return Upload(over=0)
    if local is None:
        return RemoveRemote(over=remote.revision) if _same(base, remote) else Download(remote)
    if _same(base, remote):  # the server still has what we started from
        return Upload(over=remote.revision)
    if local.digest == remote.digest:  # the modes differ: the remote one wins (R31)
        return Download(remote)
    if base is not None and local.digest == base.digest:  # we changed only the mode: no bytes of ours to lose
        return Download(remote)
    return KeepBoth(remote)


def mergeable(base: Version | None, local: Version, theirs: Version) -> bool:
    """Whether a merge of the three by lines may be tried: each a file, and none too long."""
    sides = (base, local, theirs)
    return all(one is not None and one.mode != SYMLINK and one.size <= lines.MOST_BYTES for one in sides)


def combine(base: Version, local: Version, theirs: Version, bodies: tuple[bytes, bytes, bytes]) -> Combine | None:
    """Both edits in one, when no line was changed on both sides; a mode that one side changed is changed."""
    merged = lines.merge_bodies(*bodies)
    if merged is None:
        return None
    mode = theirs.mode if local.mode == base.mode else local.mode
    version = Version(theirs.revision, Digest(sha256(merged).digest()), len(merged), mode)
    return Combine(theirs, version, merged)


def _same(one: Version | None, other: Version | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.digest == other.digest and one.mode == other.mode


def order(decided: Iterable[tuple[Trees, Action]]) -> list[tuple[Trees, Action]]:
    """The order in which a batch may be done: a removal before the placements that need its name, then the files
    as the log has them, then the other removals, deepest first.

    A file `a` must go before `a/b` can be placed, and everything below `a/` before `a` can be.
    """
    batch = list(decided)
    placed = {trees.path for trees, action in batch if isinstance(action, Download | KeepBoth | Combine)}
    folders = {folder for path in placed for folder in ancestors(path)}
    first, places, last = [], [], []
    for entry in batch:
        trees, action = entry
        if not isinstance(action, RemoveLocal):
            places.append(entry)
        elif trees.path in folders or any(folder in placed for folder in ancestors(trees.path)):
            first.append(entry)
        else:
            last.append(entry)
    places.sort(key=_revision)
    deepest_first = sorted(last, key=lambda entry: -entry[0].path.count("/"))
    return [*first, *places, *deepest_first]


def ancestors(path: str) -> Iterable[str]:
    """Every folder above `path`, nearest first."""
    while (slash := path.rfind("/")) > 0:
        path = path[:slash]
        yield path


def _revision(entry: tuple[Trees, Action]) -> int:
    remote = entry[0].remote
    return 0 if remote is None else remote.revision
