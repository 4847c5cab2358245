"""How far and how fast: counted from the turn in which a piece of work began."""

from relayfile.mirror.apply import Tally
from relayfile.mirror.measure import Pending
from relayfile.mirror.pace import PAUSE_S, Pace


def counted(pace, *, began_s, ended_s, files, left=0):
    pace.turn(began_s)
    pace.count(Tally(files=files, size_bytes=10 * files), Pending(left, 10 * left, None, 0), ended_s)
    return pace.progress


def test_the_first_report_of_a_piece_of_work_has_a_rate_already():
    pace = Pace(0.0)
    long_after = PAUSE_S + 100
    told = counted(pace, began_s=long_after, ended_s=long_after + 2, files=100, left=100)
    assert (told.files_done, told.files_total, told.rate) == (100, 200, 50.0)


def test_what_comes_after_a_pause_is_counted_from_nothing():
    pace = Pace(0.0)
    counted(pace, began_s=0.0, ended_s=1.0, files=100)
    told = counted(pace, began_s=2.0, ended_s=3.0, files=5, left=1)
    assert (told.files_done, told.files_total) == (105, 106)
    counted(pace, began_s=4.0, ended_s=5.0, files=1)
    told = counted(pace, began_s=5.0 + PAUSE_S + 1, ended_s=20.0, files=5, left=5)
    assert (told.files_done, told.files_total) == (5, 10)


def test_what_the_log_still_holds_is_part_of_the_total():
    pace = Pace(0.0)
    pace.ahead = (1_000, 5_000)
    told = counted(pace, began_s=0.0, ended_s=1.0, files=10, left=90)
    assert (told.files_total, told.bytes_total) == (1_100, 6_000)
