"""What `tests/model` found wrong, each trace played on the real files."""

from dataclasses import replace

import pytest

import logins
from crash.ledger import POLICY, Ledger
from crash.platter import Died, Platter, undisturbed
from relayfile.core.families import Outcome, Presented, Proof, begin, rotate
from relayfile.credentials import durable
from relayfile.errors import Misconfigured, Unavailable


@pytest.fixture
def path(place):
    return place / "home" / "cloud-credentials.json"


@pytest.fixture
def ledger():
    return Ledger()


def signed_in(path, ledger, good_for_s=0.0):
    mine = logins.session(path, exchange=ledger)
    mine.adopt(ledger.sign_in(good_for_s=good_for_s))
    return mine


def test_a_promise_that_its_maker_did_not_sync_is_synced_by_whoever_sends_it(path, ledger, monkeypatch):
    """Dead between rename and sync of the intent; another sends it; the power goes before an answer comes."""
    signed_in(path, ledger)
    platter = Platter(path.parent)
    monkeypatch.setattr(durable, "os", platter)

    def die_before_the_folder_is_synced(step, what):
        if (path.parent / "cloud-credentials.intent").exists():
            raise Died

    platter.disturb = die_before_the_folder_is_synced
    with pytest.raises(Died):
        logins.session(path, exchange=ledger).token()
    platter.disturb = undisturbed

    def the_power_goes(_):
        platter.cut()
        raise Died

    ledger.lose = the_power_goes
    with pytest.raises(Died):
        logins.session(path, exchange=ledger).token()
    ledger.lose = lambda _: False
    assert logins.session(path, exchange=ledger).token().reveal() == "at.f0.2"
    assert ledger.outcomes() == [Outcome.ROTATED, Outcome.RETRY]


@pytest.mark.parametrize("what", ["an old copy", "half a file"])
def test_a_pair_that_is_put_back_keeps_the_promise_of_its_renewal(path, ledger, what):
    """The answer to a renewal is lost; then the file is spoilt; the history's newest pair is put back."""
    mine = signed_in(path, ledger)
    first = path.read_bytes()
    ledger_grant = mine.token()
    assert ledger_grant.reveal() == "at.f0.2"
    ledger.lose = lambda n: n == 2
    later = logins.session(path, exchange=ledger, clock=logins.Turned(wall=3_600, boot=3_600))
    with pytest.raises(Unavailable):
        later.token()
    path.write_bytes(first if what == "an old copy" else first[:100])
    assert later.token().reveal() == "at.f0.3"
    assert ledger.outcomes() == [Outcome.ROTATED, Outcome.ROTATED, Outcome.RETRY]


def test_a_late_copy_of_a_request_whose_commit_was_lost_ends_nothing():
    """The server loses its newest commit, its client comes with the successor, then the copy arrives."""
    policy, first, second = replace(POLICY, overlap_s=0.0), Proof(b"first"), Proof(b"second")
    family = begin(policy, 0.0, old_clients=False)
    assert rotate(family, Presented(1), first, 1.0, policy).outcome is Outcome.ROTATED  # and lost
    ahead = rotate(family, Presented(2), second, 2.0, policy)
    assert ahead.outcome is Outcome.AHEAD
    copy = rotate(ahead.family, Presented(1), first, 3.0, policy)
    assert (copy.outcome, copy.family) == (Outcome.SUPERSEDED, ahead.family)


def test_a_promise_that_cannot_be_read_is_not_made_a_second_time(path, ledger):
    """Not the model's: it assumed that what is there can be read."""
    mine = signed_in(path, ledger)
    ledger.lose = lambda n: n == 1
    with pytest.raises(Unavailable):
        mine.token()
    intent = path.parent / "cloud-credentials.intent"
    kept = intent.rename(intent.with_suffix(".aside"))
    intent.symlink_to(intent)  # a name that opens to an error, whoever asks
    with pytest.raises(Misconfigured):
        mine.token()
    kept.replace(intent)
    assert mine.token().reveal() == "at.f0.2"
    assert ledger.outcomes() == [Outcome.ROTATED, Outcome.RETRY]
