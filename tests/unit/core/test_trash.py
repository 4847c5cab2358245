"""Which kept contents are meant by a path, a folder, a moment."""

import pytest

from relayfile.core.sizes import bytes_of
from relayfile.core.trash import Choice, Kept, Old, Wanted, among, choose
from relayfile.errors import UsageError
from relayfile.model import TreePath


def kept(name, at, path="f", why="replaced"):
    return Kept(name, TreePath(path) if path else None, "f", at, 1, "644", Old(why))


FIRST, SECOND, OTHER = kept("1", 10), kept("2", 20), kept("3", 30, "f2")


def test_of_a_file_it_is_what_was_taken_last_or_what_lay_there_at_a_moment():
    assert choose([SECOND, OTHER, FIRST], Wanted(TreePath("f"))) == [Choice(SECOND, if_gone=False)]
    for at_s, found in ((5, [FIRST]), (10, [FIRST]), (11, [SECOND]), (21, [])):
        assert [one.kept for one in choose([FIRST, SECOND], Wanted(TreePath("f"), at_s=at_s))] == found


def test_the_same_word_means_the_same_after_it_was_done():
    displaced = kept("3", 30, why="restored")
    for wanted, found in (
        (Wanted(TreePath("f")), SECOND),
        (Wanted(TreePath("f"), at_s=5), FIRST),
        (Wanted(TreePath("f"), at_s=25), displaced),
        (Wanted(id="3"), displaced),
    ):
        assert [one.kept for one in choose([FIRST, SECOND, displaced], wanted)] == [found]


def test_an_id_names_one_also_where_its_path_is_not_known_and_never_that_of_another_path():
    lost = kept("x", 5, None)
    assert choose([FIRST, lost], Wanted(TreePath("f"), id="x")) == [Choice(lost, if_gone=False)]
    assert choose([FIRST, OTHER], Wanted(id="3")) == [Choice(OTHER, if_gone=False)]
    assert choose([FIRST, OTHER], Wanted(TreePath("f"), id="3")) == []


def test_of_a_folder_it_is_what_the_workspace_deleted_last_only_where_nothing_lies_now():
    gone, edited = kept("g", 20, "d/gone", "deleted"), kept("e", 20, "d/edited")
    older, back = kept("o", 10, "d/gone"), [kept("b", 5, "d/back", "deleted"), kept("c", 6, "d/back", "merged")]
    unknown = kept("u", 20, None, "deleted")
    found = choose([gone, edited, older, *back, unknown, OTHER], Wanted(TreePath("d")))
    assert found == [Choice(gone, if_gone=True)]
    assert choose([gone, edited], Wanted(since_s=21)) == []
    assert choose([gone, edited, older], Wanted(since_s=15)) == [Choice(gone, if_gone=True)]


def test_of_a_folder_at_a_moment_it_is_everything_that_lay_there_then_in_place_of_what_is_there_now():
    gone, edited, older = kept("g", 20, "d/gone", "deleted"), kept("e", 25, "d/edited"), kept("o", 10, "d/gone")
    found = choose([gone, edited, older], Wanted(TreePath("d"), at_s=15))
    assert found == [Choice(gone, if_gone=False), Choice(edited, if_gone=False)]


def test_the_list_is_of_a_path_and_below_it_and_of_a_time_in_order():
    below = kept("b", 5, "f/below")
    assert among([SECOND, OTHER, below, FIRST], Wanted(TreePath("f"))) == [below, FIRST, SECOND]
    assert among([SECOND, OTHER, FIRST], Wanted(since_s=20)) == [SECOND, OTHER]


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500k", 500_000), ("2M", 2_000_000), ("1.5 GB", 1_500_000_000), ("7b", 7)]
)
def test_a_size_is_read_as_people_write_it(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "2X", "1e9", "9" * 30, "2MM"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="not a size"):
        bytes_of(text)
