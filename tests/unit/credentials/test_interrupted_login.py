"""A login that is interrupted, or half fails, while it is saved: exactly the pair that the file holds stays alive."""

import errno
import os
import signal
import threading

import pytest

import logins
from crash.ledger import Ledger
from fake_authority import Authority
from relayfile.credentials import durable
from relayfile.credentials.journal import Journal
from relayfile.errors import Misconfigured


@pytest.fixture
def authority():
    with Authority() as running:
        yield running


@pytest.fixture
def path(place):
    return place / "cloud-credentials.json"


@pytest.fixture
def signed_in(authority, path):
    """The login that is there before."""
    grant = authority.grant()
    logins.signed_in(path, grant)
    return grant


def spoil(monkeypatch, what):
    """The next login is interrupted there; what `reach` it has then."""

    def interrupt(*_):
        raise KeyboardInterrupt

    if what == "beside":
        monkeypatch.setattr(Journal, "drop_intent", interrupt)
        return durable.no_reach

    def reach(point):
        if point == what:
            interrupt()

    return reach


def only_alive(authority, path, kept, over):
    assert authority.revoked == [over.refresh_token.reveal()]
    assert logins.session(path).current() == kept.access_token
    path.write_bytes(b"torn")
    assert logins.session(path).token() == kept.access_token, "nothing else is put back"


@pytest.mark.parametrize("where", ["FP11 renamed", "FP12 folder synced", "beside"])
def test_a_login_that_is_interrupted_once_the_file_holds_it_replaces_the_one_before(
    authority, path, signed_in, monkeypatch, where
):
    new = authority.grant()
    with monkeypatch.context() as there:
        mine = logins.session(path, reach=spoil(there, where))
        with pytest.raises(KeyboardInterrupt):
            mine.adopt(new)
    only_alive(authority, path, kept=new, over=signed_in)


@pytest.mark.parametrize("where", ["FP9 written", "FP10 synced"])
def test_a_login_that_is_interrupted_before_the_file_holds_it_is_given_up(
    authority, path, signed_in, monkeypatch, where
):
    new = authority.grant()
    mine = logins.session(path, reach=spoil(monkeypatch, where))
    with pytest.raises(KeyboardInterrupt):
        mine.adopt(new)
    only_alive(authority, path, kept=signed_in, over=new)


def test_ctrl_c_while_a_login_is_saved_waits_until_nothing_of_the_one_before_is_left(path):
    ledger, seen = Ledger(), []
    logins.session(path, exchange=ledger).adopt(ledger.sign_in())
    beside = path.with_suffix(".intent")
    beside.write_text("{}")

    def reach(point):
        seen.append(point)
        if point == "FP9 written":
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # a command has no other thread, a worker does

    new = ledger.sign_in()
    mine = logins.session(path, exchange=ledger, reach=reach)
    with pytest.raises(KeyboardInterrupt):
        mine.adopt(new)
    assert seen[-1] == "FP12 folder synced"
    assert not beside.exists()
    assert mine.current() == new.access_token
    assert [family.ended for family in ledger.families.values()] == ["replaced", None]


def test_a_login_whose_folder_cannot_be_synced_is_saved_and_says_what_a_power_cut_may_do(
    authority, path, signed_in, monkeypatch
):
    new, said = authority.grant(), []
    with monkeypatch.context() as there:
        refuse_to_sync(there, path)
        logins.session(path, notice=said.append).adopt(new)
    assert "power cut" in said[0]
    assert str(path) in said[0]
    only_alive(authority, path, kept=new, over=signed_in)


def test_a_login_that_could_neither_be_written_nor_read_back_is_given_up(authority, path, monkeypatch):
    new = authority.grant()
    path.mkdir()
    with pytest.raises(Misconfigured):
        logins.session(path).adopt(new)
    assert authority.revoked == [new.refresh_token.reveal()]


def refuse_to_sync(monkeypatch, path):
    sync = durable.sync_folder

    def refused(of):
        if of == str(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(of)

    monkeypatch.setattr(durable, "sync_folder", refused)
