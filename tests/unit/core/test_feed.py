"""What a batch of the log means (R17, R20)."""

from relayfile.core.feed import Reception, Remedy, accept, damaged_pause_s, fold, remedy
from relayfile.model import Cursor, Delete, Digest, Put, TreePath


def test_a_batch_ahead_or_at_the_cursor_is_applied_one_behind_is_a_duplicate():
    assert accept(Cursor("e", 5), Cursor("e", 6)) is Reception.APPLY
    assert accept(Cursor("e", 5), Cursor("e", 5)) is Reception.APPLY
    assert accept(Cursor("e", 5), Cursor("e", 4)) is Reception.DUPLICATE


def test_another_log_resets_a_mirror_that_has_observed_something():
    assert accept(Cursor("e", 5), Cursor("f", 6)) is Reception.RESET
    assert accept(Cursor("", 0), Cursor("f", 6)) is Reception.APPLY


def test_fold_keeps_the_last_change_of_each_path_in_order_of_position():
    a, b = TreePath("a"), TreePath("b")
    put = Put(a, 3, Digest(bytes(32)), 0, "644")
    assert fold([put, Delete(b, 2), Delete(a, 1), Delete(b, 4)]) == [put, Delete(b, 4)]


def test_the_remedies_come_in_the_order_of_the_ruling_and_then_ever_more_rarely():
    assert [remedy(strike) for strike in (1, 2, 3, 4)] == [
        Remedy.REREAD,
        Remedy.OBSERVE_AGAIN,
        Remedy.REPORT,
        Remedy.REPORT,
    ]
    assert [damaged_pause_s(strikes) for strikes in (3, 4, 5, 40)] == [60, 120, 240, 3_600]
