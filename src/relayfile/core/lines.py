"""Three-way merge of text by lines (v1's `three-way-lines-v1`): both sides' edits, or every place where they meet.

Lines are only taken for the same where that cannot be mistaken: at the two ends of the text, and where a line occurs
once on both sides. Repeated lines never pair up by accident, so an edit may look larger than it was, which can make a
conflict, and never smaller, which could lose a line. Work grows with the length of the text, whatever is in it.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 1024 * 1024
"""A file longer than this is not merged by a mirror."""
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Edit:
    """The lines `start` up to `end` of the base became these."""

    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """A place where both sides changed the same lines differently. Lines of the base count from 1."""

    first: int
    last: int
    base: str
    mine: str
    theirs: str


def split(text: str) -> list[str]:
    """The lines of `text`, each with its end."""
    return _LINE.findall(text)


def merge(base: str, mine: str, theirs: str) -> str | list[Clash]:
    """`base` with the edits of both sides; every clash when there is one."""
    lines = split(base)
    both = [(edit, True) for edit in edits(lines, split(mine))]
    both += [(edit, False) for edit in edits(lines, split(theirs))]
    both.sort(key=lambda one: (one[0].start, one[0].end))
    merged: list[str] = []
    clashes: list[Clash] = []
    at = 0
    for group in _touching(both):
        start, end = group[0][0].start, max(edit.end for edit, _ in group)
        ours = _applied(lines, start, end, [edit for edit, is_mine in group if is_mine])
        other = _applied(lines, start, end, [edit for edit, is_mine in group if not is_mine])
        before = "".join(lines[start:end])
        if ours not in {before, other} and other != before:
            clashes.append(Clash(start + 1, max(end, start + 1), before, ours, other))
        merged += lines[at:start]
        merged.append(other if ours == before else ours)
        at = end
    return clashes or "".join([*merged, *lines[at:]])


def merge_bodies(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """The text with both edits; None where they meet, or one of the three is no UTF-8 text or too long (R31)."""
    bodies = (base, mine, theirs)
    if any(len(body) > MOST_BYTES or b"\0" in body for body in bodies):
        return None
    try:
        merged = merge(*(body.decode() for body in bodies))
    except UnicodeDecodeError:
        return None
    return merged.encode() if isinstance(merged, str) else None


def edits(base: Sequence[str], other: Sequence[str]) -> list[Edit]:
    """What turns `base` into `other`, in order; between two edits lies at least one line that stayed."""
    found = []
    at_base = at_other = 0
    for base_at, other_at in [*_kept(base, other), (len(base), len(other))]:
        if base_at > at_base or other_at > at_other:
            found.append(Edit(at_base, base_at, tuple(other[at_other:other_at])))
        at_base, at_other = base_at + 1, other_at + 1
    return found


def _kept(base: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Where a line of `base` certainly still stands in `other`; both rise."""
    shorter = min(len(base), len(other))
    head = 0
    while head < shorter and base[head] == other[head]:
        head += 1
    tail = 0
    while tail < shorter - head and base[-1 - tail] == other[-1 - tail]:
        tail += 1
    once = Counter(base[head : len(base) - tail])
    twin = {line: at for at, line in enumerate(other[head : len(other) - tail], head)}
    seen = Counter(other[head : len(other) - tail])
    pairs = [
        (at, twin[line])
        for at, line in enumerate(base[head : len(base) - tail], head)
        if once[line] == 1 and seen[line] == 1
    ]
    ends = [(len(base) - left, len(other) - left) for left in range(tail, 0, -1)]
    return [*((at, at) for at in range(head)), *_rising(pairs), *ends]


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of `pairs` (in order of their first) whose second rises too: lines that moved are left out."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, second) in enumerate(pairs):
        at = bisect_left(ends, second)
        before.append(last[at - 1] if at else -1)
        ends[at : at + 1] = [second]
        last[at : at + 1] = [number]
    chain = []
    number = last[-1] if last else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _touching(both: Sequence[tuple[Edit, bool]]) -> list[list[tuple[Edit, bool]]]:
    """The edits in groups to be judged together: they share lines, or an insertion stands at another's edge."""
    groups: list[list[tuple[Edit, bool]]] = []
    end = insertion = -1
    for edit, is_mine in both:
        meets = edit.start < end or (edit.start == end and (edit.start == edit.end or insertion == end))
        if groups and meets:
            groups[-1].append((edit, is_mine))
        else:
            groups.append([(edit, is_mine)])
            end = insertion = -1
        end = max(end, edit.end)
        if edit.start == edit.end:
            insertion = edit.start
    return groups


def _applied(lines: Sequence[str], start: int, end: int, changes: Sequence[Edit]) -> str:
    """The lines `start` up to `end` with these changes."""
    parts: list[str] = []
    for edit in changes:
        parts += [*lines[start : edit.start], *edit.lines]
        start = edit.end
    return "".join([*parts, *lines[start:end]])
