"""Folder listings out of nothing but sorted file paths."""

from bisect import bisect_left
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.listing import entries
from relayfile.model import TreePath

names = st.text(alphabet="ab-.0 é", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
trees = st.sets(paths, max_size=25).map(sorted)


def reader(tree):
    def read(first, end):
        for path in islice(tree, bisect_left(tree, first), None):
            if end is not None and path >= end:
                return
            yield TreePath(path)

    return read


def brute_force(tree, folder, depth):
    """Every entry, computed the slow way: all prefixes of all paths, sorted."""
    below = [path for path in tree if not folder or path.startswith(folder + "/")]
    base = folder.count("/") + 1 if folder else 0
    folders = {path[:at] for path in below for at, letter in enumerate(path) if letter == "/"}
    folders = {each for each in folders if each.count("/") >= base}
    told = {(each, True) for each in folders if each not in below}
    told |= {(each, False) for each in below}
    return sorted(each for each in told if each[0].count("/") < base + depth)


@given(trees, st.integers(1, 4), st.data())
def test_a_listing_is_every_folder_and_file_in_byte_order(tree, depth, data):
    folder = data.draw(st.sampled_from(["", *{path.rpartition("/")[0] for path in tree}, "nowhere"]))
    assert list(entries(folder, depth, "", reader(tree))) == brute_force(tree, folder, depth)


@given(trees, st.integers(1, 4), st.integers(1, 5))
def test_pages_put_together_are_the_whole_listing(tree, depth, size):
    whole, after, pages = list(entries("", depth, "", reader(tree))), "", []
    while page := list(islice(entries("", depth, after, reader(tree)), size)):
        pages += page
        after = page[-1][0]
    assert pages == whole


def test_a_folder_is_told_before_files_whose_names_begin_like_it():
    tree = ["a-b", "a.txt", "a/x"]
    assert list(entries("", 1, "", reader(tree))) == [("a", True), ("a-b", False), ("a.txt", False)]


def test_what_lies_deeper_than_asked_is_jumped_over():
    tree = [f"deep/{number:05}/x" for number in range(10_000)] + ["z"]
    read = 0

    def counted(first, end):
        nonlocal read
        for path in reader(tree)(first, end):
            read += 1
            yield path

    assert [path for path, _ in entries("", 1, "", counted)] == ["deep", "z"]
    assert read < 10
