"""When to try again and when to renew."""

import pytest

from relayfile.core import schedule
from relayfile.core.schedule import Limits


def test_pauses_double_up_to_a_minute_and_after_ten_minutes_up_to_five():
    longest = [schedule.backoff_s(n, 0.999999) for n in (1, 2, 3, 4, 20)]
    assert longest == pytest.approx([1, 2, 4, 8, 60], rel=1e-3)
    assert schedule.backoff_s(20, 0.999999, failing_for_s=601) == pytest.approx(300, rel=1e-3)
    assert schedule.backoff_s(10_000, 0.5) <= 60


def test_a_pause_is_never_nothing_and_two_clients_do_not_return_together():
    assert schedule.backoff_s(1, 0.0) == pytest.approx(0.1)
    assert schedule.backoff_s(5, 0.1) != schedule.backoff_s(5, 0.9)


def test_what_the_server_asks_for_wins_up_to_a_quarter_of_an_hour():
    assert schedule.backoff_s(9, 0.0, retry_after_s=3) == 3
    assert schedule.backoff_s(1, 0.0, retry_after_s=90_000) == 900
    assert schedule.reconnect_s(9, 0.0, retry_after_s=3) == 3


def test_a_feed_reconnects_quickly_at_first_and_each_minute_at_most():
    assert schedule.reconnect_s(1, 0.5) < 0.25
    assert schedule.reconnect_s(50, 0.999) <= 60


def test_the_pauses_inside_one_renewal_are_the_ones_of_the_table():
    middle = [schedule.attempt_pause_s(n, 0.5, Limits()) for n in (1, 2, 3)]
    assert middle == [0.25, 0.5, 1.0]


def test_the_owner_renews_between_65_and_80_percent_of_a_life():
    assert schedule.owner_point(0.0) == pytest.approx(0.65)
    assert schedule.owner_point(0.999999) == pytest.approx(0.80, rel=1e-4)


def test_thresholds_scale_with_the_life():
    assert schedule.mandatory_left_s(3.0) == pytest.approx(0.15)
    assert schedule.mandatory_left_s(3600.0) == 30.0
    assert schedule.refresh_window_s(3600.0) == 720.0
    assert schedule.refresh_window_s(30 * 86_400.0) == 86_400.0
