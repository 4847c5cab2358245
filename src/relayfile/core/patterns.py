"""Path patterns as a socket's `?path=` gives them: `*` is any part of one segment, `**` any number of segments.

Matching costs at most names times segments of the pattern, whatever the pattern: one reader's pattern must not be
able to hold up everyone's server, as it could with one regular expression for the whole path.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from relayfile.errors import UsageError
from relayfile.model import MAX_PATH_BYTES

MAX_PATTERNS: Final = 64
_Segment: TypeAlias = Callable[[str], object] | None
"""Whether one name fits; None is `**`."""


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path fits one of `patterns`; with none of them, or with `/`, every path does.

    `**` stands for at least one segment; at the end of a pattern it also stands for the folder itself.

    Raises:
        UsageError: code `invalid_pattern`: too many, or one that is longer than any path.
    """
    if len(patterns) > MAX_PATTERNS or any(len(pattern) > MAX_PATH_BYTES for pattern in patterns):
        raise UsageError(
            f"at most {MAX_PATTERNS} path patterns, each of at most {MAX_PATH_BYTES} characters",
            code="invalid_pattern",
        )
    if not patterns or "/" in patterns:
        return lambda _: True
    wanted = [[_segment(part) for part in pattern.strip("/").split("/")] for pattern in patterns]
    return lambda path: any(_fits(each, path.split("/")) for each in wanted)


def _segment(pattern: str) -> _Segment:
    if pattern == "**":
        return None
    if "*" not in pattern:
        return pattern.__eq__
    # The library's expression never tries a star twice; only `*` is special to us.
    literal = re.sub(r"[\[?]", r"[\g<0>]", re.sub(r"\*+", "*", pattern))
    return re.compile(fnmatch.translate(literal)).match


def _fits(wanted: Sequence[_Segment], names: Sequence[str]) -> bool:
    """Whether the names can be read as the wanted segments, following every reading at once."""
    reached = {0}
    for name in names:
        after = set()
        for at in reached:
            if at == len(wanted):
                continue
            segment = wanted[at]
            if segment is None:
                after |= {at, at + 1}
            elif segment(name):
                after.add(at + 1)
        reached = after
    return len(wanted) in reached or (wanted[-1] is None and len(wanted) - 1 in reached)
