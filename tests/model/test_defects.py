"""The explorer finds what is wrong: each deliberate defect breaks an invariant within the bounds that are explored.

Where S1 would complain at once it is not asserted, so that what is seen is the damage and not the breach of a rule.
"""

from dataclasses import replace
from functools import partial

import pytest

from model import defects
from model.explore import BrokenError, explore
from model.invariants import holds
from model.nature import moves
from model.process import LIFETIME_S
from model.world import USUAL, Budget, Setup, initial

BENIGN = frozenset({"benign"})
THEFT = frozenset({"S9"})
LONG_OVERLAP = replace(USUAL, overlap_s=10 * LIFETIME_S)
STOLEN = Budget(ticks=2, copies=1, thefts=3)

DEFECTS = {
    "the intent is never synced": (
        Setup(asserted=BENIGN, forgets=frozenset({"intent"})),
        Budget(ticks=1, cuts=1),
        "benign",
    ),
    "the intent of a dead process is not synced by the next": (
        Setup(asserted=BENIGN, patches=((defects.JOURNAL, defects.SendsAPromiseItDidNotSync),)),
        Budget(ticks=1, kills=1, cuts=1),
        "benign",
    ),
    "a new nonce for each attempt": (
        Setup(asserted=BENIGN, patches=((defects.JOURNAL, defects.PromisesAnewEachTime),)),
        Budget(ticks=1, kills=1),
        "benign",
    ),
    "the promise of a pair that is put back is dropped": (
        Setup(clients=1, asserted=BENIGN, patches=((defects.RENEWAL, defects.DropsThePromiseOfAPairPutBack),)),
        Budget(ticks=2, kills=1, put_back=1),
        "benign",
    ),
    "no lock": (Setup(asserted=BENIGN, locks=False), Budget(ticks=1), "benign"),
    "a lock that is taken from a sleeping holder": (
        Setup(asserted=BENIGN, steals_lock=True),
        Budget(ticks=2),
        "benign",
    ),
    "a wait that ends in renewing without the lock": (
        Setup(asserted=BENIGN, patches=((defects.FILE, defects.GoesOnWithoutTheLock),)),
        Budget(ticks=2),
        "benign",
    ),
    "a wait that ends in renewing without the lock, by the rule": (
        Setup(asserted=frozenset({"S1"}), patches=((defects.FILE, defects.GoesOnWithoutTheLock),)),
        Budget(ticks=2),
        "S1",
    ),
    "a new nonce for each attempt, by the rule": (
        Setup(asserted=frozenset({"S2"}), patches=((defects.JOURNAL, defects.PromisesAnewEachTime),)),
        Budget(ticks=1, kills=1),
        "S2",
    ),
    "an intent that is never synced strands the next process": (
        Setup(asserted=frozenset({"recovers"}), forgets=frozenset({"intent"})),
        Budget(ticks=1, cuts=1),
        "recovers",
    ),
    "a server without nonces strands the next process": (
        Setup(asserted=frozenset({"recovers"}), rotate=defects.strict),
        Budget(ticks=1, lost=1),
        "recovers",
    ),
    "a login that does not revoke what it replaces": (
        Setup(clients=1, asserted=THEFT, patches=((defects.SESSION, defects.KeepsWhatItReplaces),)),
        Budget(ticks=1, copies=1, thefts=1, logins=1),
        "S9",
    ),
    "a server that answers whoever is ahead and stays behind": (
        Setup(asserted=frozenset({"live"}), rotate=defects.never_catches_up),
        Budget(ticks=2, failovers=1),
        "live",
    ),
    "what was read before the lock is presented": (
        Setup(asserted=BENIGN, patches=((defects.RENEWAL, defects.PresentsWhatItRemembers),)),
        Budget(ticks=2),
        "benign",
    ),
    "a token is used before its pair is kept": (
        Setup(patches=((defects.RENEWAL, defects.UsesBeforeItKeeps),)),
        Budget(ticks=1),
        "S3",
    ),
    "neither pair nor history is synced": (
        Setup(forgets=frozenset({"file", "history"})),
        Budget(ticks=1),
        "S3",
    ),
    "consumed tokens are forgotten": (
        Setup(clients=1, asserted=BENIGN, patches=((defects.JOURNAL, defects.ForgetsWhatItConsumed),)),
        Budget(ticks=2, put_back=1),
        "benign",
    ),
    "verdicts are forgotten": (
        Setup(clients=1, asserted=frozenset({"S5"}), patches=((defects.JOURNAL, defects.ForgetsVerdicts),)),
        Budget(ticks=1, copies=1, thefts=1),
        "S5",
    ),
    "logouts are forgotten": (
        Setup(patches=((defects.JOURNAL, defects.ForgetsLogouts),)),
        Budget(ticks=1, logouts=1, put_back=1),
        "S4",
    ),
    "a server without nonces": (
        Setup(asserted=frozenset({"unrefused"}), rotate=defects.strict),
        Budget(ticks=1, lost=1),
        "unrefused",
    ),
    "a server that repeats two generations back": (
        Setup(clients=1, asserted=THEFT, rotate=defects.deep, thief_copies_intent=True),
        STOLEN._replace(ticks=3),
        "S9",
    ),
    "a server that is gracious to anyone for a while": (
        Setup(clients=1, asserted=THEFT, rotate=defects.gracious, policy=LONG_OVERLAP),
        STOLEN,
        "S9",
    ),
    "a server that forgives": (Setup(clients=1, asserted=THEFT, rotate=defects.forgiving), STOLEN, "S9"),
    "a server with two live tokens": (Setup(rotate=defects.doubled), Budget(ticks=1), "live"),
    "a server that forgets which commits it lost": (
        Setup(asserted=BENIGN, rotate=defects.forgets_lost_commits),
        Budget(ticks=2, late=1, failovers=1),
        "benign",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(name):
    setup, budget, broken = DEFECTS[name]
    with pytest.raises(BrokenError, match=broken) as found:
        explore(initial(setup, budget), partial(moves, setup), partial(holds, setup), at_most=150_000)
    print(f"\n{name}, after {len(str(found.value).splitlines()) - 1} moves: {found.value}")
