"""The gate of a daemon with a credential of its own: quiet when that is over, awake soon after a sign-in."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

import logins
from daemon_authority import DaemonAuthority
from relayfile.client.enrol import DaemonEnroller
from relayfile.client.gate import Gate
from relayfile.core.session import Phase
from relayfile.credentials.daemon import DaemonLogin
from relayfile.credentials.daemon_file import DaemonFile
from relayfile.credentials.own import Purpose


@pytest.fixture
def authority():
    with DaemonAuthority() as running:
        yield running


@pytest.fixture
def path(place):
    return place / "cloud-credentials.json"


async def in_thread(work):
    return await asyncio.to_thread(work)


@asynccontextmanager
async def running(authority, path):
    shared = logins.session(path, role="owner")
    kept = DaemonFile(path.parent / "mirror")
    login = DaemonLogin(kept, shared, DaemonEnroller(limits=logins.QUICK), Purpose(authority.url, "rw_1", "m1"))
    gate = Gate(login, in_thread)
    task = asyncio.create_task(gate.run())
    try:
        yield gate
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def phase(gate, wanted, within_s=10.0):
    async with asyncio.timeout(within_s):
        while gate.login.phase != wanted:
            await gate.changed()


async def test_an_expiry_is_invisible_and_the_shared_sign_in_is_presented_never(authority, path):
    authority.access_ttl_s = 0.8
    logins.signed_in(path, authority.grant(expires_in_s=1800))
    async with running(authority, path) as gate:
        async with asyncio.timeout(5.0):
            while authority.answers["renewed"] < 3:
                assert (await gate.token()).reveal().startswith("cld_at_")
                await asyncio.sleep(0.01)
        assert gate.login.own is not None
    assert authority.outcomes() == {}
    assert authority.answers["enrolled"] == 1


async def test_a_revoked_credential_parks_without_a_request_and_wakes_within_two_seconds_of_a_sign_in(
    authority, path, expected_warnings
):
    expected_warnings.append("auth-failed: needs re-login")
    logins.signed_in(path, authority.grant())
    async with running(authority, path) as gate:
        async with asyncio.timeout(5.0):
            token = await gate.token()
        authority.daemons[0].ended = "revoked"
        gate.rejected(token)
        await phase(gate, Phase.AUTH_FAILED)
        waiting, asked = asyncio.create_task(gate.token()), sum(authority.requests.values())
        await asyncio.sleep(1.2)
        assert sum(authority.requests.values()) == asked
        assert not waiting.done()
        fresh = authority.grant()
        await in_thread(lambda: logins.session(path).adopt(fresh))
        async with asyncio.timeout(2.0):
            woken = await waiting
        assert authority.daemons[1].name in woken.reveal()
        assert gate.login.phase is Phase.VALID


async def test_the_next_renewal_of_the_sign_in_that_was_there_does_not_wake_it(authority, path, expected_warnings):
    expected_warnings.append("auth-failed: needs re-login")
    logins.signed_in(path, authority.grant())
    async with running(authority, path) as gate:
        async with asyncio.timeout(5.0):
            token = await gate.token()
        authority.daemons[0].ended = "revoked"
        gate.rejected(token)
        await phase(gate, Phase.AUTH_FAILED)
        theirs = logins.session(path)
        await in_thread(lambda: theirs.renew_now(theirs.current()))
        await asyncio.sleep(1.2)
        assert gate.login.phase is Phase.AUTH_FAILED
    assert len(authority.daemons) == 1


async def test_a_server_without_them_is_served_at_once_through_the_shared_sign_in(authority, path):
    authority.offers = False
    grant = authority.grant()
    logins.signed_in(path, grant)
    async with running(authority, path) as gate:
        async with asyncio.timeout(2.0):
            assert await gate.token() == grant.access_token
        assert gate.login.note
