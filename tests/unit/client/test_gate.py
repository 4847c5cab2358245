"""The daemon's gate: invisible expiries, a quiet dead login, and waking when somebody signs in."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import asyncinotify
import pytest

import logins
from fake_authority import Authority, Said
from relayfile.client.gate import Gate
from relayfile.core.session import Phase


@pytest.fixture
def authority():
    with Authority() as running:
        yield running


@pytest.fixture
def path(place):
    return place / "cloud-credentials.json"


async def in_thread(work):
    return await asyncio.to_thread(work)


@asynccontextmanager
async def running(session):
    gate = Gate(session, in_thread)
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


async def test_an_expiry_is_invisible_and_each_generation_is_rotated_once(authority, path):
    authority.access_ttl_s = 0.8
    mine = logins.signed_in(path, authority.grant(), role="owner")
    async with running(mine) as gate:
        seen, until = [], time.monotonic() + 3.0
        while time.monotonic() < until:
            async with asyncio.timeout(1.0):
                seen.append((await gate.token()).reveal())
            await asyncio.sleep(0.01)
    generations = [int(token.split(".")[1]) for token in seen]
    assert generations == sorted(generations)
    assert 4 <= generations[-1] <= 3.2 / (0.8 * 0.58) + 1
    assert set(authority.outcomes()) == {"rotated"}


async def test_a_dead_login_parks_without_a_request_and_wakes_within_two_seconds_of_a_login(
    authority, path, expected_warnings
):
    expected_warnings.append("auth-failed: needs re-login")
    grant = authority.grant(expires_in_s=0)
    mine = logins.signed_in(path, grant, role="owner")
    authority.families[grant.family].alive = False
    async with running(mine) as gate:
        waiting = asyncio.create_task(gate.token())
        await phase(gate, Phase.AUTH_FAILED)
        asked = sum(authority.requests.values())
        await asyncio.sleep(1.2)
        assert sum(authority.requests.values()) == asked
        assert len(authority.presented) == 1
        assert not waiting.done()
        fresh = authority.grant()
        await in_thread(lambda: logins.session(path).adopt(fresh))
        revocations = authority.requests["/oauth/revoke"]
        async with asyncio.timeout(2.0):
            assert await waiting == fresh.access_token
        assert gate.login.phase is Phase.VALID
    assert sum(authority.requests.values()) - revocations == asked


async def test_without_notifications_the_look_each_second_is_enough(authority, path, monkeypatch, expected_warnings):
    expected_warnings.append("not signed in")
    monkeypatch.setattr("relayfile.client.gate.sys.platform", "elsewhere")
    async with running(logins.session(path, role="owner")) as gate:
        waiting = asyncio.create_task(gate.token())
        await asyncio.sleep(0.1)
        assert gate.login.phase is Phase.NO_SESSION
        fresh = authority.grant()
        await in_thread(lambda: logins.session(path).adopt(fresh))
        async with asyncio.timeout(2.0):
            assert await waiting == fresh.access_token


async def test_where_the_system_has_no_notification_left_the_gate_works_all_the_same(
    authority, path, monkeypatch, expected_warnings
):
    expected_warnings.append("auth-failed: needs re-login")

    def none():
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncinotify, "Inotify", none)
    grant = authority.grant(expires_in_s=0)
    mine = logins.signed_in(path, grant, role="owner")
    authority.families[grant.family].alive = False
    async with running(mine) as gate:
        await phase(gate, Phase.AUTH_FAILED)
        mine.adopt(authority.grant(), replace=True)
        async with asyncio.timeout(5.0):
            await gate.token()


async def test_a_refused_token_is_replaced_once_whatever_number_of_requests_complain(authority, path):
    mine = logins.signed_in(path, authority.grant(), role="owner")
    async with running(mine) as gate:
        first = await gate.token()
        for _ in range(20):
            gate.rejected(first)
        async with asyncio.timeout(5.0):
            second = await gate.token()
        assert second != first
        gate.rejected(first)
        assert await gate.token() == second
    assert authority.outcomes() == {"rotated": 1}


async def test_a_server_that_says_the_sign_in_is_over_parks_the_gate_also_right_after_a_renewal(
    authority, path, expected_warnings
):
    expected_warnings.append("auth-failed")
    grant = authority.grant()
    mine = logins.signed_in(path, grant, role="owner")
    async with running(mine) as gate:
        gate.rejected(await gate.token())
        fresh = await gate.token()
        authority.families[grant.family].alive = False
        gate.rejected(fresh, over=True)
        gate.rejected(fresh)
        await phase(gate, Phase.AUTH_FAILED)
    assert authority.outcomes() == {"rotated": 1, "rejected": 1}


async def test_a_server_that_refuses_fresh_tokens_is_trouble_and_no_storm(authority, path, expected_warnings):
    expected_warnings.append("renewal does not get through")
    mine = logins.signed_in(path, authority.grant(), role="owner")
    async with running(mine) as gate:
        gate.rejected(await gate.token())
        gate.rejected(await gate.token())
        await phase(gate, Phase.DEGRADED)
        assert gate.login.code == "token_rejected"
        assert gate.login.failures >= 1
    assert authority.outcomes() == {"rotated": 1}


async def test_while_renewals_fail_the_gate_stays_open_as_long_as_the_token_lasts(authority, path, expected_warnings):
    expected_warnings.append("renewal does not get through")
    authority.instead = lambda _: Said(503, b"{}")
    authority.access_ttl_s = 60.0
    mine = logins.signed_in(path, authority.grant(), role="owner", clock=logins.Turned())
    mine.clock.boot_off = 50
    async with running(mine) as gate:
        token = await gate.token()
        await phase(gate, Phase.DEGRADED)
        assert await gate.token() == token
        assert gate.login.next_attempt_s is not None
        authority.instead = lambda _: None
        await phase(gate, Phase.VALID)
        assert await gate.token() != token
    assert authority.outcomes() == {"rotated": 1}


async def test_a_token_renewed_by_another_process_is_taken_over_without_a_request(authority, path):
    authority.access_ttl_s = 60.0
    mine = logins.signed_in(path, authority.grant(), role="owner")
    async with running(mine) as gate:
        first = await gate.token()
        theirs = await in_thread(lambda: logins.session(path).renew_now(first))
        async with asyncio.timeout(2.0):
            while await gate.token() != theirs:  # noqa: ASYNC110 - asked as requests ask it
                await asyncio.sleep(0.01)
    assert authority.outcomes() == {"rotated": 1}


async def test_after_a_sleep_it_looks_at_the_file_first_and_renews_once(authority, path):
    mine = logins.signed_in(path, authority.grant(), role="owner", clock=logins.Turned())
    async with running(mine) as gate:
        await gate.token()
        mine.clock.boot_off = 8 * 3600
        async with asyncio.timeout(6.0):
            assert (await gate.token()).reveal().split(".")[1] == "2"
    assert authority.outcomes() == {"rotated": 1}


async def test_a_logout_parks_and_says_so(authority, path, expected_warnings):
    expected_warnings.append("signed out")
    mine = logins.signed_in(path, authority.grant(), role="owner")
    async with running(mine) as gate:
        await gate.token()
        await in_thread(logins.session(path).logout)
        await phase(gate, Phase.LOGGED_OUT)


async def test_a_damaged_file_is_a_state_that_says_what_to_mend(authority, path, expected_warnings):
    expected_warnings.append("this machine must be mended")
    path.write_bytes(b"{")
    path.chmod(0o600)
    async with running(logins.session(path, role="owner")) as gate:
        await phase(gate, Phase.CONFIG_ERROR)
        fresh = authority.grant()
        await in_thread(lambda: logins.session(path).adopt(fresh))
        async with asyncio.timeout(3.0):
            assert await gate.token() == fresh.access_token
