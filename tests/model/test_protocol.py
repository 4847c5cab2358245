"""Every interleaving of a few processes of ours, a server and their misfortunes keeps the invariants S1 to S5 and S9.

The processes are the real client, run effect by effect; the server's decision is the real one. Each row below is
explored to its end: not sampled. The figures are printed with `-s`.
"""

import time
from dataclasses import replace
from functools import partial

import pytest

from model.explore import explore
from model.invariants import holds
from model.nature import moves
from model.process import LIFETIME_S
from model.world import Budget, Setup, initial

SHIPPED = Setup()
LONG_OVERLAP = replace(SHIPPED.policy, overlap_s=10 * LIFETIME_S)
NO_OVERLAP = replace(SHIPPED.policy, overlap_s=0.0)
THEFT = SHIPPED.asserted - {"benign", "unrefused", "recovers"}
OLD = SHIPPED.asserted - {"S3", "S9", "unrefused"}
"""A late copy of ours may be refused beside an old client, and reads the file again (R1)."""

EXPLORED = {
    "three processes and an expiry": (replace(SHIPPED, clients=3), Budget(ticks=1, kills=1)),
    "two lifetimes, a lost answer, a death": (SHIPPED, Budget(ticks=2, lost=1, kills=1)),
    "two deaths": (SHIPPED, Budget(ticks=1, kills=2)),
    "a death, a late request, a lost answer and a power cut": (
        SHIPPED,
        Budget(ticks=1, lost=1, late=1, kills=1, cuts=1),
    ),
    "a full disk, a death and a power cut": (SHIPPED, Budget(ticks=1, kills=1, cuts=1, disk_errors=2)),
    "a login in the middle of it": (SHIPPED, Budget(ticks=1, lost=1, kills=1, logins=1)),
    "a logout in the middle of it": (SHIPPED, Budget(ticks=1, lost=1, kills=1, logouts=1)),
    "a backup of the file put back after a logout": (SHIPPED, Budget(ticks=1, kills=1, logouts=1, put_back=1)),
    "a backup of the file put back": (replace(SHIPPED, clients=1), Budget(ticks=2, kills=1, put_back=1)),
    "a server that loses its last commit": (SHIPPED, Budget(ticks=2, lost=1, late=1, failovers=1)),
    "a thief with a copy": (
        replace(SHIPPED, asserted=THEFT, clients=1),
        Budget(ticks=2, lost=1, copies=1, thefts=2),
    ),
    "a thief with a copy and its intent": (
        replace(SHIPPED, asserted=THEFT, clients=1, thief_copies_intent=True),
        Budget(ticks=2, copies=1, thefts=3),
    ),
    "a thief that leaves the nonce out, and a login": (
        replace(SHIPPED, asserted=THEFT, clients=1),
        Budget(ticks=1, copies=1, thefts=1, logins=1),
    ),
    "access tokens that the server refuses": (SHIPPED, Budget(lost=1, kills=1, rejected=2)),
    "a thief, no overlap": (
        replace(SHIPPED, asserted=THEFT, clients=1, policy=NO_OVERLAP, thief_copies_intent=True),
        Budget(ticks=1, lost=1, copies=1, thefts=3),
    ),
    "an old client on the shared login, within the overlap": (
        replace(SHIPPED, asserted=OLD, clients=1, old_clients=True, policy=LONG_OVERLAP),
        Budget(ticks=2, foreign=3),
    ),
}


@pytest.mark.parametrize("name", EXPLORED)
def test_in_every_interleaving_the_invariants_hold(name):
    report(name, *EXPLORED[name], at_most=150_000)


def report(name, setup, budget, *, at_most):
    began = time.monotonic()
    found = explore(initial(setup, budget), partial(moves, setup), partial(holds, setup), at_most=at_most)
    took = time.monotonic() - began
    print(f"\n{name}: {found.states:,} states, {found.transitions:,} moves, depth {found.depth}, {took:.1f} s")
    assert found.states > 500


LARGER = {
    "three processes, two deaths, a lost answer": (replace(SHIPPED, clients=3), Budget(ticks=1, kills=2, lost=1)),
    "three processes, a death and a power cut": (replace(SHIPPED, clients=3), Budget(ticks=1, kills=1, cuts=1)),
    "two power cuts": (SHIPPED, Budget(ticks=1, kills=1, lost=1, cuts=2)),
    "three lifetimes, a late and a lost answer, a death": (SHIPPED, Budget(ticks=2, kills=1, lost=1, late=1)),
    "a login and a logout in the middle of it": (SHIPPED, Budget(ticks=1, kills=1, lost=1, logins=1, logouts=1)),
    "a backup put back before two processes": (SHIPPED, Budget(ticks=2, kills=1, put_back=1)),
    "a thief among two processes": (
        replace(SHIPPED, asserted=THEFT, thief_copies_intent=True),
        Budget(ticks=2, lost=1, copies=1, thefts=2),
    ),
    "an old client among two processes": (
        replace(SHIPPED, asserted=OLD, old_clients=True, policy=LONG_OVERLAP),
        Budget(ticks=2, kills=1, foreign=3),
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LARGER)
def test_in_every_interleaving_of_more_the_invariants_hold(name):
    report(name, *LARGER[name], at_most=3_000_000)
