"""The engine with its jobs running, against a simulated server and disk."""

import asyncio

import apsw
import pytest

from relayfile.errors import CursorExpired, Forbidden, Halted, LoginRequired, NotFound, Unavailable
from relayfile.mirror.ports import Hint, Refused, Trouble
from relayfile.model import Cursor, TreePath
from simulation.live import LiveMirror
from simulation.world import SimServer


def fail(error):
    raise error


def equal(picture):
    return picture.equal is True and picture.state == "live"


async def test_it_fills_the_folder_then_follows_both_sides(tmp_path):
    server = SimServer()
    for number in range(700):
        server.write(f"f{number}", b"%d" % number)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.engine.waiting.first_observed()
        await mirror.until(equal)
        assert mirror.disk.text() == server.text()
        mirror.api.write("theirs", b"1")
        await mirror.until(lambda picture: picture.observed == 701 and equal(picture))
        mirror.edit("mine", b"2")
        picture = await mirror.until(lambda picture: picture.observed == 702 and equal(picture))
        assert mirror.disk.text() == server.text()
        assert server.text()["mine"] == b"2"
        assert (picture.engine_starts, picture.cycles_cancelled, picture.pending_edits) == (1, 0, 0)


async def test_large_bodies_come_apart_and_a_cut_answer_goes_on_where_it_was(tmp_path):
    server = SimServer()
    for number in range(30):
        server.write(f"big{number}", b"%d" % number * 70_000)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.api.cut_after = 7
        await mirror.until(equal)
        assert mirror.disk.text() == server.text()
        assert mirror.api.blobs_sent == 30


async def test_a_restart_resumes_at_the_cursor(tmp_path):
    server = SimServer()
    server.write("a", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        disk = mirror.disk
    disk.write("offline", b"2")
    async with LiveMirror(tmp_path / "s", server, disk) as mirror:
        await mirror.engine.waiting.first_observed()
        picture = await mirror.until(lambda picture: picture.observed == 2 and equal(picture))
        assert mirror.api.readings[0] == (Cursor("e1", 1), None)
        assert picture.engine_starts == 2
        assert picture.cycles > 1


async def test_a_dead_login_parks_the_network_only_and_edits_go_on_being_recorded(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.api.up.clear()
        mirror.login = Trouble("auth-failed", "token_revoked", "the sign-in was revoked; run `relayfile login`")
        before = mirror.api.requests
        for number in range(5):
            mirror.edit(f"f{number}", b"x")
        picture = await mirror.until(lambda picture: picture.pending_edits == 5)
        assert picture.state == "auth-failed"
        assert picture.cause.code == "token_revoked"
        assert mirror.api.requests == before
        with pytest.raises(LoginRequired):
            _ = [one async for one in mirror.engine.waiting.current(5)]
        mirror.login = None
        mirror.api.up.set()
        picture = await mirror.until(equal)
        assert len(mirror.server.text()) == 5
        assert (picture.engine_starts, picture.cycles_cancelled) == (1, 0)


async def test_an_expired_cursor_begins_a_new_generation_by_itself(tmp_path):
    server = SimServer()
    server.write("a", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        mirror.api.refuse.append(CursorExpired("pruned"))
        mirror.api.write("b", b"2")
        await mirror.until(lambda picture: picture.observed == 2 and equal(picture))
        assert mirror.api.readings[-1] == (Cursor("", 0), None)
        assert mirror.disk.text() == server.text()


async def test_a_workspace_that_is_gone_halts_and_touches_nothing(tmp_path):
    server = SimServer()
    server.write("a", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        mirror.api.refuse += [NotFound("the workspace was deleted", code="workspace_deleted")] * 500
        mirror.api.write("b", b"2")
        picture = await mirror.until(lambda picture: picture.state == "halted")
        assert picture.cause.code == "workspace_deleted"
        mirror.edit("c", b"3")
        await mirror.until(lambda picture: picture.pending_edits == 1)
        assert mirror.disk.text() == {"a": b"1", "c": b"3"}
        assert "c" not in server.text()
        with pytest.raises(Halted):
            _ = [one async for one in mirror.engine.waiting.current(5)]


async def test_a_first_mount_of_a_workspace_that_is_gone_says_so(tmp_path):
    mirror = LiveMirror(tmp_path / "s")
    mirror.api.refuse += [NotFound("no such workspace", code="workspace_not_found")] * 500
    async with mirror:
        with pytest.raises(Halted, match="no such workspace"):
            await mirror.engine.waiting.first_observed()


async def test_trouble_of_the_network_burns_nothing(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.api.push_fails += [Unavailable("busy", retry_after_s=0.01)] * 3
        mirror.edit("a", b"1")
        picture = await mirror.until(lambda picture: picture.observed == 1 and equal(picture))
        assert mirror.made == 1, "the same entry was carried again"
        assert picture.cycles_cancelled == 0


async def test_a_turn_that_fails_is_counted_as_cancelled_and_named_and_the_next_one_goes_on(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.disk.before_execute.append(lambda: fail(Unavailable("the disk did not take a batch", code="disk_io")))
        mirror.api.write("a", b"1")
        picture = await mirror.until(lambda picture: picture.observed == 1 and equal(picture))
        assert picture.cycles_cancelled == 1
        assert mirror.disk.text() == {"a": b"1"}


async def test_waiting_ends_when_all_that_is_left_was_tried_and_refused(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        for name in ("a", "b", "full"):
            mirror.api.write(name, name.encode())
        mirror.disk.refuse[TreePath("full")] = Refused(TreePath("full"), "disk full")
        with pytest.raises(Unavailable, match="full: disk full") as refused:
            _ = [one async for one in mirror.engine.waiting.current(600)]
        assert refused.value.code == "paths_refused"
        picture = mirror.engine.picture()
        assert (picture.state, picture.cause.code) == ("catching-up", "paths_refused")
        assert mirror.disk.text() == {"a": b"a", "b": b"b"}
        mirror.disk.refuse.clear()
        _ = [one async for one in mirror.engine.waiting.current(600)]
        assert mirror.disk.text() == mirror.server.text()


async def test_a_mirror_is_not_called_live_while_the_log_holds_more_than_was_taken_from_it(tmp_path):
    server, said = SimServer(), []
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        disk = mirror.disk
    for number in range(700):
        server.write(f"f{number}", b"x")
    disk.before_each.append(lambda: said.append(mirror.engine.picture().state))
    async with LiveMirror(tmp_path / "s", server, disk) as mirror:
        await mirror.until(lambda picture: picture.observed == 700 and equal(picture))
    assert said
    assert set(said) <= {"bootstrapping", "catching-up"}


async def test_progress_tells_what_the_log_still_holds(tmp_path):
    server = SimServer()
    for number in range(2_000):
        server.write(f"f{number}", b"x" * 10)
    seen = []
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.disk.before_each.append(lambda: seen.append(mirror.engine.picture().progress))
        picture = await mirror.until(equal)
    assert {one.files_total for one in seen if one.files_done} == {2_000}
    assert {one.bytes_total for one in seen if one.files_done} == {20_000}
    assert len({one.files_done for one in seen}) > 2
    assert all(one.rate > 0 for one in seen if one.files_done)
    assert (picture.progress.files_done, picture.progress.files_total) == (2_000, 2_000)


async def test_a_reader_who_may_not_write_keeps_its_edits_and_says_why(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.api.push_fails += [Forbidden("missing required scope: fs:write")]
        mirror.edit("a", b"1")
        picture = await mirror.until(lambda picture: picture.not_kept)
        assert picture.not_kept == (("a", "missing required scope: fs:write"),)
        assert picture.pending_edits == 1
        await mirror.until(lambda picture: picture.observed == 1 and equal(picture))


async def test_pull_waits_for_the_head_and_the_local_edits_as_of_its_start(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.server.write("theirs", b"1")
        mirror.disk.write("unnoticed", b"2")
        waiting = [one async for one in mirror.engine.waiting.current(10)]
        assert mirror.disk.text() == mirror.server.text()
        assert sorted(mirror.server.text()) == ["theirs", "unnoticed"]
        assert waiting


async def test_pull_gives_up_at_its_deadline_and_the_work_goes_on(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.api.push_fails += [Unavailable("busy")] * 6
        mirror.edit("a", b"1")
        with pytest.raises(Unavailable) as failure:
            _ = [one async for one in mirror.engine.waiting.current(1)]
        assert failure.value.code == "deadline_passed"
        await mirror.until(lambda picture: picture.observed == 1 and equal(picture))


async def test_a_state_that_cannot_be_saved_for_a_while_cancels_a_cycle_and_nothing_else(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.state._db.set_busy_timeout(10)
        blocker = apsw.Connection(str(tmp_path / "s"))
        blocker.execute("BEGIN IMMEDIATE")
        mirror.edit("a", b"1")
        picture = await mirror.until(lambda picture: picture.last_error is not None)
        assert picture.last_error.code == "state_unavailable"
        assert picture.state == "config-error"
        blocker.execute("ROLLBACK")
        blocker.close()
        picture = await mirror.until(lambda picture: picture.observed == 1 and equal(picture))
        assert mirror.server.text() == {"a": b"1"}


async def test_an_overflow_of_hints_is_a_sweep(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.disk.write("a", b"1")
        mirror.watcher.queue.put_nowait(Hint(frozenset(), overflow=True))
        await mirror.until(lambda picture: picture.observed == 1 and equal(picture))


async def test_deletions_wait_for_a_person_and_can_be_let_through(tmp_path):
    server = SimServer()
    for number in range(120):
        server.write(f"f{number}", b"%d" % number)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        for number in range(100):
            server.delete(f"f{number}")
        mirror.api.announce()
        picture = await mirror.until(lambda picture: picture.state == "halted")
        assert picture.held_deletions == 100
        assert picture.cause.code == "mass_deletion"
        mirror.engine.order("accept_deletes")
        await mirror.until(equal)
        assert mirror.disk.text() == server.text()


async def test_stopping_ends_the_engine_job_alone(tmp_path):
    mirror = LiveMirror(tmp_path / "s")
    async with mirror:
        await mirror.until(equal)
        mirror.engine.stop()
        await asyncio.wait_for(asyncio.shield(mirror.tasks["engine"]), 5)
        assert not mirror.tasks["feed"].done()
