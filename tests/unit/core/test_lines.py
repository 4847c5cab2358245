"""Merging text by lines: nothing of either side is lost without a word."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.lines import MOST_BYTES, Clash, edits, merge, merge_bodies, split

texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "}\n"]), max_size=8).map("".join)
distinct = st.lists(st.integers(0, 30), unique=True, max_size=12).map(lambda numbers: [f"{n}\n" for n in numbers])


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ("1\n2\n3\n4\n5\n", "ONE\n2\n3\n4\n5\n", "1\n2\n3\nFOUR\n5\n", "ONE\n2\n3\nFOUR\n5\n"),
        ("1\n2\n3\n", "1\nsame\n3\n", "1\nsame\n3\n", "1\nsame\n3\n"),
        ("1\n2\n3\n", "1\n2\n3\n", "1\nX\n3\n", "1\nX\n3\n"),
        ("a\nb\nc\n", "a\nmine\nb\nc\n", "a\nb\nc\ntheirs\n", "a\nmine\nb\nc\ntheirs\n"),
        ("a\nb\nc\nd\n", "a\nc\nd\n", "a\nb\nc\nD\n", "a\nc\nD\n"),
        ("a\nb\nc\n", "a\nc\n", "a\nc\n", "a\nc\n"),
        ("b\nz\naa\n", "b\naa\n", "a\nz\naa\n", "a\naa\n"),
        ("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC"),
        ("", "new\n", "", "new\n"),
        ("x", "x", "y", "y"),
        ("a\r\nb\r\n", "A\r\nb\r\n", "a\r\nB\r\n", "A\r\nB\r\n"),
    ],
)
def test_edits_of_different_lines_are_both_kept(base, mine, theirs, merged):
    assert merge(base, mine, theirs) == merged


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "clashes"),
    [
        ("1\n2\n3\n", "1\nM\n3\n", "1\nT\n3\n", [Clash(2, 2, "2\n", "M\n", "T\n")]),
        ("a\nb\nc\n", "a\nc\n", "a\nB\nc\n", [Clash(2, 2, "b\n", "", "B\n")]),
        ("a\nb\n", "a\nm\nb\n", "a\nt\nb\n", [Clash(2, 2, "", "m\n", "t\n")]),
        ("a\nb\nc\n", "a\nb\nm\nc\n", "a\nB\nc\n", [Clash(2, 2, "b\n", "b\nm\n", "B\n")]),
        (
            "1\n2\n3\n4\n5\n",
            "m\n2\n3\n4\nm\n",
            "t\n2\n3\n4\nt\n",
            [Clash(1, 1, "1\n", "m\n", "t\n"), Clash(5, 5, "5\n", "m\n", "t\n")],
        ),
    ],
)
def test_edits_that_meet_are_told_and_nothing_is_merged(base, mine, theirs, clashes):
    assert merge(base, mine, theirs) == clashes


def test_repeated_lines_do_not_swallow_one_another():
    assert merge("x\na\ny\n", "x\na\na\ny\n", "x\nb\na\na\ny\n") == "x\nb\na\na\na\ny\n"
    assert merge("z\nz\na\nz\n", "z\nz\na\nz\nz\n", "a\nz\nz\na\nz\nz\n") == "a\nz\nz\na\nz\nz\nz\n"


@given(texts, texts)
def test_the_edits_are_exactly_the_difference(base, other):
    lines, at, told = split(base), 0, []
    for edit in edits(lines, split(other)):
        told += [*lines[at : edit.start], *edit.lines]
        at = edit.end
    assert "".join([*told, *lines[at:]]) == other


@given(texts, texts)
def test_a_side_that_changed_nothing_leaves_the_other_as_it_is(base, other):
    assert merge(base, other, base) == merge(base, base, other) == merge(base, other, other) == other


@given(distinct, st.data())
def test_every_line_either_side_added_is_in_the_merge_and_none_that_either_removed(base, data):
    """Over lines that are all different, what must be in a merge can be said without merging."""

    def side(word):
        lines = [line for line in base if data.draw(st.integers(0, 3))]
        for number in range(data.draw(st.integers(0, 3))):
            lines.insert(data.draw(st.integers(0, len(lines))), f"{word}{number}\n")
        return lines

    mine, theirs = side("m"), side("t")
    merged = merge("".join(base), "".join(mine), "".join(theirs))
    assert merge("".join(base), "".join(theirs), "".join(mine)) == merged or isinstance(merged, list)
    if isinstance(merged, str):
        kept = set(base) & set(mine) & set(theirs)
        assert sorted(split(merged)) == sorted([*kept, *(set(mine) - set(base)), *(set(theirs) - set(base))])


@given(distinct, st.data())
def test_the_same_line_changed_on_both_sides_is_never_merged(base, data):
    if not base:
        return
    at = data.draw(st.integers(0, len(base) - 1))
    keep = {number: data.draw(st.integers(0, 3)) for number in range(len(base))}
    mine = [line if number == at or keep[number] else f"mine {number}\n" for number, line in enumerate(base)]
    theirs = list(base)
    mine[at], theirs[at] = "mine\n", "theirs\n"
    texts_of = ["".join(one).encode() for one in (base, mine, theirs)]
    assert merge_bodies(*texts_of) is None


@given(texts, texts, texts)
def test_bodies_are_merged_as_their_text_whichever_side_is_mine(base, mine, theirs):
    merged = merge_bodies(base.encode(), mine.encode(), theirs.encode())
    assert merged == merge_bodies(base.encode(), theirs.encode(), mine.encode())
    assert merge_bodies(base.encode(), mine.encode(), mine.encode()) == mine.encode()
    if merged is not None:
        assert merged.decode() == merge(base, mine, theirs)
        assert merge_bodies(base.encode(), merged, theirs.encode()) in {merged, None}


@pytest.mark.parametrize("other", [b"1\n2\n\0", b"1\n2\n\xff", b"1\n2\n" + b"x" * MOST_BYTES])
def test_what_is_no_text_or_too_long_is_not_merged(other):
    assert merge_bodies(b"1\n2\n", b"1\n2\nx", b"0\n1\n2\n") == b"0\n1\n2\nx"
    assert merge_bodies(b"1\n2\n", other, b"0\n1\n2\n") is None
    assert merge_bodies(b"1\n2\n", b"0\n1\n2\n", other) is None
    assert merge_bodies(other, other, b"0\n1\n2\n") is None


def test_no_text_makes_it_slow():
    """A general diff is quadratic or worse on such lines."""
    base = [line for number in range(1_500) for line in ("a\n", f"b{number}\n")]
    other = [line for number in range(1_500) for line in ("a\n", f"c{number}\n")]
    began = time.process_time()
    merge("".join(base), "".join(other), "".join(base[::-1]))
    assert time.process_time() - began < 1
