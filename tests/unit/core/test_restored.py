"""What base is worth once a log was put back from a backup: decided by positions alone."""

import pytest

from relayfile.core import restored
from relayfile.model import Cursor, Digest, Version


def version(revision: int, content: str) -> Version:
    return Version(revision, Digest(content.encode().ljust(32)), 1, "644")


@pytest.mark.parametrize(
    ("before", "epoch", "head", "lost"),
    [
        (Cursor("", 0), "b", 0, False),
        (Cursor("a", 9), "a", 9, False),
        (Cursor("a", 9), "a", 90, False),
        (Cursor("a", 9), "a", 8, True),
        (Cursor("a", 9), "b", 90, True),
        (Cursor("a.mine", 9), "a.other", 9, False),
        (Cursor("a.mine", 9), "b.mine", 90, True),
    ],
)
def test_another_log_or_one_that_is_behind_was_put_back_and_another_view_of_it_was_not(before, epoch, head, lost):
    assert restored.put_back(before, epoch, head) is lost


OLD, NEW, SINCE = version(20, "old"), version(45, "new"), version(1_040, "since")


@pytest.mark.parametrize(
    ("base", "remote", "held", "expected"),
    [
        (OLD, OLD, True, OLD),  # nothing was lost
        (OLD, SINCE, True, OLD),  # changed since, over what both knew
        (OLD, None, True, OLD),  # deleted there: what both knew is no loss
        (NEW, OLD, True, OLD),  # what lies here grew from it: an edit
        (NEW, SINCE, True, None),  # nothing in common: both are kept
        (NEW, None, True, None),  # only the lost log had it: a new file
        (NEW, OLD, False, None),  # what was deleted here is not what is there: it comes back
        (NEW, None, False, None),
    ],
)
def test_a_base_that_the_log_lost_never_overwrites_nor_deletes(base, remote, held, expected):
    assert restored.base(base, remote, held=held, before=50, known=30) == expected
