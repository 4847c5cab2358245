"""The delete brake (R30)."""

from relayfile.core.safety import Deletion, Halt, Window, limit, review, suspicious
from relayfile.model import Digest, TreePath


def deletions(count, first=0):
    return [Deletion(TreePath(f"f{n}"), Digest(n.to_bytes(32, "big"))) for n in range(first, first + count)]


def test_the_limit_is_fifty_files_or_a_quarter():
    assert (limit(0), limit(100), limit(1_000)) == (50, 50, 250)


def test_everyday_deletions_need_no_second_look():
    assert not suspicious(Window(100, 0), 50, emptied=False)
    assert suspicious(Window(100, 1), 50, emptied=False)
    assert suspicious(Window(100, 0), 1, emptied=True)


def test_more_than_the_limit_in_a_window_waits():
    assert review(Window(100, 0), deletions(50), [], [], emptied=False) is None
    assert review(
        Window(100, 10), deletions(50), [one.digest for one in deletions(10, 900)], [], emptied=False
    ) == Halt(50, emptied=False)


def test_a_side_of_two_that_is_emptied_waits_and_a_side_of_one_does_not():
    assert review(Window(2, 1), deletions(1), [], [], emptied=True) == Halt(1, emptied=True)
    assert review(Window(1, 0), deletions(1), [], [], emptied=True) is None


def test_a_rename_is_not_counted_and_one_new_path_excuses_one_deletion():
    gone = deletions(60)
    assert review(Window(60, 0), gone, [], [one.digest for one in gone], emptied=False) is None
    same = [Deletion(TreePath(f"s{n}"), Digest(bytes(32))) for n in range(60)]
    assert review(Window(60, 0), same, [], [Digest(bytes(32))], emptied=False) == Halt(59, emptied=False)


def test_renames_that_went_through_earlier_do_not_use_up_the_limit():
    moved = [one.digest for one in deletions(80)]
    assert review(Window(100, 80), deletions(11, 900), moved, moved, emptied=False) is None
    assert review(Window(100, 80), deletions(11, 900), moved, moved[:30], emptied=False) == Halt(11, emptied=False)
