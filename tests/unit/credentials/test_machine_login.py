"""A machine token as a daemon's login: what a refusal means, and when it is old news."""

import os

import pytest

from relayfile.core.session import Phase, remedy, sentence
from relayfile.credentials.machine_login import MachineLogin
from relayfile.errors import LoginRequired, Misconfigured, Unavailable
from relayfile.model import Secret

ENDED = LoginRequired("the machine token 'ci' was revoked by ada from box7", code="token_revoked")


class Clock:
    boot_id = "boot"
    now = 1000.0

    def wall(self):
        return self.now

    boottime = wall

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.write_text("cld_mt_one\nhttp://127.0.0.1:1\n")
    return path


@pytest.fixture
def answers():
    """What the server will say, one after the other: an error, or None when it takes the token."""
    return []


@pytest.fixture
def login(file, answers):
    def ask(api_url, token):
        assert api_url == "http://127.0.0.1:1"
        if (answer := answers.pop(0)) is not None:
            raise answer

    return MachineLogin(str(file), "http://127.0.0.1:1", ask, Clock(), lambda: 0.5)


def put(file, token):
    """Another token, as whoever rotates secrets puts it there."""
    fresh = file.with_name("fresh")
    fresh.write_text(token + "\n")
    fresh.replace(file)


def test_it_is_used_as_it_is_and_never_renewed(login):
    assert login.token() == login.current() == Secret("cld_mt_one")
    assert login.due_in_s() is None
    assert login.state().phase is Phase.VALID


def test_a_refusal_that_the_server_confirms_parks_it_until_the_file_changes(login, file, answers):
    before = login.file.signature()
    answers.append(ENDED)
    with pytest.raises(LoginRequired):
        login.renew_now(Secret("cld_mt_one"))
    assert login.current() is None
    with pytest.raises(LoginRequired):
        login.token()
    state = login.state()
    assert (state.phase, state.code, state.since) == (Phase.AUTH_FAILED, "token_revoked", 1000.0)
    assert "revoked by ada from box7" in sentence(state)
    assert str(file) in (remedy(state) or "")
    assert not answers, "it asked once, and the next uses asked nobody"
    put(file, "cld_mt_two")
    assert login.file.signature() != before
    assert login.current() == Secret("cld_mt_two")
    assert login.state().phase is Phase.VALID


def test_a_refusal_of_a_token_that_was_replaced_asks_nobody(login, file):
    put(file, "cld_mt_two")
    assert login.renew_now(Secret("cld_mt_one")) == Secret("cld_mt_two")


def test_a_refusal_that_the_server_does_not_confirm_is_believed_once_a_minute(login, answers):
    one = Secret("cld_mt_one")
    answers += [None, None, None]
    assert login.renew_now(one) == one
    with pytest.raises(Unavailable) as caught:
        login.renew_now(one)
    assert caught.value.code == "token_rejected"
    assert login.state().phase is Phase.DEGRADED
    login.clock.sleep(61)
    assert login.renew_now(one) == one
    assert login.state().phase is Phase.VALID


def test_trouble_on_the_way_is_no_end(login, answers):
    answers.append(Unavailable("no server there", code="offline"))
    with pytest.raises(Unavailable):
        login.renew_now(Secret("cld_mt_one"))
    assert login.current() == Secret("cld_mt_one")
    assert (login.state().phase, login.state().code) == (Phase.DEGRADED, "offline")


@pytest.mark.parametrize("spoil", [os.unlink, lambda path: path.write_text("")], ids=["gone", "empty"])
def test_a_file_without_a_token_must_be_mended(login, file, spoil):
    spoil(file)
    assert login.current() is None
    assert login.state().phase is Phase.CONFIG_ERROR
    with pytest.raises(Misconfigured):
        login.token()
