"""The client's sign-in state machine, decision by decision."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core import session as core
from relayfile.core.session import Ended, Life, LoginState, Phase, Renewed, Seen, Step, Unanswered, Urgency, Verdict
from relayfile.model import Grant, Secret
from relayfile.wire.credentials import Obtained, Pair

FRESH = Life(age_s=0.0, lifetime_s=100.0, left_s=100.0)


def life(share, lifetime_s=100.0, **more):
    return Life(share * lifetime_s, lifetime_s, (1 - share) * lifetime_s, **more)


def grant(**more):
    known = {"refresh_token": Secret("r2"), "family": "f", "generation": 2}
    return Grant("http://s", Secret("a"), 100.0, **{"refresh_expires_at": None, **known, **more})


def pair(obtained=None, **more):
    return Pair(grant(**{"issued_at": 0.0, **more}), "fs:read fs:write", obtained)


# ---------------------------------------------------------------------------------------------------- urgency


def test_the_owner_renews_at_its_point_and_others_only_at_ninety_percent():
    assert core.urgency(life(0.69), "owner", 0.70) is Urgency.FINE
    assert core.urgency(life(0.71), "owner", 0.70) is Urgency.ADVISABLE
    assert core.urgency(life(0.71), "other", 0.70) is Urgency.FINE
    assert core.urgency(life(0.91), "other", 0.70) is Urgency.ADVISABLE
    assert core.urgency(life(0.96), "other", 0.70) is Urgency.MANDATORY


@given(st.floats(0, 1e6), st.floats(0, 0.6499))
def test_no_wish_makes_a_token_worn_before_65_percent_of_its_life(wish_s, share):
    assert core.urgency(life(share), "other", 0.7, wish_s) is Urgency.FINE
    assert core.urgency(life(share), "owner", 0.7, wish_s) is Urgency.FINE


def test_a_wish_for_time_is_heard_after_that():
    assert core.urgency(life(0.7), "other", 0.8, min_ttl_s=35) is Urgency.MANDATORY
    assert core.urgency(life(0.7), "other", 0.8, min_ttl_s=25) is Urgency.FINE


def test_a_worn_refresh_token_is_renewed_as_early_as_allowed():
    worn = life(0.66, refresh_left_s=5.0, refresh_life_s=100.0)
    assert core.urgency(worn, "other", 0.8) is Urgency.ADVISABLE
    assert core.urgency(life(0.64, refresh_left_s=5.0, refresh_life_s=100.0), "owner", 0.8) is Urgency.FINE
    assert core.due_in_s(worn, "other", 0.8) == 0.0


def test_a_foreign_token_of_unknown_life_is_judged_by_what_is_left():
    assert core.urgency(Life(None, None, 61.0), "owner", 0.7) is Urgency.FINE
    assert core.urgency(Life(None, None, 59.0), "owner", 0.7) is Urgency.ADVISABLE
    assert core.urgency(Life(None, None, 30.0), "owner", 0.7) is Urgency.MANDATORY
    assert core.urgency(Life(None, None, None), "owner", 0.7) is Urgency.FINE
    assert core.urgency(Life(None, 100.0, 5.0), "other", 0.7) is Urgency.MANDATORY
    assert core.urgency(Life(None, 100.0, 9.0), "other", 0.7) is Urgency.ADVISABLE


def test_due_in_is_when_urgency_begins():
    assert core.due_in_s(life(0.5), "owner", 0.7) == pytest.approx(20.0)
    assert core.due_in_s(life(0.5), "other", 0.7) == pytest.approx(40.0)
    assert core.due_in_s(life(0.99), "owner", 0.7) == 0.0
    assert core.due_in_s(Life(None, None, None), "owner", 0.7) is None
    assert core.due_in_s(Life(None, None, 100.0), "owner", 0.7) == 40.0


# ------------------------------------------------------------------------------------------------------- life


def test_age_counts_from_the_receipt_and_the_end_from_the_sending():
    found = core.life(pair(Obtained("boot", 10.0, 12.0, 100.0)), "boot", 22.0, wall_s=5.0)
    assert (found.age_s, found.left_s, found.lifetime_s) == (10.0, 88.0, 100.0)


@pytest.mark.parametrize("wall_s", [-3.2e7, -3600.0, 0.0, 3600.0, 3.2e7])
def test_a_clock_set_by_hand_changes_nothing_in_the_boot_that_saw_the_answer(wall_s):
    found = core.life(pair(Obtained("boot", 10.0, 10.0, 100.0)), "boot", 20.0, wall_s)
    assert (found.age_s, found.left_s) == (10.0, 90.0)


@pytest.mark.parametrize(
    "obtained",
    [
        None,
        Obtained("another boot", 10.0, 10.0, 100.0),
        Obtained("boot", 90.0, 90.0, 100.0),
        Obtained("boot", 1.0, 1.0, None),
    ],
)
def test_after_another_boot_the_wall_clock_counts(obtained):
    found = core.life(pair(obtained), "boot", 20.0, wall_s=30.0)
    assert (found.age_s, found.left_s, found.lifetime_s) == (30.0, 70.0, 100.0)


def test_a_wall_clock_set_back_gives_no_token_more_than_its_life():
    assert core.life(pair(), "boot", 20.0, wall_s=-1e6).left_s == 100.0


def test_a_foreign_pair_may_say_nothing_of_its_life():
    silent = Pair(Grant("http://s", Secret("a"), None, Secret("r"), 50.0))
    assert core.life(silent, "b", 1.0, 10.0) == Life(None, None, None, 40.0, None)
    no_issue = Pair(Grant("http://s", Secret("a"), 30.0, Secret("r"), None))
    assert core.life(no_issue, "b", 1.0, 10.0) == Life(None, None, 20.0, None, None)


# -------------------------------------------------------------------------------------------------- next step


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (Seen(present=False), Step.NOT_SIGNED_IN),
        (Seen(present=True, torn=True, restorable=True), Step.PUT_BACK),
        (Seen(present=True, torn=True), Step.DAMAGED),
        (Seen(present=True, tombstoned=True, worth=Urgency.MANDATORY), Step.NOT_SIGNED_IN),
        (Seen(present=True, stashed=True, worth=Urgency.MANDATORY), Step.COMMIT_STASH),
        (Seen(present=True, consumed=True, restorable=True, worth=Urgency.MANDATORY), Step.PUT_BACK),
        (Seen(present=True, ended="invalid_grant", worth=Urgency.FINE), Step.ENDED),
        (Seen(present=True, worth=Urgency.FINE), Step.ADOPT),
        (Seen(present=True, consumed=True, worth=Urgency.MANDATORY), Step.ENDED),
        (Seen(present=True, has_refresh_token=False, worth=Urgency.MANDATORY), Step.ENDED),
        (Seen(present=True, disputed=True, fresh_after_dispute=True), Step.DISTRUST),
        (Seen(present=True, disputed=True), Step.PRESENT),
        (Seen(present=True, worth=Urgency.ADVISABLE, paused_s=3.0), Step.PAUSE),
        (Seen(present=True, worth=Urgency.ADVISABLE), Step.PRESENT),
        (Seen(present=True, worth=Urgency.MANDATORY), Step.PRESENT),
    ],
)
def test_the_next_step_follows_from_what_was_seen(seen, step):
    assert core.next_step(seen) is step


@given(
    st.builds(
        Seen,
        present=st.booleans(),
        torn=st.booleans(),
        has_refresh_token=st.booleans(),
        consumed=st.booleans(),
        ended=st.sampled_from([None, "invalid_grant"]),
        tombstoned=st.booleans(),
        stashed=st.booleans(),
        restorable=st.booleans(),
        worth=st.sampled_from(Urgency),
        disputed=st.booleans(),
        fresh_after_dispute=st.booleans(),
        paused_s=st.sampled_from([0.0, 1.0]),
    )
)
def test_a_token_that_was_consumed_ended_or_logged_out_is_never_presented(seen):
    if core.next_step(seen) is Step.PRESENT:
        assert seen.present
        assert not any((seen.torn, seen.consumed, seen.ended, seen.tombstoned, seen.stashed, seen.paused_s))
        assert seen.worth is not Urgency.FINE or seen.disputed


# ----------------------------------------------------------------------------------------------- after answer


def judged(answer, *, family="f", generation=1, scope="fs:read fs:write"):
    return core.after_answer(answer, family=family, generation=generation, scope=scope)


def renewed(scope="fs:read", **more):
    return Renewed(replace(grant(), **more), scope, 0.0, 0.0)


def test_a_successor_is_believed_when_it_continues_the_login():
    assert judged(renewed()) is Verdict.COMMIT
    assert judged(renewed(family=None, generation=None), family=None, generation=None, scope=None) is Verdict.COMMIT


@pytest.mark.parametrize(
    "answer",
    [
        renewed(refresh_token=None),
        renewed(family="another"),
        renewed(generation=1),
        renewed(scope="fs:read admin:read"),
        Unanswered("lost", maybe_sent=True),
        Ended("temporarily_unavailable"),
        Ended("slow_down"),
    ],
)
def test_anything_else_is_as_if_the_answer_had_been_lost(answer):
    assert judged(answer) is Verdict.WAIT


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client", "unauthorized_client"])
def test_only_three_words_end_a_login(error):
    assert judged(Ended(error)) is Verdict.END


# ------------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_reads_as_one_line_without_a_secret(phase):
    state = LoginState(
        phase, "http://s", reason="why", access_left_s=9.4, next_attempt_s=2.0, failures=3, clock_skew_s=200.0
    )
    line = core.text(state)
    assert "\n" not in line
    assert "why" in line
    assert "clock off by 200 s" in line
    assert core.as_fields(state)["state"] == phase.value


def test_a_login_that_ended_says_the_command_that_mends_it():
    ended = LoginState(Phase.AUTH_FAILED, "http://s:1")
    assert core.text(ended) == "auth-failed: needs re-login · run `relayfile login http://s:1`"
    assert core.remedy(LoginState(Phase.NO_SESSION)) == "run `relayfile login URL`"
    assert core.remedy(LoginState(Phase.CLIENT_REJECTED)) == "upgrade relayfile"
    assert core.remedy(LoginState(Phase.CONFIG_ERROR))
    assert core.remedy(LoginState(Phase.VALID)) is None
    assert core.parked(ended)
    assert not core.parked(LoginState(Phase.DEGRADED))
    assert core.as_fields(LoginState(Phase.VALID, family="0123456789", rt_fp="abcdefghij"))["family"] == "01234567"


def test_the_remedy_names_the_profile_and_up_for_the_server_that_up_runs():
    assert core.remedy(LoginState(Phase.NO_SESSION, profile="other")) == "run `relayfile login URL --profile other`"
    assert core.remedy(LoginState(Phase.LOGGED_OUT, profile=core.PROFILE_OF_UP)) == "run `relayfile up`"
