"""Which of the contents that a mirror took off its disk a person means, when they want some of it back.

The words: *when* is the moment at which it was taken, and before that it lay at its path. A folder means the files
below it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from relayfile.model import Digest, Mode, TreePath

Why: TypeAlias = Literal["replaced", "deleted", "merged", "resolved", "made_way", "restored"]
"""What took it: a newer version of the workspace, a deletion there, a merge, a person who settled a conflict, a
folder of the workspace in its place, a person who brought another content back to the path.
"""
KEEP_S: Final = 7 * 86_400.0
MOST_BYTES: Final = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Old:
    """What a mirror knows of content it takes off the disk.

    `revision` is the one under which the server has it, `by` the one that took its place; None: not known.
    """

    why: Why = "replaced"
    digest: Digest | None = None
    revision: int | None = None
    by: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Content that lies in the trash. `name` is the end of its path, which is all that is known where `path` is None.

    `place` is where it lies there.
    """

    id: str
    path: TreePath | None
    name: str
    taken_s: float
    size: int
    mode: Mode
    old: Old
    place: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for: a path (None: everything), of it what lay there at `at_s`, or only what was taken since
    `since_s`; or the one with this `id`.
    """

    path: TreePath | None = None
    id: str | None = None
    at_s: float | None = None
    since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One content that is meant. `if_gone`: only where nothing lies at its path now."""

    kept: Kept
    if_gone: bool


def among(kept: Iterable[Kept], wanted: Wanted) -> list[Kept]:
    """What lay at the path or below it, and was taken since then; in order of when it was taken."""
    found = (one for one in kept if _meant(one, wanted))
    return sorted(found, key=lambda one: (one.taken_s, one.id))


def _meant(one: Kept, wanted: Wanted) -> bool:
    if wanted.id is not None and (one.id != wanted.id or one.path is None):
        return one.id == wanted.id
    if wanted.since_s is not None and one.taken_s < wanted.since_s:
        return False
    path = wanted.path
    return path is None or one.path == path or (one.path is not None and one.path.startswith(f"{path}/"))


def choose(kept: Iterable[Kept], wanted: Wanted) -> list[Choice]:
    """What is to be brought back, each path once.

    Of a file: what was taken last, or what lay there at `at_s`. Of a folder, or everything: with `at_s` the same of
    each file below; without it each file that the workspace deleted last, where nothing came in its place since.
    What made way for such a choice is chosen by `id` and `at_s` alone, so that the same word given again means the
    same.
    """
    found = among(kept, wanted)
    if wanted.id is not None:
        return [Choice(one, if_gone=False) for one in found[-1:]]
    exact = [one for one in found if one.path == wanted.path] if wanted.path is not None else []
    choices: list[Choice] = []
    for every in _by_path(exact or found):
        if wanted.at_s is not None:
            lay_there = [one for one in every if one.taken_s >= wanted.at_s]
            choices += [Choice(one, if_gone=False) for one in lay_there[:1]]
            continue
        last = [one for one in every if one.old.why != "restored"][-1:]
        choices += [Choice(one, if_gone=not exact) for one in last if exact or one.old.why == "deleted"]
    return choices


def _by_path(found: Sequence[Kept]) -> list[list[Kept]]:
    paths: dict[TreePath, list[Kept]] = {}
    for one in found:
        if one.path is not None:
            paths.setdefault(one.path, []).append(one)
    return list(paths.values())
