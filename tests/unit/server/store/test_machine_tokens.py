"""Rows of machine tokens: what a use leaves behind, and which are still good."""

import time

import pytest

from relayfile.server.store import accounts, machine_tokens
from relayfile.server.store.machine_tokens import MachineToken


@pytest.fixture
async def token(database):
    """A token that ends at 2000."""

    def work(connection):
        account = accounts.create(connection, "ada", "-", accounts.OWNER, time.time())
        made = MachineToken(
            "mt_1", account.id, "ada", "ci", ("fs:read", "relayfile:fs:write:/a b/**"), None, 1.0, 2000.0, "x"
        )
        machine_tokens.insert(connection, made, b"d" * 32)
        return made

    return await database.write(work)


async def test_it_is_found_again_as_it_was_made(database, token):
    assert await database.read(lambda c: machine_tokens.by_digest(c, b"d" * 32)) == token
    assert await database.read(lambda c: machine_tokens.by_id(c, "mt_1")) == token
    assert await database.read(lambda c: machine_tokens.by_digest(c, b"e" * 32)) is None


async def test_the_first_use_stays_and_the_last_one_moves(database, token):
    for now in (100.0, 200.0, 300.0):
        await database.write(lambda c, now=now: machine_tokens.used(c, token.id, now))
    found = await database.read(lambda c: machine_tokens.by_id(c, token.id))
    assert (found.first_used_at, found.last_used_at) == (100.0, 300.0)


async def test_a_token_is_revoked_once_and_by_the_first_who_did(database, token):
    assert await database.write(lambda c: machine_tokens.revoke(c, token.id, "ada from box7", 50.0))
    assert not await database.write(lambda c: machine_tokens.revoke(c, token.id, "bob from box8", 60.0))
    found = await database.read(lambda c: machine_tokens.by_id(c, token.id))
    assert (found.revoked_at, found.revoked_by) == (50.0, "ada from box7")


@pytest.mark.parametrize(("at", "alive"), [(1999.0, ["mt_1"]), (2000.0, []), (None, ["mt_1"])])
async def test_only_those_that_are_good_at_a_moment_are_alive_then(database, token, at, alive):
    found = await database.read(lambda c: machine_tokens.all_of(c, account=token.account, alive_at=at))
    assert [one.id for one in found] == alive
    assert await database.read(lambda c: machine_tokens.all_of(c, account="ac_other", alive_at=at)) == []
