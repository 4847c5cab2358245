"""Waking without losing a wake."""

import asyncio

from relayfile.server.hub import Hub


async def test_who_waits_is_woken_by_a_change_of_that_workspace_only():
    hub = Hub()
    mine, other = asyncio.ensure_future(hub.wait("a", 0)), asyncio.ensure_future(hub.wait("b", 0))
    await asyncio.sleep(0)
    hub.changed("a", 1)
    assert await mine is True
    assert not other.done()
    other.cancel()


async def test_a_change_before_the_wait_is_not_missed():
    hub = Hub()
    hub.changed("a", 7)
    assert await hub.wait("a", 6) is True
    assert await hub.wait("a", 7, timeout_s=0.001) is False


async def test_a_wake_without_a_position_makes_who_waits_look_again():
    hub = Hub()
    waiting = asyncio.ensure_future(hub.wait("a", 100))
    await asyncio.sleep(0)
    hub.changed("a")
    assert await waiting is True


async def test_nothing_is_kept_of_who_stopped_waiting():
    hub = Hub()
    waiting = asyncio.ensure_future(hub.wait("a", 0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not hub._waiting
