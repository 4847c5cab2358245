"""The trash of a mirror on a real file system: what can be had back, how long; and nothing changed is dropped."""

import errno
import time
from pathlib import Path

import pytest

from relayfile.core.trash import Old
from relayfile.mirror import stage
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.parts import SPARE_BYTES, LocalParts
from relayfile.mirror.ports import Done, Fetched, Place, Remove
from relayfile.mirror.stage import state_token
from relayfile.mirror.trash import LOOK_AFTER_S, Keeping
from relayfile.model import Digest, TreePath

DAY_S = 86_400.0
OLD = Old("deleted", Digest(b"\1" * 32), 3, 4)


def take(ground, path, body=b"content", mode="644", disk=None):
    """It was placed and removed."""
    expected = ground.put(path, body, mode)
    assert (disk or ground.disk).execute([Remove(TreePath(path), expected, OLD)]) == [Done(TreePath(path), None)]


def trash(ground):
    return ground.root / ".relay/trash"


def content(disk, one):
    found = disk.kept_content(one)
    if found is None:
        return None
    version, body = found
    assert version.mode == one.mode
    return body


def contents(ground):
    return [(one.path, content(ground.disk, one)) for one in ground.disk.kept()]


def test_what_was_taken_is_listed_with_all_that_is_known_of_it_also_by_a_later_life_without_other_state(ground):
    take(ground, "deep/päth\n.sh", b"#!", "755")
    take(ground, "a" * 255, b"long")
    before = ground.put("link", b"target", "120000")
    ground.disk.execute([ground.place("link", b"file", expected=before)])
    later = LocalDisk(ground.beneath, "box", ground.now)
    script, long, link = later.kept()
    assert (script.path, script.mode, script.size, script.old) == ("deep/päth\n.sh", "755", 2, OLD)
    assert abs(script.taken_s - ground.now()) < 30
    assert (long.path, len(long.name)) == ("a" * 255, 80)
    assert (link.path, link.mode, link.old) == ("link", "120000", Old())
    assert [content(later, one) for one in (script, long, link)] == [b"#!", b"long", b"target"]
    assert len({one.id for one in (script, long, link)}) == 3


def test_without_its_index_the_trash_is_listed_by_what_the_names_say(ground):
    take(ground, "deep/plan.md")
    [index] = trash(ground).glob("*/index")
    whole = index.read_bytes()
    index.unlink()
    [one] = ground.disk.kept()
    assert (one.path, one.name, content(ground.disk, one)) == (None, "plan.md", b"content")
    index.write_bytes(whole[: len(whole) // 2])  # a line was cut by a power loss
    take(ground, "other.md", b"second")
    assert [(one.path, one.name) for one in ground.disk.kept()] == [(None, "plan.md"), ("other.md", "other.md")]
    (index.parent / "not ours").write_bytes(b"")
    (index.parent / "1-1.1-1-1.folder").mkdir()
    index.write_bytes(b'["x", "../escape", "deleted", null, null, null]\n[1]\n{}\nnull\n\xff\n')
    assert [one.path for one in ground.disk.kept()] == [None, None]


def test_a_link_in_place_of_an_hour_or_an_entry_leads_nowhere(ground):
    take(ground, "file")
    [one] = ground.disk.kept()
    [hour] = trash(ground).iterdir()
    entry = hour / one.place[1]
    entry.unlink()
    entry.symlink_to(ground.outside / "canary")
    assert content(ground.disk, one) is None
    hour.rename(ground.root / "moved")
    hour.symlink_to(ground.root / "moved")
    assert ground.disk.kept() == []
    assert content(ground.disk, one) is None
    hour.unlink()
    hour.symlink_to(ground.outside)
    expected = ground.stat("moved/index")
    [refused] = ground.disk.execute([Remove(TreePath("moved/index"), expected)])
    assert "refused" in refused.code, "nothing is moved outside the root"


def test_each_content_stays_for_its_time_and_the_oldest_go_first(ground):
    ground.skew_s = -9 * DAY_S
    take(ground, "first")
    ground.skew_s = -5 * DAY_S
    take(ground, "second")
    ground.skew_s = 0.0
    assert ground.disk.purge() == []
    assert [one.path for one in ground.disk.kept()] == ["second"]
    assert len(list(trash(ground).iterdir())) == 1, "an hour of which nothing is left is gone"
    short = LocalDisk(ground.beneath, "box", ground.now, keeping=Keeping(3 * DAY_S))
    assert short.purge() == []
    assert not list(trash(ground).iterdir())


def test_more_than_the_limit_is_not_kept_but_what_came_just_now_is(ground):
    disk = LocalDisk(ground.beneath, "box", ground.now, keeping=Keeping(most_bytes=25))
    for number, skew_s in enumerate((-3 * DAY_S, -2 * DAY_S, -DAY_S)):
        ground.skew_s = skew_s
        take(ground, f"file{number}", b"ten bytes!", disk=disk)
    disk.purge()
    assert [one.path for one in ground.disk.kept()] == ["file1", "file2"]
    ground.skew_s = 0.0
    for number in range(3, 6):
        take(ground, f"file{number}", b"ten bytes!", disk=disk)
    disk.purge()
    assert [one.path for one in ground.disk.kept()] == ["file3", "file4", "file5"]
    ground.skew_s = LOOK_AFTER_S + 5
    disk.purge()
    assert [one.path for one in ground.disk.kept()] == ["file4", "file5"]


@pytest.mark.parametrize("seen", ["soon", "late", "full"])
def test_what_changed_after_it_was_taken_is_never_dropped_whenever_that_is_seen(ground, seen):
    """R27: also long after, and also where the disk is full."""
    before = ground.put("file.txt", b"old")
    with (ground.root / "file.txt").open("ab") as editor:
        ground.disk.execute([Remove(TreePath("file.txt"), before)])
        if seen != "soon":
            ground.skew_s = LOOK_AFTER_S + 1
            assert ground.disk.purge() == []
        editor.write(b" and more")
    ground.skew_s = 8 * DAY_S if seen == "late" else LOOK_AFTER_S + 1
    if seen == "full":
        assert ground.disk._trash.give_way(1)
    [copy] = ground.disk.purge()
    assert copy.startswith("file (conflict box ")
    assert ground.files() == {copy: b"old and more"}


def test_a_full_disk_gets_the_oldest_contents_back_before_a_path_is_refused(ground, monkeypatch):
    ground.skew_s = -DAY_S
    take(ground, "old", b"o" * 100)
    ground.skew_s = 0.0
    take(ground, "young", b"y")
    room = [0]
    real = stage._filled

    def filled(*args, **words):
        if room[0] < 1 and any(one.path == "old" for one in ground.disk.kept()):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **words)

    monkeypatch.setattr(stage, "_filled", filled)
    [done] = ground.disk.execute([ground.place("new", b"n")])
    assert isinstance(done, Done)
    assert [one.path for one in ground.disk.kept()] == ["young"], "what came just now may still be written to"

    def full(*args, **words):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stage, "_filled", full)
    [refused] = ground.disk.execute([ground.place("newer", b"n")])
    assert refused.reason == "disk full"
    assert contents(ground) == [("young", b"y")]


def test_a_large_content_is_copied_on_the_disk_and_the_one_in_the_trash_stays(ground):
    body = b"0123456789abcdef" * 70_000
    take(ground, "film.mp4", body, "755")
    [one] = ground.disk.kept()
    for name in ("film.mp4", "again.mp4"):
        version, fetched = ground.disk.kept_content(one)
        assert (fetched, version.size, version.mode) == (Fetched(), len(body), "755")
        [done] = ground.disk.execute([Place(TreePath(name), version, fetched, None)])
        assert done.stat == ground.stat(name)
    assert ground.files() == {"film.mp4": body, "again.mp4": body}
    (ground.root / "film.mp4").write_bytes(b"edited")
    assert [(kept.size, kept.old) for kept in ground.disk.kept()] == [(len(body), OLD)]
    assert not list((ground.root / ".relay/parts").iterdir())


def test_a_large_content_that_is_to_come_gets_the_room_of_the_trash_where_that_is_enough(ground):
    ground.skew_s = -DAY_S
    take(ground, "old", b"o" * 1000)
    ground.skew_s = 0.0
    free = [SPARE_BYTES + 2_000_000]

    def free_bytes(_):
        return free[0] + (0 if ground.disk.kept() else 1000)

    parts = LocalParts(ground.beneath, free_bytes, ground.disk.make_room)
    assert parts.begin(Digest(bytes(32)), 2_001_001).code == "disk_full"
    assert ground.disk.kept(), "it would not have helped"
    assert parts.begin(Digest(bytes(32)), 2_001_000) == 0
    assert not ground.disk.kept()


def test_a_batch_is_told_to_the_trash_before_anything_is_taken(ground):
    before = ground.put("file", b"old")
    seen = []

    def reach(point):
        if point == "stage durable":
            seen.extend(index.read_bytes() for index in trash(ground).glob("*/index"))

    LocalDisk(ground.beneath, "box", ground.now, reach).execute([Remove(TreePath("file"), before)])
    assert b'"file", "replaced"' in seen[0]


def test_two_files_of_one_batch_never_come_under_one_name(ground, monkeypatch):
    monkeypatch.setattr(ground.disk._trash, "next_number", lambda: 1)
    ground.disk._trash._now = lambda: 1e9
    for number in range(3):
        take(ground, "same/name", b"%d" % number)
    assert sorted(content(ground.disk, one) for one in ground.disk.kept()) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("count", [3, 600])
def test_all_that_a_batch_takes_is_there_and_no_descriptor_is_left_open(ground, count):
    names = [f"d{n % 7}/{n}" for n in range(count)]
    done = ground.disk.execute([ground.place(name, name.encode()) for name in names])
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    steps = [ground.place(str(one.path), b"new", expected=one.stat) for one in done]
    assert all(isinstance(one, Done) for one in ground.disk.execute(steps))
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    assert sorted(contents(ground)) == sorted((name, name.encode()) for name in names)
    [hour] = trash(ground).iterdir()
    tokens = {one.place[1].split(".")[1] for one in ground.disk.kept()}
    assert tokens == {state_token(entry.lstat()) for entry in hour.iterdir() if entry.name != "index"}
    assert time.strptime(hour.name, "%Y-%m-%dT%H")
