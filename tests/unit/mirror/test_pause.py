"""A running engine that is told to pause, and to go on."""

import asyncio
import threading

import pytest

from relayfile.errors import Halted
from relayfile.mirror.awaited import Awaited
from relayfile.mirror.cycle import Cycle
from relayfile.mirror.resolve import Ruling
from simulation.live import LiveMirror
from simulation.world import SimServer


def equal(picture):
    return picture.equal is True and picture.state == "live"


async def test_a_paused_mirror_records_both_sides_and_places_and_sends_nothing(tmp_path):
    server = SimServer(inline=0)
    server.write("old", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        await mirror.engine.pause()
        steps, fetched = mirror.disk.steps, mirror.api.blobs_sent
        mirror.edit("mine", b"2")
        mirror.api.write("theirs", b"3")
        server.delete("old")
        mirror.api.announce()
        picture = await mirror.until(lambda picture: picture.observed == 3 and picture.pending_edits == 1)
        assert (picture.state, picture.cause.code, picture.paused) == ("paused", "paused", True)
        assert (mirror.disk.steps, mirror.api.blobs_sent) == (steps, fetched)
        assert mirror.disk.text() == {"mine": b"2", "old": b"1"}
        assert "mine" not in server.text()
        mirror.engine.hold(paused=False)
        await mirror.until(equal)
        assert mirror.disk.text() == server.text() == {"mine": b"2", "theirs": b"3"}


async def test_a_mirror_that_begins_paused_observes_and_waits(tmp_path):
    server = SimServer()
    server.write("theirs", b"1")
    mirror = LiveMirror(tmp_path / "s", server, paused=True)
    mirror.disk.write("mine", b"2")
    async with mirror:
        await mirror.engine.waiting.first_observed()
        picture = await mirror.until(lambda picture: picture.observed == 1)
        assert picture.state == "paused"
        assert mirror.disk.text() == {"mine": b"2"}
        assert server.text() == {"theirs": b"1"}
        mirror.engine.hold(paused=False)
        await mirror.until(equal)
        assert mirror.disk.text() == server.text() == {"mine": b"2", "theirs": b"1"}


async def test_an_edit_that_waits_to_be_sent_stays_here_and_is_sent_once_afterwards(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.api.up.clear()
        mirror.edit("mine", b"1")
        while mirror.engine._pushes.parcel is None:
            await mirror.engine._board.news()
        await mirror.engine.pause()
        mirror.api.up.set()
        mirror.api.write("theirs", b"2")
        await mirror.until(lambda picture: picture.observed == 1)
        assert mirror.server.text() == {"theirs": b"2"}
        mirror.engine.hold(paused=False)
        await mirror.until(equal)
        assert mirror.server.text() == {"mine": b"1", "theirs": b"2"}
        assert (mirror.made, mirror.server.puts) == (1, 1)


async def test_a_pause_is_there_only_when_the_turn_that_was_placing_is_over(tmp_path):
    began, goes_on = threading.Event(), threading.Event()

    def hold():
        began.set()
        assert goes_on.wait(10)

    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.disk.before_execute.append(hold)
        mirror.api.write("theirs", b"1")
        assert await asyncio.to_thread(began.wait, 10)
        pausing = asyncio.create_task(mirror.engine.pause())
        mirror.engine._board.announce()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not pausing.done()
        goes_on.set()
        await asyncio.wait_for(pausing, 5)
        assert mirror.disk.text() == {"theirs": b"1"}


async def test_who_pulls_or_waits_is_told_that_it_is_paused_and_what_is_here_is_here(tmp_path):
    server = SimServer()
    server.write("theirs", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        await mirror.engine.pause()
        with pytest.raises(Halted, match="paused") as halted:
            _ = [one async for one in mirror.engine.waiting.current(600)]
        assert halted.value.code == "paused"
        _ = [one async for one in mirror.engine.waiting.arrival(Awaited(1), 600)]
        with pytest.raises(Halted, match="paused"):
            _ = [one async for one in mirror.engine.waiting.arrival(Awaited(2), 600)]


async def test_a_conflict_is_settled_only_after_a_pause(tmp_path):
    server = SimServer()
    server.write("f", b"theirs")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.disk.write("f", b"mine")
        await mirror.until(lambda picture: picture.state == "conflict" and picture.equal)
        [one] = await mirror.engine.between(Cycle.conflicts)
        await mirror.engine.pause()
        before = mirror.disk.text()
        assert (await mirror.engine.settle(Ruling(one.copy, "mine"))).settlement.code == "paused"
        assert mirror.disk.text() == before
        mirror.engine.hold(paused=False)
        assert (await mirror.engine.settle(Ruling(one.copy, "mine"))).settlement.code is None
        await mirror.until(equal)
        assert server.text() == {"f": b"mine"}
