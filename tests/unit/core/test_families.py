"""The rotation decision, example by example and by the million (R1, R2, R6; invariant S9)."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relayfile.core.families import (
    ANSWERED,
    MAX_REPLAYS,
    REMEMBERED,
    REMEMBERED_S,
    REUSE,
    Outcome,
    Policy,
    Presented,
    Proof,
    begin,
    may_end,
    rotate,
)

POLICY = Policy(overlap_s=60, access_ttl_s=1_800, refresh_ttl_s=2_592_000, absolute_ttl_s=7_776_000)
STRICT = replace(POLICY, overlap_s=0)
MINE, THEIRS = Proof(b"n" * 32), Proof(b"t" * 32)
NOTHING = Proof()
T0 = 1_000_000.0


def spent(*, proof=MINE, old_clients=False, policy=POLICY, times=1, gap_s=600.0):
    """A family whose first `times` generations are consumed, the last at `T0`, each with `proof`."""
    family = begin(policy, T0 - gap_s * times, old_clients=old_clients)
    for n in range(1, times + 1):
        at = T0 - gap_s * (times - n)
        decision = rotate(family, Presented(n), proof, at, policy)
        assert decision.outcome is Outcome.ROTATED
        family = decision.family
    return family


def test_the_newest_token_is_exchanged_for_its_successor_and_the_idle_time_begins_anew():
    family = begin(POLICY, T0, old_clients=False)
    decision = rotate(family, Presented(1), MINE, T0 + 100, POLICY)
    assert decision.outcome is Outcome.ROTATED
    assert decision.family.generation == 2
    assert decision.family.expires_at == T0 + 100 + POLICY.refresh_ttl_s


def test_a_lost_answer_is_repeated_for_the_same_nonce_however_late():
    family = spent()
    decision = rotate(family, Presented(1), MINE, T0 + 20 * 86_400, POLICY)
    assert decision.outcome is Outcome.RETRY
    assert decision.family.generation == 2
    assert decision.family.expires_at == family.expires_at  # a repeat prolongs nothing


def test_a_late_copy_of_a_request_that_was_answered_gets_nothing_and_ends_nothing():
    decision = rotate(spent(times=2), Presented(1), MINE, T0, POLICY)
    assert decision.outcome is Outcome.SUPERSEDED
    assert decision.family.ended is None


def test_a_copy_of_a_repeat_is_benign_even_when_the_first_answer_was_lost_long_ago():
    """Found by the machine below: the retry came after a long silence, its copy just after the next renewal."""
    family, now = spent(), T0 + 30 * REMEMBERED_S
    retried = rotate(family, Presented(1), MINE, now, POLICY)
    renewed = rotate(retried.family, Presented(2), Proof(b"next"), now + 1, POLICY)
    copy = rotate(renewed.family, Presented(1), MINE, now + 2, POLICY)
    assert (retried.outcome, renewed.outcome, copy.outcome) == (Outcome.RETRY, Outcome.ROTATED, Outcome.SUPERSEDED)


@pytest.mark.parametrize("late_s", [0.0, 30.0, 3_600.0])
def test_a_consumed_token_with_another_nonce_is_theft_at_any_time(late_s):
    decision = rotate(spent(), Presented(1), THEIRS, T0 + late_s, POLICY)
    assert decision.outcome is Outcome.REUSED
    assert decision.family.ended == REUSE


@pytest.mark.parametrize(("first", "second"), [(MINE, NOTHING), (NOTHING, MINE), (NOTHING, NOTHING)])
def test_leaving_the_nonce_out_gets_no_pair_and_is_theft_after_the_overlap(first, second):
    family = spent(proof=first)
    within = rotate(family, Presented(1), second, T0 + 59.9, POLICY)
    assert (within.outcome, within.family) == (Outcome.SUPERSEDED, family)
    assert rotate(family, Presented(1), second, T0 + 60, POLICY).outcome is Outcome.REUSED


@pytest.mark.parametrize(("first", "second"), [(MINE, NOTHING), (NOTHING, MINE), (NOTHING, NOTHING)])
def test_old_clients_get_the_current_pair_within_the_overlap_and_are_refused_after_it(first, second):
    family = spent(proof=first, old_clients=True, times=3, gap_s=10)
    within = rotate(family, Presented(1), second, T0 + 39, POLICY)
    assert (within.outcome, within.family.generation) == (Outcome.LEGACY_RACE, 4)
    after = rotate(family, Presented(1), second, T0 + 100, POLICY)
    assert (after.outcome, after.family) == (Outcome.SUPERSEDED, family)


def test_proof_of_the_familys_own_key_is_never_theft():
    keyed = Proof(THEIRS.nonce, same_key=True)
    assert rotate(spent(), Presented(1), keyed, T0, POLICY).outcome is Outcome.RETRY
    assert rotate(spent(times=2), Presented(1), keyed, T0, POLICY).outcome is Outcome.SUPERSEDED


def test_a_guessed_token_ends_nothing():
    family = begin(POLICY, T0, old_clients=False)
    decision = rotate(family, Presented(1, authentic=False), MINE, T0, POLICY)
    assert (decision.outcome, decision.family) == (Outcome.MALFORMED, family)


def test_an_expired_family_is_refused_and_left_as_it_is():
    family = begin(POLICY, T0, old_clients=False)
    decision = rotate(family, Presented(1), MINE, T0 + POLICY.refresh_ttl_s, POLICY)
    assert (decision.outcome, decision.family) == (Outcome.EXPIRED, family)


def test_no_renewal_prolongs_a_family_beyond_its_absolute_end():
    family = begin(POLICY, T0, old_clients=False)
    for n in range(1, 5):
        family = rotate(family, Presented(n), MINE, T0 + n * 2_000_000, POLICY).family
    assert family.expires_at == family.absolute_expires_at == T0 + POLICY.absolute_ttl_s
    assert rotate(family, Presented(4), MINE, family.expires_at, POLICY).outcome is Outcome.EXPIRED


def test_an_ended_family_is_not_ended_again():
    family = replace(spent(), ended="logged_out")
    for generation in (1, 2, 3):
        decision = rotate(family, Presented(generation), THEIRS, T0, POLICY)
        assert (decision.outcome, decision.family) == (Outcome.REVOKED, family)


def test_a_client_ahead_by_one_is_believed_because_only_we_can_have_signed_it():
    decision = rotate(spent(), Presented(3), MINE, T0, POLICY)
    assert (decision.outcome, decision.family.generation) == (Outcome.AHEAD, 4)
    assert rotate(decision.family, Presented(3), MINE, T0 + 1, POLICY).outcome is Outcome.RETRY


def test_a_client_far_ahead_is_believed_only_after_a_restore():
    assert rotate(spent(), Presented(9), MINE, T0, POLICY).outcome is Outcome.UNISSUED
    restored = replace(POLICY, restored_until=T0 + 1)
    assert rotate(spent(), Presented(9), MINE, T0, restored).family.generation == 10
    assert rotate(spent(), Presented(9), MINE, T0 + 1, restored).outcome is Outcome.UNISSUED


def test_repeats_are_free_up_to_a_number_and_then_must_wait():
    family = spent()
    for _ in range(MAX_REPLAYS):
        decision = rotate(family, Presented(1), MINE, T0, POLICY)
        assert decision.outcome is Outcome.RETRY
        family = decision.family
    decision = rotate(family, Presented(1), MINE, T0, POLICY)
    assert (decision.outcome, decision.family) == (Outcome.BUSY, family)
    assert decision.retry_after_s > 0
    assert rotate(family, Presented(2), MINE, T0, POLICY).family.replays == 0


@pytest.mark.parametrize(
    ("access_ttl_s", "gap_s", "allowed"), [(1_800.0, 1.0, 10), (1_800.0, 6.1, 40), (3.0, 0.8, 40), (3.0, 0.5, 10)]
)
def test_a_family_may_rotate_ten_times_a_minute_or_four_times_a_lifetime(access_ttl_s, gap_s, allowed):
    policy = replace(POLICY, access_ttl_s=access_ttl_s)
    family, rotated = begin(policy, T0, old_clients=False), 0
    for n in range(40):
        decision = rotate(family, Presented(family.generation), MINE, T0 + n * gap_s, policy)
        if decision.outcome is Outcome.BUSY:
            later = T0 + n * gap_s + decision.retry_after_s
            assert rotate(family, Presented(family.generation), MINE, later, policy).outcome is Outcome.ROTATED
            break
        family, rotated = decision.family, rotated + 1
    assert rotated == allowed


def test_what_is_remembered_of_consumed_generations_stays_small_but_always_holds_the_last():
    policy = replace(POLICY, access_ttl_s=0.1)
    family = begin(policy, T0, old_clients=False)
    for n in range(1, 200):
        family = rotate(family, Presented(n), MINE, T0 + n, policy).family
    assert [each.generation for each in family.consumed] == list(range(200 - REMEMBERED, 200))
    family = rotate(family, Presented(200), MINE, T0 + 200 + REMEMBERED_S, policy).family
    assert [each.generation for each in family.consumed] == [199, 200]


def test_signing_out_takes_a_token_of_the_family_and_in_a_flagged_one_the_newest():
    assert may_end(spent(), Presented(1))
    assert not may_end(spent(), Presented(2, authentic=False))
    assert not may_end(spent(old_clients=True), Presented(1))
    assert may_end(spent(old_clients=True), Presented(2))


@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.floats(0, 400)), max_size=40),
)
def test_with_no_overlap_a_v1_family_is_the_strict_cloud_of_the_field_report(steps):
    """Current token: rotated. Any other: refused. Nothing else ever happens, and nothing is killed."""
    family, now = begin(STRICT, T0, old_clients=True), T0
    for back, wait_s in steps:
        now += wait_s
        generation = max(1, family.generation - back)
        decision = rotate(family, Presented(generation), NOTHING, now, STRICT)
        if generation < family.generation:
            assert decision.outcome is Outcome.SUPERSEDED
            assert decision.family == family
        else:
            assert decision.outcome in {Outcome.ROTATED, Outcome.BUSY}
        family = decision.family


class Interleavings(RuleBasedStateMachine):
    """One family, presented by careful clients over one file, old clients with memories of their own, and a thief.

    Answers get lost, requests arrive late and twice, days pass. A careful client is one process of ours: it writes a
    nonce for the generation in the file, presents exactly that, and replaces the file with what it is answered.
    """

    old_clients = False
    policy = POLICY

    def __init__(self):
        super().__init__()
        self.now = T0
        self.family = begin(self.policy, T0, old_clients=self.old_clients)
        self.file = 1
        self.nonces = 0
        self.nonce = self._fresh(b"owner")
        self.in_flight = []
        self.memories = [1, 1]
        self.stolen = None
        self.touched = False
        """Somebody other than the careful client has advanced or shared the family."""
        self.moved_by_thief = False

    def _fresh(self, whose):
        self.nonces += 1
        return Proof(whose + b"%d" % self.nonces)

    def present(self, generation, proof):
        """One presentation, with everything that must hold of any."""
        before = self.family
        decision = rotate(before, Presented(generation), proof, self.now, self.policy)
        after = decision.family
        assert after.generation >= before.generation
        assert before.ended is None or after == before
        assert after.expires_at <= after.absolute_expires_at
        advances = after.generation > before.generation
        assert advances == (decision.outcome in {Outcome.ROTATED, Outcome.AHEAD})
        assert not advances or generation == before.generation  # nothing beyond it was ever issued
        assert (after.ended is not None) == (before.ended is not None or decision.outcome is Outcome.REUSED)
        if decision.outcome in ANSWERED and not before.old_clients and generation < before.generation:
            last = before.consumed[-1]
            assert generation == last.generation == before.generation - 1
            assert proof.nonce == last.nonce != b""  # a pair for a consumed token: only to the one who consumed it
        self.family = after
        return decision

    @rule(seconds=st.one_of(st.floats(0, 90), st.floats(90, 3_600), st.floats(3_600, 86_400)))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(answer=st.sampled_from(["arrives", "is lost", "request comes again later"]))
    def the_careful_client_renews(self, answer):
        request = (self.file, self.nonce)
        decision = self.present(*request)
        if not self.touched and self.now < self.family.expires_at:
            assert decision.outcome in {Outcome.ROTATED, Outcome.RETRY, Outcome.BUSY}
        if answer == "request comes again later":
            self.in_flight.append((*request, self.now))
        if decision.outcome in ANSWERED and answer != "is lost":
            self.file, self.nonce = decision.family.generation, self._fresh(b"owner")

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def a_late_copy_arrives(self, data):
        generation, proof, sent_at = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if self.now - sent_at >= REMEMBERED_S:  # no network keeps a request for so long
            return
        alive = self.family.ended is None
        decision = self.present(generation, proof)
        if not self.touched and alive:
            benign = {Outcome.SUPERSEDED, Outcome.RETRY, Outcome.EXPIRED, Outcome.BUSY}
            # It may even come first: its own answer was `wait`, and nobody asked again since.
            assert decision.outcome in benign | {Outcome.ROTATED}

    @invariant()
    def at_most_one_refresh_token_is_live(self):
        if self.family.ended is not None or self.now >= self.family.expires_at:
            return
        unhurried = replace(self.policy, access_ttl_s=0.0)
        for proof in (NOTHING, self.nonce, Proof(b"anyone")):
            live = [
                generation
                for generation in range(1, self.family.generation + 1)
                if rotate(self.family, Presented(generation), proof, self.now + 60, unhurried).family.generation
                > self.family.generation
            ]
            assert live == [self.family.generation] or self.now + 60 >= self.family.expires_at

    @invariant()
    def memory_is_bounded(self):
        assert len(self.family.consumed) <= REMEMBERED


class Unflagged(Interleavings):
    """A family of ours: reuse always ends it, benign repeats never do."""

    @precondition(lambda self: self.stolen is None)
    @rule(with_intent=st.booleans())
    def a_thief_copies_the_file(self, with_intent):
        self.stolen = (self.file, self.nonce if with_intent else None)

    @precondition(lambda self: self.stolen is not None)
    @rule(says_nothing=st.booleans())
    def the_thief_presents(self, says_nothing):
        generation, intent = self.stolen
        proof = intent or (NOTHING if says_nothing else self._fresh(b"thief"))
        before = self.family
        decision = self.present(generation, proof)
        self.touched = True
        if decision.outcome in ANSWERED:
            self.stolen = (decision.family.generation, None)
        elif before.ended is None and self.now < before.expires_at and generation < before.generation:
            record = next((each for each in before.consumed if each.generation == generation), None)
            excused = record is not None and (
                (proof.nonce == record.nonce != b"")
                or (not (proof.nonce and record.nonce) and self.now < record.at + self.policy.overlap_s)
            )
            # Every other reuse is found at once.
            assert excused or decision.outcome is Outcome.REUSED


class Flagged(Interleavings):
    """A family of old clients: whatever is presented, it is never ended."""

    old_clients = True

    @rule(which=st.integers(0, 1), lost=st.booleans())
    def an_old_client_renews_from_memory(self, which, lost):
        decision = self.present(self.memories[which], NOTHING)
        self.touched = True
        if decision.outcome in ANSWERED and not lost:
            self.memories[which] = decision.family.generation

    @rule(which=st.integers(0, 1))
    def an_old_client_reads_the_file_again(self, which):
        self.memories[which] = self.file

    @invariant()
    def it_lives(self):
        assert self.family.ended is None


TestUnflagged = Unflagged.TestCase
TestFlagged = Flagged.TestCase
TestUnflagged.settings = TestFlagged.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("thief_first", [True, False])
@given(waits=st.lists(st.floats(61, 1_700), min_size=4, max_size=4))
def test_a_stolen_token_is_found_by_the_second_use_at_the_latest_after_the_overlap(silent, thief_first, waits):
    """Whoever comes second with a consumed token ends the family, so a thief has one lifetime and a window."""
    thief = NOTHING if silent else THEIRS
    first, second = (thief, MINE) if thief_first else (MINE, thief)
    family, now = begin(POLICY, T0, old_clients=False), T0
    now += waits[0]
    family = rotate(family, Presented(1), first, now, POLICY).family
    decision = rotate(family, Presented(1), second, now + waits[1], POLICY)
    assert decision.outcome is Outcome.REUSED
    for generation in (1, 2):
        for proof in (thief, MINE):
            later = rotate(decision.family, Presented(generation), proof, now + waits[1] + waits[2], POLICY)
            assert later.outcome is Outcome.REVOKED
