"""Waiting for a position, or for another's write, on a running engine."""

import asyncio

import pytest

from relayfile.errors import Halted, LoginRequired, NotFound, Unavailable
from relayfile.mirror.awaited import Awaited
from relayfile.mirror.ports import Refused, Trouble
from relayfile.model import TreePath
from simulation.live import LiveMirror
from simulation.world import SimServer


def equal(picture):
    return picture.equal is True and picture.state == "live"


async def arrival(mirror, position, path=None, within_s=600):
    async for _ in mirror.engine.waiting.arrival(Awaited(position, path and TreePath(path)), within_s):
        pass


async def test_a_position_is_here_once_everything_up_to_it_lies_on_the_disk(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        waiting = asyncio.ensure_future(arrival(mirror, 3))
        for number in range(2):
            mirror.api.write(f"f{number}", b"x")
        await mirror.until(lambda picture: picture.applied == 2 and equal(picture))
        assert not waiting.done()
        mirror.api.write("f2", b"x")
        await asyncio.wait_for(waiting, 5)
        assert mirror.disk.text() == mirror.server.text()
        await arrival(mirror, 3, within_s=0)


async def test_a_path_is_here_at_its_revision_or_a_later_one_and_not_before(tmp_path):
    server = SimServer()
    server.write("plan", b"old")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        waiting = asyncio.ensure_future(arrival(mirror, 2, "plan"))
        await mirror.until(lambda _: bool(mirror.engine._inbox.awaited))
        assert not waiting.done()
        mirror.api.write("plan", b"new")
        await asyncio.wait_for(waiting, 5)
        assert mirror.disk.text()["plan"] == b"new"
        await arrival(mirror, 1, "plan", within_s=0)


async def test_a_position_in_a_page_of_the_log_is_not_here_while_a_path_changed_by_then_comes_in_a_later_page(
    tmp_path,
):
    server = SimServer()
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
    server.write("plan", b"draft")
    for number in range(2_000):
        server.write(f"f{number}", b"x")
    server.write("plan", b"final")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await arrival(mirror, 1)
        assert mirror.disk.text()["plan"] == b"final"


async def test_a_path_that_was_deleted_since_is_told_as_gone(tmp_path):
    server = SimServer()
    server.write("plan", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        server.delete("plan")
        mirror.api.announce()
        await mirror.until(lambda picture: picture.applied == 2 and equal(picture))
        with pytest.raises(NotFound, match="/plan"):
            await arrival(mirror, 1, "plan")


@pytest.mark.parametrize(("path", "why"), [(".git/config", ".git is not mirrored"), ("CON", "no such name here")])
async def test_a_path_that_the_mirror_does_not_keep_is_refused_with_its_reason(tmp_path, path, why):
    server = SimServer()
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.disk.refuse[TreePath("CON")] = Refused(TreePath("CON"), "no such name here", lasting=True)
        await mirror.until(equal)
        mirror.api.write(path, b"1")
        with pytest.raises(Halted, match=why) as left_out:
            await arrival(mirror, 1, path)
        assert left_out.value.code == "not_kept"


async def test_the_timeout_says_where_the_mirror_is_and_what_is_in_the_way(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        with pytest.raises(Unavailable, match="evt_0") as late:
            await arrival(mirror, 9, within_s=2)
        assert late.value.code == "deadline_passed"
        mirror.disk.refuse[TreePath("full")] = Refused(TreePath("full"), "disk full")
        mirror.api.write("full", b"1")
        await mirror.until(lambda picture: picture.not_kept)
        with pytest.raises(Unavailable, match="disk full"):
            await arrival(mirror, 1, "full", within_s=2)
        assert not mirror.engine._inbox.awaited, "nothing is left behind"


async def test_a_dead_login_ends_the_wait_but_what_is_here_is_here(tmp_path):
    server = SimServer()
    server.write("a", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        mirror.login = Trouble("auth-failed", "token_revoked", "the sign-in was revoked; run `relayfile login`")
        with pytest.raises(LoginRequired):
            await arrival(mirror, 2)
        await arrival(mirror, 1)
        await arrival(mirror, 1, "a")
