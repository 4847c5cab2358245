"""What a daemon does about a credential of its own, case by case."""

import itertools

import pytest

from relayfile.core.daemon_credential import (
    LONGEST_PAUSE_S,
    NOT_OFFERED_PAUSE_S,
    NotOffered,
    SignIn,
    Step,
    again_at,
    continues,
    doubts_the_sign_in,
    ends_soon,
    fresh,
    pause_s,
    sign_in_after_refusal,
    step_with,
    step_without,
)
from relayfile.core.session import Ended, Life, Renewed, Unanswered, Urgency
from relayfile.model import Grant, Secret

DAY_S = 86_400.0


def test_a_good_token_is_used_whatever_else_is_due():
    for again, fresh_ in itertools.product((False, True), repeat=2):
        assert step_with(Urgency.FINE, again=again, fresh_after_dispute=fresh_) is Step.USE


def test_a_worn_or_disputed_one_is_renewed_and_replaced_when_its_time_has_come():
    assert step_with(Urgency.ADVISABLE, again=False) is Step.RENEW
    assert step_with(Urgency.MANDATORY, again=True) is Step.REPLACE
    assert step_with(Urgency.FINE, again=False, disputed=True) is Step.RENEW
    assert step_with(Urgency.FINE, again=True, disputed=True) is Step.REPLACE


def test_a_server_that_refuses_what_it_gave_a_moment_ago_is_not_asked_again():
    assert step_with(Urgency.FINE, again=True, disputed=True, fresh_after_dispute=True) is Step.DISTRUST


@pytest.mark.parametrize(
    ("sign_in", "paused", "step"),
    [
        (SignIn.USABLE, False, Step.ENROL),
        (SignIn.USABLE, True, Step.SHARE),
        (SignIn.UNREADABLE, False, Step.SHARE),
        (SignIn.NONE, False, Step.PARK),
        (SignIn.NONE, True, Step.PARK),
        (SignIn.SPENT, False, Step.PARK),
        (SignIn.SPENT, True, Step.PARK),
        (SignIn.ELSEWHERE, True, Step.PARK),
    ],
)
def test_without_a_credential_the_sign_in_decides(sign_in, paused, step):
    assert step_without(sign_in, paused=paused) is step


def test_only_what_ran_out_comes_back_by_the_sign_in_that_was_there():
    assert sign_in_after_refusal(expired=False, same=True) is SignIn.SPENT
    assert sign_in_after_refusal(expired=False, same=False) is SignIn.USABLE
    assert sign_in_after_refusal(expired=True, same=True) is SignIn.USABLE


def test_a_successor_is_asked_for_between_day_60_and_75_of_90():
    assert again_at(0, 90 * DAY_S, 0.0) == pytest.approx(60 * DAY_S)
    assert again_at(0, 90 * DAY_S, 0.999999) == pytest.approx(75 * DAY_S, rel=1e-3)
    assert again_at(0, None, 0.5) is None
    assert again_at(100, 100, 0.5) is None


def test_people_are_told_in_the_last_14_days_of_90_and_in_that_share_of_a_shorter_life():
    assert not ends_soon(0, 90 * DAY_S, 75.9 * DAY_S)
    assert ends_soon(0, 90 * DAY_S, 76.1 * DAY_S)
    assert not ends_soon(0, 9 * DAY_S, 7 * DAY_S)
    assert ends_soon(0, 9 * DAY_S, 8 * DAY_S)
    assert not ends_soon(0, None, 10**9)


def test_pauses_grow_to_ten_minutes_and_a_server_without_credentials_is_asked_each_hour():
    lost = Unanswered("x", maybe_sent=False)
    assert [pause_s(lost, tries) for tries in (1, 2, 3, 4, 5, 10**6)] == [60, 120, 240, 480, LONGEST_PAUSE_S, 600]
    assert pause_s(None, 1) == pause_s(Ended("x"), 1) == 60
    assert pause_s(NotOffered(), 1) == NOT_OFFERED_PAUSE_S
    assert pause_s(Unanswered("x", maybe_sent=False, retry_after_s=700), 1) == 700
    assert pause_s(Unanswered("x", maybe_sent=False, retry_after_s=10**9), 1) == 900


def renewed(*, refresh="r", family="f", scope="a b"):
    grant = Grant("u", Secret("a"), None, Secret(refresh) if refresh else None, None, family=family, generation=1)
    return Renewed(grant, scope, 0.0, 0.0)


def test_an_answer_continues_a_credential_of_its_family_that_is_no_wider():
    assert continues(renewed(), family="f", scope="a b c")
    assert continues(renewed(scope=None), family="f", scope="a")
    assert continues(renewed(family=None), family="f", scope=None)
    assert not continues(renewed(refresh=None), family="f", scope="a b")
    assert not continues(renewed(family="g"), family="f", scope="a b")
    assert not continues(renewed(scope="a b c"), family="f", scope="a b")
    assert not continues(Ended("invalid_grant"), family="f", scope=None)


def test_only_a_refusal_of_the_token_that_vouched_is_mended_by_renewing_it():
    assert doubts_the_sign_in(Ended("invalid_request", "token_expired"))
    assert doubts_the_sign_in(Ended("invalid_grant"))
    assert not doubts_the_sign_in(Ended("invalid_request"))
    assert not doubts_the_sign_in(Ended("invalid_scope", "more"))


def test_fresh_is_younger_than_the_earliest_renewal():
    assert fresh(Life(0.6, 1.0, 0.4))
    assert not fresh(Life(0.66, 1.0, 0.34))
    assert not fresh(Life(None, None, None))
