"""A folder that vanishes, sleep through one lifetime and then the other, clocks set an hour off in mid-renewal."""

import errno
import shutil

import pytest

import logins
from crash.ledger import POLICY, Ledger
from relayfile.core.families import Outcome
from relayfile.errors import LoginRequired, Misconfigured


@pytest.fixture
def path(place):
    return place / "home" / "cloud-credentials.json"


def test_a_folder_that_vanishes_is_a_login_that_is_gone_and_a_new_sign_in_makes_it_again(path):
    ledger = Ledger()
    mine = logins.session(path, exchange=ledger)
    mine.adopt(ledger.sign_in(good_for_s=0.0))
    shutil.rmtree(path.parent)
    with pytest.raises(LoginRequired):
        mine.token()
    assert not ledger.presented
    mine.adopt(ledger.sign_in())
    assert mine.token().reveal() == "at.f1.1"
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_folder_that_vanishes_during_a_renewal_keeps_the_login_out_of_what_is_made_again(path):
    ledger = Ledger()
    logins.session(path, exchange=ledger).adopt(ledger.sign_in(good_for_s=0.0))

    def vanish(_):
        shutil.rmtree(path.parent)
        return False

    ledger.lose = vanish
    with pytest.raises(LoginRequired):
        logins.session(path, exchange=ledger).token()
    assert not path.exists()


def test_sleeping_through_the_access_lifetime_costs_one_renewal_and_through_the_refresh_lifetime_one_question(path):
    clock = logins.Turned()
    ledger = Ledger(clock)
    mine = logins.session(path, exchange=ledger, clock=clock)
    mine.adopt(ledger.sign_in())
    clock.boot_off = clock.wall_off = 8 * 3_600.0
    assert mine.token().reveal() == "at.f0.2"
    clock.boot_off = clock.wall_off = clock.boot_off + POLICY.refresh_ttl_s + 1
    for _ in range(3):
        with pytest.raises(LoginRequired):
            logins.session(path, exchange=ledger, clock=clock).token()
    assert ledger.outcomes() == [Outcome.ROTATED, Outcome.EXPIRED]


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0])
def test_a_clock_set_while_an_answer_is_under_way_changes_neither_its_life_nor_the_next_renewal(path, jump_s):
    clock = logins.Turned()
    ledger = Ledger(clock)
    mine = logins.session(path, exchange=ledger, clock=clock)
    mine.adopt(ledger.sign_in(good_for_s=0.0))

    def turn(_):
        clock.wall_off = jump_s
        return False

    ledger.lose = turn
    assert [mine.token().reveal() for _ in range(3)] == ["at.f0.2"] * 3
    clock.boot_off = 1_795.0
    assert mine.token().reveal() == "at.f0.3"
    assert ledger.outcomes() == [Outcome.ROTATED, Outcome.ROTATED]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_lock_that_is_refused_stops_the_renewal_and_nothing_is_presented(path, monkeypatch, number):
    ledger = Ledger()
    mine = logins.session(path, exchange=ledger)
    mine.adopt(ledger.sign_in(good_for_s=0.0))

    def refuse(*_):
        raise OSError(number, "no locks here")

    with monkeypatch.context() as there:
        there.setattr("relayfile.credentials.lock.fcntl.flock", refuse)
        with pytest.raises(Misconfigured) as caught:
            mine.token()
    assert caught.value.code == "no_lock"
    assert not ledger.presented
    assert mine.token().reveal() == "at.f0.2"
