"""The decision for one path, by table and by the million."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayfile.core.lines import MOST_BYTES
from relayfile.core.merge import (
    Adopt,
    Download,
    Keep,
    KeepBoth,
    RemoveLocal,
    RemoveRemote,
    Trees,
    Upload,
    ancestors,
    combine,
    decide,
    mergeable,
    order,
)
from relayfile.model import Digest, TreePath, Version


def version(content, revision=0, mode="644"):
    return Version(revision, Digest(content * 32), 1, mode)


A, B, C = b"a", b"b", b"c"
BASE = version(A, 1)


@pytest.mark.parametrize(
    ("base", "local", "remote", "action"),
    [
        (None, None, None, Keep()),
        (BASE, version(A), BASE, Keep()),
        (BASE, version(B), version(B, 2), Adopt()),
        (None, version(A), version(A, 1), Adopt()),
        (BASE, None, None, Adopt()),
        (BASE, version(A), version(A, 2), Adopt()),
        (BASE, version(A), version(B, 2), Download(version(B, 2))),
        (None, None, version(B, 2), Download(version(B, 2))),
        (BASE, version(A), None, RemoveLocal()),
        (BASE, version(B), BASE, Upload(over=1)),
        (BASE, version(B), version(A, 3), Upload(over=3)),
        (None, version(B), None, Upload(over=0)),
        (BASE, version(B), None, Upload(over=0)),
        (BASE, None, BASE, RemoveRemote(over=1)),
        (BASE, None, version(A, 3), RemoveRemote(over=3)),
        (BASE, None, version(B, 2), Download(version(B, 2))),
        (BASE, version(B), version(C, 2), KeepBoth(version(C, 2))),
        (None, version(B), version(C, 2), KeepBoth(version(C, 2))),
        (BASE, version(A, mode="755"), BASE, Upload(over=1)),
        (None, version(A), version(A, 2, "755"), Download(version(A, 2, "755"))),
        (BASE, version(B), version(B, 2, "755"), Download(version(B, 2, "755"))),
        (BASE, version(A, mode="755"), version(B, 2), Download(version(B, 2))),
    ],
)
def test_the_table(base, local, remote, action):
    assert decide(base, local, remote) == action


CONTENT = st.none() | st.builds(
    version, st.sampled_from([A, B, C]), st.integers(1, 9), st.sampled_from(["644", "755"])
)


@settings(max_examples=2_000, deadline=None)
@given(base=CONTENT, local=CONTENT, remote=CONTENT)
def test_steps_end_equal_and_no_bytes_are_lost(base, local, remote):
    """Defends I2, I8, I9: a path comes to rest in three steps, and what only we had survives somewhere."""
    kept = set()
    ours, first_base = local, base
    for _ in range(3):
        action = decide(base, local, remote)
        match action:
            case Keep():
                break
            case Adopt():
                base = remote
            case Download(theirs):
                assert theirs is remote
                local = base = remote
            case RemoveLocal():
                assert first_base is not None, "nothing is deleted that was never agreed on"
                local = base = None
            case Upload(over):
                assert over == (remote.revision if remote else 0)
                base = remote = Version(10, local.digest, local.size, local.mode)
            case RemoveRemote(over):
                assert over == remote.revision
                base = remote = None
            case KeepBoth(theirs):
                kept.add(local.digest)
                local = base = theirs
    assert decide(base, local, remote) == Keep()
    if ours is not None and (first_base is None or ours.digest != first_base.digest):
        assert ours.digest in kept or (local is not None and local.digest == ours.digest)


def node(path, action, revision=1):
    return Trees(TreePath(path), None, None, version(A, revision)), action


def test_a_removal_comes_before_the_placement_that_needs_its_name_and_after_all_others():
    download = Download(version(A, 1))
    batch = [
        node("z/deep/gone", RemoveLocal()),
        node("gone", RemoveLocal()),
        node("a/b", download, 2),
        node("k", download, 1),
        node("a", RemoveLocal()),
        node("k/x", RemoveLocal()),
    ]
    paths = [trees.path for trees, _ in order(batch)]
    assert paths == ["a", "k/x", "k", "a/b", "z/deep/gone", "gone"]


def test_order_takes_rows_that_are_absent_remotely():
    assert order([(Trees(TreePath("a"), None, None, None), Keep())])


def test_ancestors_are_the_folders_above():
    assert list(ancestors("a/b/c")) == ["a/b", "a"]
    assert not list(ancestors("a"))


def test_only_three_files_of_a_bearable_length_are_merged():
    link, long = version(B, mode="120000"), Version(0, Digest(C * 32), MOST_BYTES + 1, "644")
    assert mergeable(BASE, version(B), version(C, 2))
    assert not mergeable(None, version(B), version(C, 2))
    for odd in (link, long):
        assert not mergeable(odd, version(B), version(C, 2))
        assert not mergeable(BASE, odd, version(C, 2))
        assert not mergeable(BASE, version(B), odd)


@pytest.mark.parametrize(("mine", "theirs"), [("755", "644"), ("644", "755"), ("755", "755")])
def test_a_merge_has_the_mode_that_one_side_gave_and_theirs_when_both_did(mine, theirs):
    bodies = (b"1\n2\n3\n", b"one\n2\n3\n", b"1\n2\nthree\n")
    made = combine(BASE, version(B, mode=mine), version(C, 2, theirs), bodies)
    assert (made.body, made.version.mode, made.version.revision) == (b"one\n2\nthree\n", "755", 2)
    assert combine(BASE, version(B), version(C, 2), (b"1\n", b"one\n", b"eins\n")) is None
