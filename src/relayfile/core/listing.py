"""The folders and files below a path, in byte order of their paths, out of nothing but the sorted file paths.

Folders are implied by paths, so a folder has to be told before the file that proves it: `a` stands before `a-b` and
`a.txt` although `a/x` comes after both. Only names with a character below `/` can hide such a folder, and for those
it is looked up.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from relayfile.model import TreePath

Paths: TypeAlias = Callable[[str, str | None], Iterator[TreePath]]
"""The file paths from the first argument up to, not including, the second (None: to the end), in byte order."""

_AFTER_SLASH = "0"  # the character behind "/"


def bounds(folder: str) -> tuple[str, str | None]:
    """Where the paths below `folder` ("" is the root) begin and end."""
    return (folder + "/", folder + _AFTER_SLASH) if folder else ("", None)


def entries(folder: str, depth: int, after: str, paths: Paths) -> Iterator[tuple[str, bool]]:
    """(path, is a folder) of everything below `folder` to `depth` levels, behind the entry `after` ("" for all).

    Work is proportional to what is told, not to what lies deeper.
    """
    first, end = bounds(folder)
    told = after
    rest = paths(max(first, after + "\0") if after else first, end)
    while (path := next(rest, None)) is not None:
        hidden = None
        level = 0
        for at in range(len(first), len(path)):
            if path[at] > "/":
                continue
            candidate = path[:at]
            if candidate > told and path[at - 1] != "/" and (path[at] == "/" or _exists(candidate, paths)):
                yield candidate, True
                told = candidate
            if path[at] == "/":
                level += 1
                if level == depth:
                    hidden = candidate
                    break
        if hidden is not None:
            rest = paths(hidden + _AFTER_SLASH, end)
        elif path > told:
            yield path, False
            told = path


def _exists(folder: str, paths: Paths) -> bool:
    return next(paths(*bounds(folder)), None) is not None
