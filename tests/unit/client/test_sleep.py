"""A daemon's gate on a machine that slept: it looks first, renews apart, and forgives the network a minute."""

import asyncio
import time

import pytest

import logins
from fake_authority import Authority, Said
from relayfile.client.exchange import TokenExchange
from relayfile.client.gate import Gate
from relayfile.core.schedule import Limits
from relayfile.core.session import Phase

NIGHT_S = 8 * 3_600.0
MONTH_S = 31 * 86_400.0


@pytest.fixture
def authority():
    with Authority() as running:
        yield running


@pytest.fixture
def path(place):
    return place / "cloud-credentials.json"


@pytest.fixture
async def asleep(authority, path):
    """A gate whose machine sleeps when told; `chance` is its every draw."""
    tasks = []

    async def begun(chance, **limits):
        clock = logins.Turned()
        mine = logins.signed_in(path, authority.grant(), role="owner", clock=clock, limits=Limits(**limits))
        mine.chance = lambda: chance
        gate = Gate(mine, asyncio.to_thread)
        tasks.append(asyncio.create_task(gate.run()))
        await gate.token()
        await asyncio.sleep(0)

        def sleeps(seconds):
            clock.boot_off = clock.wall_off = seconds
            return time.monotonic()

        return gate, sleeps

    yield begun
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_machines_that_wake_together_renew_apart(authority, asleep):
    gate, sleeps = await asleep(1.0)
    woke = sleeps(NIGHT_S)
    async with asyncio.timeout(20.0):
        assert (await gate.token()).reveal().split(".")[1] == "2"
    assert authority.presented[0].at - woke >= 2.0
    assert authority.outcomes() == {"rotated": 1}


async def test_a_pair_that_somebody_renewed_on_waking_is_taken_and_nothing_is_asked(authority, path, asleep):
    gate, sleeps = await asleep(1.0)
    sleeps(NIGHT_S)
    waiting = asyncio.create_task(gate.token())
    clock = logins.Turned(NIGHT_S, NIGHT_S)
    other = logins.session(path, clock=clock, exchange=TokenExchange("other", clock=clock))
    theirs = await asyncio.to_thread(other.token)
    async with asyncio.timeout(20.0):
        assert await waiting == theirs
    assert [one.agent.partition("(")[2].partition(";")[0] for one in authority.presented] == ["other"]


async def test_for_a_minute_after_a_sleep_trouble_does_not_grow(authority, asleep, expected_warnings):
    expected_warnings.append("renewal does not get through")
    authority.instead = lambda _: Said(503, b"{}")
    gate, sleeps = await asleep(0.0, attempts=1)
    sleeps(NIGHT_S)
    waiting = asyncio.create_task(gate.token())
    async with asyncio.timeout(30.0):
        while authority.requests["/oauth/token"] < 4:  # noqa: ASYNC110 - the server is asked from elsewhere
            await asyncio.sleep(0.01)
    assert gate.login.failures == 1
    authority.instead = lambda _: None
    async with asyncio.timeout(30.0):
        await waiting
    assert gate.login.failures == 0


async def test_a_machine_that_slept_through_its_refresh_lifetime_asks_once_parks_and_wakes_with_a_login(
    authority, path, asleep, expected_warnings
):
    expected_warnings.append("auth-failed: needs re-login")
    gate, sleeps = await asleep(0.0, rereads_s=(0.05,))
    for family in authority.families.values():
        family.alive = False
    sleeps(MONTH_S)
    waiting = asyncio.create_task(gate.token())
    async with asyncio.timeout(20.0):
        while gate.login.phase is not Phase.AUTH_FAILED:
            await gate.changed()
    assert len(authority.presented) == 1
    fresh = authority.grant()
    mine = logins.session(path, clock=logins.Turned(MONTH_S, MONTH_S))
    await asyncio.to_thread(mine.adopt, fresh)
    async with asyncio.timeout(20.0):
        assert await waiting == fresh.access_token
    assert len(authority.presented) == 1
