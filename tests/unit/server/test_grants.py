"""Families as they are stored: rate, restore, contention, and the shape of what is issued."""

import time
from dataclasses import replace
from functools import partial

import pytest
from cryptography.exceptions import InvalidTag

from relayfile.core.families import Outcome
from relayfile.errors import Unavailable
from relayfile.server import grants as module
from relayfile.server.bearer import Bearer
from relayfile.server.config import Lifetimes
from relayfile.server.grants import Grants, Issued, Wish
from relayfile.server.store import accounts, families
from relayfile.wire.auth import ClientName, RefreshToken

CLIENT = ClientName("test", "here", 1)
WISH = Wish(CLIENT, "fs:read", old_clients=False, door="test")


@pytest.fixture
def make(database, keys):
    def grants(restored_until=0.0, **lifetimes):
        bearer = Bearer(database, keys)
        return Grants(database, keys, bearer, Lifetimes(**lifetimes), restored_until=restored_until)

    return grants


@pytest.fixture
async def account(database):
    return await database.write(lambda c: accounts.create(c, "ann", "-", accounts.OWNER, time.time()))


def nonce(n):
    return f"{n:032x}"


async def test_access_lifetimes_are_a_little_shorter_at_random_and_never_longer(make, account):
    grants = make(access_ttl_s=100.0)
    lives = [(issued := await grants.begin(account, WISH)).access_expires_at - issued.now for _ in range(30)]
    assert all(90 <= life <= 100 for life in lives)
    assert len(set(lives)) == 30


async def test_no_access_token_outlives_its_family(make, account):
    issued = await make(access_ttl_s=100.0, absolute_ttl_s=5.0).begin(account, WISH)
    assert issued.access_expires_at == issued.stored.family.absolute_expires_at


async def test_a_family_that_renews_too_often_must_wait_and_loses_nothing(make, account):
    grants = make()
    token = (await grants.begin(account, WISH)).refresh.reveal()
    for n in range(10):
        token = (await grants.renew(token, nonce(n), CLIENT, "-")).refresh.reveal()
    refused = await grants.renew(token, nonce(99), CLIENT, "-")
    assert refused.outcome is Outcome.BUSY
    assert 0 < refused.retry_after_s <= 60


async def test_what_the_database_remembers_is_what_was_decided(make, account, database):
    grants = make()
    token = (await grants.begin(account, WISH)).refresh.reveal()
    for n in range(5):
        issued = await grants.renew(token, nonce(n), CLIENT, "-")
        token = issued.refresh.reveal()
        stored = await database.read(partial(families.load, family=issued.stored.holder.id))
        assert stored.family == issued.stored.family
        assert stored.holder.key == issued.stored.holder.key


async def test_a_client_ahead_of_a_restored_database_is_believed_for_a_while(make, account, keys):
    issued = await make().begin(account, WISH)
    holder = issued.stored.holder
    ahead = RefreshToken(holder.id, 7, keys.refresh_mac(holder.key, holder.id, 7)).text()
    refused = await make().renew(ahead, nonce(1), CLIENT, "-")
    assert refused.outcome is Outcome.UNISSUED
    believed = await make(restored_until=time.time() + 60).renew(ahead, nonce(1), CLIENT, "-")
    assert isinstance(believed, Issued)
    assert (believed.outcome, believed.stored.family.generation) == (Outcome.AHEAD, 8)


async def test_a_renewal_that_waited_too_long_for_the_database_uses_nothing_up(make, account, monkeypatch):
    grants = make()
    token = (await grants.begin(account, WISH)).refresh.reveal()
    with monkeypatch.context() as slow:
        slow.setattr(module, "_LOCK_WAIT_S", -1.0)
        with pytest.raises(Unavailable) as busy:
            await grants.renew(token, nonce(1), CLIENT, "-")
    assert busy.value.retry_after_s == 1.0
    assert (await grants.renew(token, nonce(2), CLIENT, "-")).outcome is Outcome.ROTATED


async def test_a_family_key_opens_only_for_its_own_family(make, account, keys):
    holder = (await make().begin(account, WISH)).stored.holder
    with pytest.raises(InvalidTag):
        keys.refresh_mac(holder.key, "0" * 16, 1)


async def test_a_delegation_is_no_sign_in_at_the_other_door(make, account):
    grants = make()
    delegated = await grants.begin(account, replace(WISH, kind="delegation", absolute_ttl_s=60))
    assert delegated.access is None
    assert (await grants.renew(delegated.refresh.reveal(), "", CLIENT, "-")).outcome is Outcome.MALFORMED
    assert isinstance(await grants.renew(delegated.refresh.reveal(), "", CLIENT, "-", kinds={"delegation"}), Issued)


def test_the_form_of_a_refresh_token_is_strict():
    good = RefreshToken("0123456789abcdef", 12, "a" * 43)
    assert RefreshToken.parse(good.text()) == good
    for bad in (
        "",
        "cld_rt_",
        good.text() + "a",
        good.text().replace(".12.", ".0."),
        good.text().replace("12", "١٢"),
    ):
        assert RefreshToken.parse(bad) is None


@pytest.mark.parametrize(
    ("agent", "client", "host", "pid"),
    [
        ("relayfile/1.2.3 (cli; box-7.local; 99)", "relayfile/1.2.3 cli", "box-7.local", 99),
        ("curl/8.1", "curl/8.1", None, None),
        ("", "unknown", None, None),
        ("x\x1b[31mred" + "y" * 500, "x[31mred" + "y" * 111, None, None),
    ],
)
def test_a_user_agent_is_read_or_shown_as_it_is(agent, client, host, pid):
    assert ClientName.parse(agent) == ClientName(client, host, pid)
