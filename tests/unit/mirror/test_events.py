"""What a running engine tells those who follow it."""

import asyncio
import contextlib

from relayfile.errors import Forbidden, Unavailable
from relayfile.mirror.events import MOST_WAITING
from relayfile.mirror.ports import Refused
from relayfile.model import TreePath
from simulation.live import LiveMirror
from simulation.world import SimServer


def equal(picture):
    return picture.equal is True and picture.pending_edits == 0


def fail(error):
    raise error


class Follower:
    """Follows an engine in a task of its own, as a handler of the control socket does."""

    def __init__(self, engine, *below):
        self.told = []
        self._events = engine.events.follow(below)
        self._task = asyncio.create_task(self._read())

    async def _read(self):
        async with contextlib.aclosing(self._events) as events:
            async for some in events:
                self.told += some

    async def ended(self):
        await asyncio.wait_for(self._task, 5)

    def changes(self):
        return [(one.kind, one.path, one.revision) for one in self.told if one.path]

    def states(self):
        return [one.state for one in self.told if one.kind == "state"]


async def test_each_change_is_told_once_it_is_recorded(tmp_path):
    server = SimServer()
    for name in ("theirs", "both"):
        server.write(name, b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        follower = Follower(mirror.engine)
        await mirror.until(equal)
        mirror.edit("mine", b"2")
        await mirror.until(lambda picture: picture.observed == 3 and equal(picture))
        server.delete("theirs")
        mirror.api.announce()
        await mirror.until(lambda picture: picture.observed == 4 and equal(picture))
        mirror.disk.delete("mine")
        mirror.edit("both", b"ours")
        server.write("both", b"theirs")
        mirror.engine._inbox.sweep = True
        mirror.api.announce()
        await mirror.until(lambda picture: picture.observed >= 6 and picture.conflicts and equal(picture))
    await follower.ended()
    changes = follower.changes()
    assert changes[:4] == [
        ("placed", "theirs", 1),
        ("placed", "both", 2),
        ("uploaded", "mine", 3),
        ("removed", "theirs", 4),
    ]
    [conflict] = [one for one in follower.told if one.kind == "conflict"]
    assert conflict.path == "both"
    assert "both (conflict host " in conflict.cause.sentence
    assert ("placed", "both", 5) in changes
    assert changes.index(("placed", "both", 5)) > changes.index(("conflict", "both", 5))
    assert {kind for kind, path, _ in changes if path == "mine"} == {"uploaded", "deleted_remotely"}
    assert follower.states()[0] == "bootstrapping"
    assert follower.states()[-1] == "stopped"
    assert "live" in follower.states()
    assert all(one.at_s > 0 for one in follower.told)


async def test_a_merge_is_told_and_then_that_it_was_sent(tmp_path):
    server = SimServer()
    server.write("text", b"a\nb\nc\n")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        follower = Follower(mirror.engine)
        mirror.disk.write("text", b"ours\nb\nc\n")
        server.write("text", b"a\nb\ntheirs\n")
        mirror.engine._inbox.sweep = True
        mirror.api.announce()
        await mirror.until(lambda picture: picture.observed == 3 and equal(picture))
        assert server.text() == {"text": b"ours\nb\ntheirs\n"}
    await follower.ended()
    assert follower.changes() == [("merged", "text", 2), ("uploaded", "text", 3)]


async def test_refusals_of_either_side_are_told_with_their_reason(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        follower = Follower(mirror.engine)
        mirror.disk.refuse[TreePath("CON")] = Refused(TreePath("CON"), "no such name here", lasting=True)
        mirror.api.write("CON", b"1")
        mirror.api.push_fails.append(Forbidden("missing required scope: fs:write"))
        mirror.edit("mine", b"1")
        await mirror.until(lambda picture: picture.not_kept_count == 2)
    await follower.ended()
    refused = {one.path: one.cause.sentence for one in follower.told if one.kind == "refused"}
    assert refused == {"CON": "no such name here", "mine": "missing required scope: fs:write"}


async def test_only_what_lies_at_or_below_the_paths_is_told_and_every_state(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        follower = Follower(mirror.engine, "docs", "plan")
        for name in ("docs/a", "docs2", "plan", "planning/x"):
            mirror.api.write(name, b"1")
        await mirror.until(lambda picture: picture.observed == 4 and equal(picture))
    await follower.ended()
    assert [path for _, path, _ in follower.changes()] == ["docs/a", "plan"]
    assert follower.states()[0] == "live"


async def test_a_change_whose_record_failed_is_told_only_when_it_is_recorded(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        follower = Follower(mirror.engine)
        record = mirror.state.intents.placed
        failures = [Unavailable("the disk is full", code="disk_io")]

        def placed():
            if failures:
                fail(failures.pop())
            record()

        mirror.state.intents.placed = placed
        mirror.edit("mine", b"1")
        await mirror.until(lambda picture: picture.observed == 1 and equal(picture))
        mirror.api.write("a", b"1")
        picture = await mirror.until(lambda picture: picture.observed == 2 and equal(picture))
        assert picture.cycles_cancelled == 1
    await follower.ended()
    assert follower.changes() == [("uploaded", "mine", 1)], "what lies there already is adopted, and so no change"


async def test_a_follower_that_does_not_read_learns_how_many_events_it_lost(tmp_path):
    server = SimServer()
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        events = mirror.engine.events.follow()
        assert [one.kind for one in await anext(events)] == ["state"]
        for number in range(MOST_WAITING + 500):
            server.write(f"f{number}", b"x")
        mirror.api.announce()
        await mirror.until(lambda picture: picture.observed == MOST_WAITING + 500 and equal(picture))
        told = await anext(events)
        assert len(told) == MOST_WAITING + 1
        assert told[-1].kind == "lost"
        placed = sum(one.kind == "placed" for one in told)
        assert placed + told[-1].count >= MOST_WAITING + 500
        mirror.api.write("after", b"1")
        while not (told := [one for one in await anext(events) if one.path]):
            pass
        assert [one.path for one in told] == ["after"]
        await events.aclose()
        assert not mirror.engine.events.followed


async def test_an_empty_answer_comes_while_nothing_happens(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        events = mirror.engine.events.follow()
        await anext(events)
        async with asyncio.timeout(5):
            assert await anext(events) == []
        await events.aclose()


async def test_followers_end_with_an_engine_that_is_cut_down(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        follower = Follower(mirror.engine)
        await asyncio.sleep(0)
        mirror.tasks["engine"].cancel()
        await follower.ended()
        mirror.tasks["engine"] = asyncio.create_task(asyncio.sleep(0))
    assert follower.states()[-1] == "stopped"
