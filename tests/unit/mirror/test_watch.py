"""The watcher: every lasting change is hinted, soon and settled, and no folder slips through."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from asyncinotify import Inotify

from relayfile.mirror import watch
from relayfile.mirror.settle import GONE_AT_MOST_S, GONE_QUIET_S, QUIET_S, SETTLE_S, STILL_OPEN_S, Settling
from relayfile.mirror.watch import LocalWatcher
from relayfile.model import TreePath

DEEP = 300
QUEUED_EVENTS = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@pytest.fixture
async def watcher(ground):
    made = LocalWatcher(ground.beneath, time.monotonic)
    yield made
    made.close()


class Reader:
    """Hints as they come, and waiting until certain paths were among them."""

    def __init__(self, watcher):
        self.hints = watcher.hints()

    async def begin(self):
        first = await anext(self.hints)
        assert first.overflow, "the first hint is of everything, once all is watched"

    async def until(self, *wanted, within_s=5.0):
        missing = set(wanted)
        seen = set()
        async with asyncio.timeout(within_s):
            while missing:
                hint = await anext(self.hints)
                if hint.overflow:
                    return "overflow"
                seen |= hint.paths
                # a hint of a folder stands for all below it
                missing = {
                    path for path in missing if not any(path == one or path.startswith(f"{one}/") for one in seen)
                }
        return seen


@pytest.fixture
async def reader(watcher):
    made = Reader(watcher)
    await made.begin()
    yield made
    await made.hints.aclose()


async def test_writing_saving_linking_moving_deleting_and_mode_changes_are_hinted(ground, reader):
    root = ground.root
    (root / "written").write_text("1")
    await reader.until("written")
    (root / "save.tmp").write_text("2")
    (root / "save.tmp").rename(root / "saved")
    await reader.until("saved")
    (root / "link").symlink_to("saved")
    await reader.until("link")
    os.link(root / "saved", root / "second-name")
    await reader.until("second-name")
    (root / "saved").chmod(0o755)
    await reader.until("saved")
    (root / "saved").rename(root / "moved")
    await reader.until("saved", "moved")
    (root / "moved").unlink()
    await reader.until("moved")


async def test_nothing_made_in_a_new_folder_is_missed_however_fast(ground, reader):
    wanted = []
    for number in range(100):
        folder = ground.root / f"{number}" / "b" / "c"
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
        wanted.append(f"{number}/b/c/file")
    await reader.until(*wanted)
    (ground.root / "7/b/c/file").write_text("again")
    assert "7/b/c/file" in await reader.until("7/b/c/file")


async def test_a_chain_of_new_folders_is_listed_once_each(ground, reader, monkeypatch):
    listed, real = [], ground.beneath.folder
    monkeypatch.setattr(ground.beneath, "folder", lambda path: listed.append(path) or real(path))

    def make():  # while the watcher looks, as the mirror itself does
        (ground.root / ("d/" * DEEP)).mkdir(parents=True)
        (ground.root / ("d/" * DEEP) / "file").write_text("x")

    making = asyncio.create_task(asyncio.to_thread(make))
    await reader.until("d/" * DEEP + "file")
    await making
    assert len(listed) < 5 * DEEP


async def test_a_folder_that_takes_the_place_of_an_empty_one_is_watched(ground, reader):
    (ground.root / "empty").mkdir()
    await reader.until("empty")
    (ground.outside.parent / "other" / "deep").mkdir(parents=True)
    (ground.outside.parent / "other").rename(ground.root / "empty")
    await reader.until("empty")
    (ground.root / "empty" / "deep" / "file").write_text("x")
    assert "empty/deep/file" in await reader.until("empty/deep/file")


async def test_a_moved_folder_is_watched_under_its_new_name(ground, watcher):
    (ground.root / "a" / "deep").mkdir(parents=True)
    reader = Reader(watcher)
    await reader.begin()
    (ground.root / "a").rename(ground.root / "b")
    await reader.until("a", "b")
    (ground.root / "b" / "deep" / "file").write_text("x")
    assert "b/deep/file" in await reader.until("b/deep/file")
    (ground.root / "b").rename(ground.outside.parent / "gone")
    await reader.until("b")
    (ground.outside.parent / "gone" / "deep" / "other").write_text("x")
    (ground.root / "last").write_text("x")
    assert await reader.until("last") == {"last"}
    await reader.hints.aclose()


async def test_private_and_left_out_names_are_never_hinted(ground, reader):
    for path in (".relay/x", ".git/config", "node_modules/m/x", "a.swp"):
        (ground.root / path).parent.mkdir(parents=True, exist_ok=True)
        (ground.root / path).write_text("x")
    (ground.root / "end").write_text("x")
    assert await reader.until("end") == {"end"}


async def test_a_closed_folder_is_hinted_when_it_opens_and_watched_when_it_is_found_open(ground, watcher):
    (ground.root / "x" / "deep").mkdir(parents=True)
    (ground.root / "x" / ".relay").mkdir()
    reader = Reader(watcher)
    await reader.begin()
    (ground.root / "x" / "file").write_text("not ours")
    (ground.root / "x" / "deep" / "file").write_text("not ours")
    (ground.root / "end").write_text("x")
    assert await reader.until("end") == {"end"}
    (ground.root / "x" / ".relay").rmdir()
    assert await reader.until("x") == {"x"}
    watcher.opened("x")
    assert "x" in await reader.until("x"), "what was made before it was watched is looked at"
    (ground.root / "x" / "deep" / "file").write_text("ours")
    assert "x/deep/file" in await reader.until("x/deep/file")
    (ground.root / "x" / ".relay").mkdir()
    assert await reader.until("x") == {"x"}, "it is closed again"
    await reader.hints.aclose()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_folder_that_may_be_read_again_is_hinted(ground, watcher):
    (ground.root / "x").mkdir(mode=0o000)
    reader = Reader(watcher)
    await reader.begin()
    (ground.root / "x").chmod(0o755)
    assert "x" in await reader.until("x")
    await reader.hints.aclose()


async def test_a_root_that_is_moved_away_is_a_reason_to_look_at_everything(ground, reader):
    ground.root.rename(ground.root.with_name("moved"))
    assert await reader.until("never") == "overflow"


async def test_an_overflow_hints_everything_and_watches_what_was_missed(ground, reader):
    file = ground.root / "file"
    other = ground.root / "other"
    for _ in range(QUEUED_EVENTS // 4 + 10):
        file.write_bytes(b"x")
        other.write_bytes(b"x")
    (ground.root / "missed").mkdir()
    assert await reader.until("never", within_s=20) == "overflow"
    (ground.root / "missed" / "file").write_text("x")
    await reader.until("missed/file")


async def test_when_watches_run_out_the_rest_is_swept_and_status_says_so(ground, watcher, monkeypatch):
    (ground.root / "unwatched").mkdir()
    real = Inotify.add_watch

    def limited(self, path, mask):
        if str(path).endswith("unwatched"):
            raise OSError(28, "No space left on device")
        return real(self, path, mask)

    monkeypatch.setattr(Inotify, "add_watch", limited)
    reader = Reader(watcher)
    await reader.begin()
    assert "changes in 1 folders are seen within 60 s" in watcher.notice
    assert "max_user_watches" in watcher.notice
    monkeypatch.setattr(watcher, "_next_sweep", 0.0)
    (ground.root / "x").write_text("x")
    assert await reader.until("never") == "overflow"
    assert watcher.notice
    # There is room again: nobody has to say so.
    monkeypatch.setattr(Inotify, "add_watch", real)
    monkeypatch.setattr(watcher, "_next_sweep", 0.0)
    (ground.root / "y").write_text("y")
    assert await reader.until("never") == "overflow"
    assert watcher.notice is None
    (ground.root / "unwatched" / "file").write_text("z")
    await reader.until("unwatched/file")
    await reader.hints.aclose()


async def test_where_no_more_queues_can_be_had_everything_is_swept_until_one_can(ground, monkeypatch):
    clock = Hands()

    def none(**_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watch, "Inotify", none)
    (ground.root / "folder").mkdir()
    watcher = LocalWatcher(ground.beneath, clock)
    reader = Reader(watcher)
    await reader.begin()
    assert "changes in 2 folders" in watcher.notice
    assert "max_user_instances" in watcher.notice
    watcher.opened("folder")
    await reader.until("folder")
    clock.now += watch.SWEEP_EVERY_S
    assert await reader.until("never") == "overflow"
    monkeypatch.setattr(watch, "Inotify", Inotify)
    clock.now += watch.SWEEP_EVERY_S
    assert await reader.until("never") == "overflow"
    assert watcher.notice is None
    (ground.root / "folder" / "file").write_text("z")
    await reader.until("folder/file")
    await reader.hints.aclose()
    watcher.close()


class Hands:
    """A clock moved by hand."""

    now = 100.0

    def __call__(self):
        return self.now


def test_a_quiet_path_is_due_at_once_and_a_busy_one_after_it_settled():
    clock, path = Hands(), TreePath("a")
    settling = Settling(clock)
    settling.changed(path)
    assert settling.settled() == [path]
    clock.now += QUIET_S / 2
    settling.changed(path)
    assert settling.settled() == []
    assert settling.next_in_s() == pytest.approx(SETTLE_S)
    clock.now += SETTLE_S * 1.01
    assert settling.settled() == [path]
    clock.now += QUIET_S * 1.01
    settling.changed(path)
    assert settling.settled() == [path]


def test_a_file_that_stays_open_is_looked_at_within_a_second_and_sooner_when_it_closes():
    clock, path = Hands(), TreePath("a")
    settling = Settling(clock)
    settling.opened(path)
    clock.now += STILL_OPEN_S / 2
    settling.opened(path)
    assert settling.settled() == []
    clock.now += STILL_OPEN_S / 2
    assert settling.settled() == [path]
    settling.opened(path)
    settling.changed(path)
    assert settling.settled() == [path]
    assert settling.next_in_s() is None


def test_deletions_wait_for_one_another_but_not_for_ever():
    clock = Hands()
    settling = Settling(clock)
    gone = [TreePath(f"{number}") for number in range(40)]
    for path in gone[:3]:
        settling.gone(path)
        assert settling.settled() == []
        clock.now += GONE_QUIET_S / 2
    clock.now += GONE_QUIET_S / 2
    assert sorted(settling.settled()) == gone[:3]
    told = []
    began = clock.now
    while not told:
        settling.gone(gone[3])
        clock.now += GONE_QUIET_S / 2
        told = settling.settled()
    assert clock.now - began <= GONE_AT_MOST_S + GONE_QUIET_S


def test_a_name_that_comes_back_at_once_is_an_edit():
    clock, path = Hands(), TreePath("a")
    settling = Settling(clock)
    settling.gone(path)
    settling.changed(path)
    assert settling.settled() == [path]
    assert settling.next_in_s() is None
