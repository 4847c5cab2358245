"""Daemon credentials: the decision example by example, and against every order of steps (R10, R11; invariant S9)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relayfile.core.enrolment import SLOT_S, forgotten_at, good_slots, policy_of, renew, scopes_of, slot
from relayfile.core.families import ANSWERED, Outcome, Policy, Presented, begin
from relayfile.core.scopes import ACCOUNT, ACTIONS, Scopes

PEOPLE = Policy(overlap_s=60, access_ttl_s=1_800, refresh_ttl_s=2_592_000, absolute_ttl_s=7_776_000)
POLICY = policy_of(PEOPLE)
DAY = 86_400.0
T0 = 1_000_000.0


def present(family, now=T0 + 60, *, generation=1, authentic=True, proven=True, policy=POLICY):
    return renew(family, Presented(generation, authentic), proven=proven, now=now, policy=policy)


@pytest.fixture
def family():
    return begin(POLICY, T0, old_clients=False)


def test_a_daemon_has_fifteen_minutes_thirty_days_and_ninety_days_and_no_more_than_people():
    assert (POLICY.access_ttl_s, POLICY.refresh_ttl_s, POLICY.absolute_ttl_s) == (900, 30 * DAY, 90 * DAY)
    short = policy_of(replace(PEOPLE, access_ttl_s=3, refresh_ttl_s=60, absolute_ttl_s=600))
    assert (short.access_ttl_s, short.refresh_ttl_s, short.absolute_ttl_s) == (3, 60, 600)
    long = policy_of(replace(PEOPLE, access_ttl_s=9_999, refresh_ttl_s=999 * DAY, absolute_ttl_s=999 * DAY))
    assert (long.access_ttl_s, long.refresh_ttl_s, long.absolute_ttl_s) == (900, 30 * DAY, 90 * DAY)


def test_a_renewal_moves_the_idle_end_and_no_generation(family):
    decision = present(family, T0 + 5 * DAY)
    assert decision.outcome is Outcome.RENEWED
    assert decision.outcome in ANSWERED
    assert decision.family == replace(family, renewed_at=T0 + 5 * DAY, expires_at=T0 + 35 * DAY)


def test_no_renewal_prolongs_it_beyond_its_absolute_end(family):
    for day in range(20, 90, 20):
        family = present(family, T0 + day * DAY).family
    assert family.expires_at == family.absolute_expires_at == T0 + 90 * DAY
    assert present(family, T0 + 90 * DAY).outcome is Outcome.EXPIRED


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ({"authentic": False}, Outcome.MALFORMED),
        ({"authentic": False, "proven": False}, Outcome.MALFORMED),
        ({"proven": False}, Outcome.UNPROVEN),
        ({"generation": 2}, Outcome.UNISSUED),
        ({"now": T0 + 30 * DAY}, Outcome.EXPIRED),
        ({"now": T0 + 30 * DAY, "proven": False}, Outcome.UNPROVEN),
    ],
)
def test_whatever_else_is_presented_is_refused_and_changes_nothing(family, what, outcome):
    decision = present(family, **what)
    assert (decision.outcome, decision.family) == (outcome, family)
    assert outcome not in ANSWERED


def test_an_ended_credential_is_told_so_only_to_the_holder_of_its_key(family):
    over = replace(family, ended="revoked")
    assert present(over).outcome is Outcome.REVOKED
    assert present(over, proven=False).outcome is Outcome.UNPROVEN


class Daemon(RuleBasedStateMachine):
    """A daemon, a thief with its token but not its key, clones with both, and time."""

    def __init__(self):
        super().__init__()
        self.family = begin(POLICY, T0, old_clients=False)
        self.now = T0
        self.idle_from = T0

    @rule(seconds=st.floats(0, 20 * DAY))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def the_daemon_or_a_clone_renews(self):
        alive = self.family.ended is None
        in_time = self.now < min(self.idle_from + 30 * DAY, T0 + 90 * DAY)
        decision = present(self.family, self.now)
        expected = Outcome.REVOKED if not alive else Outcome.RENEWED if in_time else Outcome.EXPIRED
        assert decision.outcome is expected
        self.family = decision.family
        if expected is Outcome.RENEWED:
            self.idle_from = self.now

    @rule(generation=st.integers(1, 9), authentic=st.booleans())
    def a_thief_presents_what_he_has(self, generation, authentic):
        decision = present(self.family, self.now, generation=generation, authentic=authentic, proven=False)
        assert decision.outcome not in ANSWERED
        assert decision.family == self.family

    @precondition(lambda self: self.family.ended is None)
    @rule()
    def somebody_revokes_it(self):
        self.family = replace(self.family, ended="revoked")

    @invariant()
    def there_is_one_refresh_token_and_nothing_to_remember(self):
        assert self.family.generation == 1
        assert self.family.consumed == ()
        assert self.family.expires_at <= self.family.absolute_expires_at


TestDaemon = Daemon.TestCase


words = st.builds(
    lambda action, path: f"relayfile:{action}:{path}" if path else action,
    st.sampled_from(ACTIONS),
    st.sampled_from(["", "/a", "/a/**", "/a/b*", "/c/**"]),
)


@given(st.lists(words, max_size=5), st.lists(words, max_size=5))
def test_a_daemon_never_gets_more_than_the_sign_in_has_and_never_the_account(subject, wanted):
    got = scopes_of(subject, wanted, "rw_1")
    if got is None:
        return
    assert got.grants
    assert got.within(Scopes.parse(subject, workspace="rw_1"))
    assert not got.allows(ACCOUNT, None)
    if wanted:
        assert got == Scopes.parse(wanted, workspace="rw_1")
    assert Scopes.parse(got.words(), workspace="rw_1") == got


def test_what_a_sign_in_grants_to_another_workspace_is_not_passed_on():
    assert scopes_of(["workspace:rw_2:read"], [], "rw_1") is None
    got = scopes_of(["workspace:rw_1:read", "workspace:rw_2:write"], [], "rw_1")
    assert got.words() == ["fs:read"]


@given(st.floats(0, 4e9), st.floats(0, 2 * SLOT_S))
def test_a_nonce_is_good_for_at_least_one_slot_and_at_most_two_and_remembered_until_then(issued_at, later):
    number, now = slot(issued_at), issued_at + later
    good = number in good_slots(now)
    assert good or later >= SLOT_S - 1e-3
    assert good == (now < forgotten_at(number))
