"""The disk: nothing outside the root is touched, nothing unsaved is overwritten, nothing is half written."""

import os
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

from relayfile.core.paths import conflict_copy
from relayfile.credentials.home import mark_secrets
from relayfile.mirror import disk as disk_module
from relayfile.mirror import kernel
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.ports import Changed, Done, Refused, Remove, SetAside
from relayfile.mirror.trash import LOOK_AFTER_S, Keeping
from relayfile.model import Digest, Stat, TreePath, Version

FILE = TreePath.parse("file.txt")


def trashed(root: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (root / ".relay/trash").glob("*/*") if path.name != "index")


def test_new_files_are_placed_with_their_folders_and_modes(ground):
    steps = [ground.place("a/b/c.txt", b"one"), ground.place("run.sh", b"#!/bin/sh\n", mode="755")]
    results = ground.disk.execute(steps)
    assert [type(result) for result in results] == [Done, Done]
    assert ground.files() == {"a/b/c.txt": b"one", "run.sh": b"#!/bin/sh\n"}
    assert results[1].stat.mode == "755"
    assert os.access(ground.root / "run.sh", os.X_OK)
    assert not os.access(ground.root / "a/b/c.txt", os.X_OK) or not (ground.root / "a/b/c.txt").stat().st_mode & 0o111


@pytest.mark.parametrize("count", [3, 40])
def test_a_batch_leaves_nothing_in_the_stage_and_its_stats_are_those_of_the_files(ground, count):
    results = ground.disk.execute([ground.place(f"d{n % 3}/{n}", b"%d" % n) for n in range(count)])
    assert not ground.staged()
    for result in results:
        assert ground.stat(result.path) == result.stat


def test_a_replacement_keeps_the_old_content_in_the_trash_until_it_is_old(ground):
    before = ground.put("file.txt", b"old")
    (done,) = ground.disk.execute([ground.place("file.txt", b"new!", expected=before)])
    assert done.stat.size == 4
    assert ground.files() == {"file.txt": b"new!"}
    assert trashed(ground.root) == [b"old"]
    assert ground.disk.purge() == []
    ground.skew_s = Keeping().keep_s - 60
    assert ground.disk.purge() == []
    assert trashed(ground.root) == [b"old"], "it is not old yet"
    ground.skew_s = Keeping().keep_s + 3600
    assert ground.disk.purge() == []
    assert not list((ground.root / ".relay" / "trash").iterdir())


def test_an_edit_the_mirror_has_not_seen_is_left_alone(ground):
    before = ground.put("file.txt", b"old")
    (ground.root / "file.txt").write_bytes(b"NEW")
    assert ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)]) == [Changed(FILE)]
    assert ground.disk.execute([Remove(FILE, before)]) == [Changed(FILE)]
    copy = TreePath("copy.txt")
    assert ground.disk.execute([SetAside(FILE, before, copy)]) == [Changed(FILE)]
    assert ground.files() == {"file.txt": b"NEW"}
    assert not ground.staged()


def test_an_edit_of_equal_size_right_after_a_placing_has_another_state(ground):
    placed = ground.put("file.txt", b"aaa")
    with (ground.root / "file.txt").open("r+b") as file:
        file.write(b"bbb")
    assert ground.stat("file.txt").mtime_ns != placed.mtime_ns


def test_a_path_where_something_new_lies_is_not_overwritten(ground):
    (ground.root / "file.txt").write_bytes(b"mine")
    assert ground.disk.execute([ground.place("file.txt", b"theirs")]) == [Changed(FILE)]
    assert ground.files() == {"file.txt": b"mine"}


class Racer:
    """Does something to the root at the moment before the kernel exchanges or renames."""

    def __init__(self, monkeypatch, name, act):
        real = getattr(kernel, name)

        def racing(*args):
            monkeypatch.setattr(kernel, name, real)
            act()
            return real(*args)

        monkeypatch.setattr(kernel, name, racing)


def copies(ground) -> dict[str, bytes]:
    return {path: body for path, body in ground.files().items() if "(conflict " in path}


def test_a_write_that_races_with_a_replacement_becomes_a_conflict_copy(ground, monkeypatch):
    before = ground.put("file.txt", b"old")
    Racer(monkeypatch, "exchange", lambda: (ground.root / "file.txt").write_bytes(b"unsaved work"))
    (done,) = ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)])
    assert isinstance(done, Done)
    assert ground.files()["file.txt"] == b"theirs"
    name = conflict_copy(FILE, "box", time.time(), sha256(b"unsaved work").digest())
    assert copies(ground) == {name: b"unsaved work"}


def test_an_atomic_save_that_races_with_a_replacement_becomes_a_conflict_copy(ground, monkeypatch):
    before = ground.put("file.txt", b"old")

    def save():
        (ground.root / ".save").write_bytes(b"old")  # even with equal content: another inode is another file
        (ground.root / ".save").rename(ground.root / "file.txt")

    Racer(monkeypatch, "exchange", save)
    ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)])
    assert list(copies(ground).values()) == [b"old"]


def test_a_folder_that_races_into_the_place_of_a_file_goes_back(ground, monkeypatch):
    before = ground.put("file.txt", b"old")

    def swap():
        (ground.root / "file.txt").unlink()
        (ground.root / "file.txt").mkdir()
        (ground.root / "file.txt" / "inner").write_bytes(b"mine")

    Racer(monkeypatch, "exchange", swap)
    assert ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)]) == [Changed(FILE)]
    assert ground.files() == {"file.txt/inner": b"mine"}
    assert not ground.staged()


def test_a_file_deleted_while_it_is_replaced_stays_deleted(ground, monkeypatch):
    before = ground.put("file.txt", b"old")
    Racer(monkeypatch, "exchange", (ground.root / "file.txt").unlink)
    assert ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)]) == [Changed(FILE)]
    assert ground.files() == {}
    assert not ground.staged()


def test_a_file_that_appears_while_another_is_placed_there_stays(ground, monkeypatch):
    Racer(monkeypatch, "move_new", lambda: (ground.root / "file.txt").write_bytes(b"mine"))
    assert ground.disk.execute([ground.place("file.txt", b"theirs")]) == [Changed(FILE)]
    assert ground.files() == {"file.txt": b"mine"}


def test_a_write_that_races_with_a_removal_is_put_back(ground, monkeypatch):
    before = ground.put("file.txt", b"old")
    real = os.rename

    def racing(*args, **folders):
        (ground.root / "file.txt").write_bytes(b"unsaved")
        monkeypatch.setattr(os, "rename", real)
        return real(*args, **folders)

    ground.disk._reach = lambda point: monkeypatch.setattr(os, "rename", racing) if point == "stage durable" else None
    assert ground.disk.execute([Remove(FILE, before)]) == [Changed(FILE)]
    assert ground.files() == {"file.txt": b"unsaved"}


def test_what_an_editor_writes_to_a_replaced_file_it_still_holds_open_becomes_a_conflict_copy(ground):
    before = ground.put("file.txt", b"old")
    with (ground.root / "file.txt").open("ab") as editor:
        ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)])
        editor.write(b" and more")
    ground.skew_s = LOOK_AFTER_S + 1
    (copy,) = ground.disk.purge()
    assert ground.files() == {"file.txt": b"theirs", copy: b"old and more"}


def test_the_trash_of_an_earlier_life_is_looked_at_before_it_is_dropped(ground):
    before = ground.put("deep/file.txt", b"old")
    with (ground.root / "deep/file.txt").open("ab") as editor:
        ground.disk.execute([Remove(TreePath("deep/file.txt"), before)])
        editor.write(b" and more")
    later = LocalDisk(ground.beneath, "box", lambda: time.time() + LOOK_AFTER_S + 1)
    (copy,) = later.purge()
    assert copy.startswith("deep/file (conflict box ")
    assert ground.files() == {copy: b"old and more"}


@pytest.mark.parametrize("unsupported", ["exchange", "rename at all"])
def test_a_file_system_that_cannot_exchange_loses_no_racing_write_either(ground, monkeypatch, unsupported):
    if unsupported == "rename at all":
        monkeypatch.setattr(kernel, "_rename", None)
    else:
        monkeypatch.setattr(kernel, "exchange", lambda *_: (_ for _ in ()).throw(kernel.Unsupported(22, "no")))
    before = ground.put("file.txt", b"old")
    with (ground.root / "file.txt").open("ab") as editor:
        (done,) = ground.disk.execute([ground.place("file.txt", b"theirs", expected=before)])
        editor.write(b" and more")
    assert done.stat == ground.stat("file.txt")
    ground.skew_s = LOOK_AFTER_S + 1
    (copy,) = ground.disk.purge()
    assert ground.files() == {"file.txt": b"theirs", copy: b"old and more"}
    assert ground.disk.execute([ground.place("file.txt", b"again")]) == [Changed(FILE)]


def test_a_removal_takes_the_folders_it_leaves_empty_and_no_other(ground):
    one, two = ground.put("a/b/one", b"1"), ground.put("a/two", b"2")
    ground.disk.execute([Remove(TreePath("a/b/one"), one)])
    assert not (ground.root / "a/b").exists()
    assert ground.files() == {"a/two": b"2"}
    ground.disk.execute([Remove(TreePath("a/two"), two)])
    assert not (ground.root / "a").exists()
    assert ground.disk.execute([Remove(TreePath("a/two"), two)]) == [Done(TreePath("a/two"), None)]


def test_a_file_may_become_a_folder_and_a_folder_a_file_in_one_batch(ground):
    file, inner = ground.put("x", b"file"), ground.put("y/inner", b"inner")
    results = ground.disk.execute(
        [
            Remove(TreePath("x"), file),
            ground.place("x/inner", b"1"),
            Remove(TreePath("y/inner"), inner),
            ground.place("y", b"2"),
        ]
    )
    assert [type(result) for result in results] == [Done] * 4
    assert ground.files() == {"x/inner": b"1", "y": b"2"}


def test_an_empty_folder_gives_way_to_a_file_and_a_full_one_does_not(ground):
    (ground.root / "empty").mkdir()
    (ground.root / "full").mkdir()
    (ground.root / "full" / "mine").write_bytes(b"mine")
    done, refused = ground.disk.execute([ground.place("empty", b"1"), ground.place("full", b"2")])
    assert isinstance(done, Done)
    assert isinstance(refused, Refused)
    assert not refused.lasting
    assert ground.files() == {"empty": b"1", "full/mine": b"mine"}


def test_setting_aside_and_placing_in_one_batch_keeps_both(ground):
    before = ground.put("file.txt", b"mine")
    copy = TreePath("file (conflict box).txt")
    aside, placed = ground.disk.execute([SetAside(FILE, before, copy), ground.place("file.txt", b"theirs")])
    assert ground.files() == {"file.txt": b"theirs", copy: b"mine"}
    assert ground.stat(copy) == aside.stat
    assert placed.stat is not None


def test_a_conflict_copy_that_exists_already_is_not_made_twice_and_never_overwritten(ground):
    copy = conflict_copy(FILE, "box", time.time(), sha256(b"mine").digest())
    (ground.root / copy).write_bytes(b"mine")
    before = ground.put("file.txt", b"mine")
    assert ground.disk.execute([SetAside(FILE, before, copy)]) == [Done(FILE, None)]
    assert ground.files() == {copy: b"mine"}
    (ground.root / copy).write_bytes(b"edited since")
    before = ground.put("file.txt", b"mine")
    assert ground.disk.execute([SetAside(FILE, before, copy)]) == [Done(FILE, None)]
    assert sorted(ground.files().values()) == [b"edited since", b"mine"]


def test_symbolic_links_are_placed_replaced_read_and_removed_as_what_they_are(ground):
    link = TreePath("a/link")
    placed = ground.put(link, b"../target", mode="120000")
    assert os.readlink(ground.root / link) == "../target"  # noqa: PTH115
    assert ground.disk.read(link, placed) == b"../target"
    (done,) = ground.disk.execute([ground.place(link, b"a file now", expected=placed)])
    assert ground.files() == {"a/link": b"a file now"}
    ground.disk.execute([Remove(link, done.stat)])
    assert ground.files() == {}


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../out", b"x/../../../out", b"x/..", b"", b"a\0b"])
def test_a_link_out_of_the_mirror_is_refused_for_good(ground, target):
    (refused,) = ground.disk.execute([ground.place("a/link", target, mode="120000")])
    assert isinstance(refused, Refused)
    assert refused.lasting
    assert ground.files() == {}


@pytest.mark.parametrize("path", [".relay/id", ".RELAY/x", ".git/hooks/pre-commit", "a/.git/config", "x.swp"])
def test_what_is_never_mirrored_is_refused_for_good(ground, path):
    (refused,) = ground.disk.execute([ground.place(path, b"x")])
    assert isinstance(refused, Refused)
    assert refused.lasting


def test_a_folder_that_is_a_link_is_never_followed(ground):
    (ground.root / "way").symlink_to(ground.outside)
    before = Stat(1, 1, 1, 1, 1, "644")
    placed, removed = ground.disk.execute(
        [ground.place("way/new", b"x"), Remove(TreePath("way/canary"), before)],
    )
    assert isinstance(placed, Refused)
    assert isinstance(removed, Changed)
    assert ground.disk.read(TreePath("way/canary"), before) is None


def test_folders_swapped_for_links_while_batches_run_never_let_anything_out(ground):
    stop = threading.Event()

    def swap():
        folder, aside, out = ground.root / "d", ground.root / "aside", str(ground.outside)
        while not stop.is_set():
            try:
                folder.rename(aside)
                os.symlink(out, folder)  # noqa: PTH211
                folder.unlink()
                aside.rename(folder)
            except OSError:
                pass

    (ground.root / "d").mkdir()
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for round_ in range(60):
            results = ground.disk.execute([ground.place(f"d/{round_}-{n}", b"x") for n in range(20)])
            for result in results:
                if isinstance(result, Done) and result.stat is not None:
                    ground.disk.execute([Remove(result.path, result.stat)])
    finally:
        stop.set()
        swapper.join()


def test_an_editor_that_saves_all_the_time_loses_no_save(ground):
    """Each version the editor saved is at the path, in a conflict copy, or was seen by the mirror before it went."""
    saved: list[bytes] = []
    stop = threading.Event()

    def edit():
        number = 0
        while not stop.is_set():
            number += 1
            body = b"save %06d" % number
            part = ground.root / "part.tmp"
            part.write_bytes(body)
            part.rename(ground.root / "file.txt")
            saved.append(body)
            time.sleep(0.002)

    ground.put("file.txt", b"start")
    editor = threading.Thread(target=edit)
    editor.start()
    seen: set[bytes] = set()
    placed = 0
    try:
        while placed < 30:
            expected = ground.stat("file.txt")
            body = ground.disk.read(FILE, expected)
            if body is None:
                continue
            seen.add(body)
            (result,) = ground.disk.execute([ground.place("file.txt", b"theirs %d" % placed, expected=expected)])
            placed += isinstance(result, Done)
    finally:
        stop.set()
        editor.join()
    # the editor itself replaces its own saves: only those that we displaced or that are there now must be somewhere
    kept = set(ground.files().values()) | seen
    assert saved[-1] in kept
    trash = trashed(ground.root)
    assert not [body for body in trash if body.startswith(b"save") and body not in seen], (
        "an unseen save was thrown away"
    )


def test_names_of_255_bytes_work_and_longer_ones_cannot_be_spoken_of(ground):
    name = "é" * 127 + "x"
    assert ground.put(name, b"long") is not None
    before = ground.stat(name)
    (done,) = ground.disk.execute([ground.place(name, b"longer", expected=before)])
    assert isinstance(done, Done)
    assert ground.files() == {name: b"longer"}


def test_names_that_differ_only_by_case_or_by_normal_form_are_different_files_here(ground):
    names = ["Readme", "README", "caf\u00e9", "cafe\u0301"]
    ground.disk.execute([ground.place(name, name.encode()) for name in names])
    assert ground.files() == {name: name.encode() for name in names}


def test_a_file_read_while_it_changes_is_none(ground, monkeypatch):
    before = ground.put("file.txt", b"old")
    assert ground.disk.read(FILE, before) == b"old"
    (ground.root / "file.txt").write_bytes(b"newer")
    assert ground.disk.read(FILE, before) is None
    assert ground.disk.read(TreePath("gone"), before) is None


def test_a_full_disk_refuses_the_rest_of_the_batch_and_leaves_no_half_file(ground, monkeypatch):
    real = os.write
    written = []

    def filling(descriptor, data):
        written.append(descriptor)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    before = ground.put("aside", b"mine")
    monkeypatch.setattr(os, "write", filling)
    copy = TreePath("copy")
    results = ground.disk.execute(
        [
            ground.place("1", b"1"),
            ground.place("2", b"2"),
            SetAside(TreePath("aside"), before, copy),
            ground.place("aside", b"theirs"),
            ground.place("4", b"4"),
        ]
    )
    assert [type(result) for result in results] == [Done, Done, Refused, Refused, Refused]
    assert {result.reason for result in results[2:]} == {"disk full"}
    assert not any(result.lasting for result in results[2:])
    assert ground.files() == {"1": b"1", "2": b"2", "aside": b"mine"}
    assert not ground.staged()


def test_on_a_full_disk_what_is_small_enough_is_placed_and_what_is_gone_is_removed(ground, monkeypatch):
    real = os.write
    tried = []

    def no_room_for_much(descriptor, data):
        tried.append(len(data))
        if len(data) > 1_000:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    gone = ground.put("gone", b"x" * 100)
    monkeypatch.setattr(os, "write", no_room_for_much)
    results = ground.disk.execute(
        [
            ground.place("big", b"b" * 5_000),
            ground.place("bigger", b"b" * 6_000),
            ground.place("small", b"small"),
            ground.place("as big", b"c" * 5_000),
            Remove(TreePath("gone"), gone),
            ground.place("empty", b""),
        ]
    )
    assert [type(result) for result in results] == [Refused, Refused, Done, Refused, Done, Done]
    assert ground.files() == {"small": b"small", "empty": b""}
    assert [size for size in tried if size > 1_000] == [5_000], "what cannot fit is not tried"


def test_a_directory_that_is_no_longer_the_mounted_one_is_not_written_to(ground):
    ground.root.rename(ground.root.with_name("moved"))
    ground.root.mkdir()
    (refused,) = ground.disk.execute([ground.place("x", b"x")])
    assert isinstance(refused, Refused)
    assert "no longer the directory" in refused.reason
    assert list(ground.root.iterdir()) == []


def test_a_private_folder_that_was_cleaned_away_is_made_again(ground):
    subprocess.run(["rm", "-rf", ground.root / ".relay"], check=True)
    assert ground.put("x", b"x") is not None


def test_a_failing_path_never_stops_the_others(ground):
    (ground.root / "file").write_bytes(b"in the way")
    results = ground.disk.execute([ground.place("file/below", b"1"), ground.place("ok", b"2")])
    assert isinstance(results[0], Refused)
    assert isinstance(results[1], Done)


def test_nothing_is_written_into_a_folder_that_is_a_mirror_of_its_own_or_holds_secrets(ground):
    for closed in ("copy", "keys"):
        (ground.root / closed / "deep").mkdir(parents=True)
    (ground.root / "copy" / ".relay").mkdir()
    mark_secrets(ground.root / "keys")
    (ground.root / "copy" / "theirs").write_bytes(b"theirs")
    before = ground.stat("copy/theirs")
    steps = [
        ground.place("copy/new", b"1"),
        ground.place("copy/deep/er/new", b"2"),
        ground.place("keys/deep/new", b"3"),
        ground.place("copy/.relay/id", b"4"),
        ground.place("copy/theirs", b"5", expected=before),
        Remove(TreePath("copy/theirs"), before),
    ]
    results = ground.disk.execute([*steps, ground.place("ok", b"6")])
    assert all(isinstance(one, Refused) for one in results[:-1]), results
    assert ground.files() == {"copy/theirs": b"theirs", "keys/.relayfile-secrets": b"", "ok": b"6"}
    assert not ground.staged()


CRASHER = """
import os, signal, sys, time
from hashlib import sha256
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.ports import Place, Remove, SetAside
from relayfile.mirror.scan import LocalScanner
from relayfile.model import TreePath, Version, Digest
root, point, after, edit = sys.argv[1:]
class Nothing:
    def get(self, path): return None
    def below(self, folder): return ()
    def named(self, files): return ()
def reach(reached):
    if reached == "stage durable" and edit == "edit":
        pass
    if reached == point:
        seen.append(point)
        if len(seen) > int(after):
            os.kill(os.getpid(), signal.SIGKILL)
seen = []
beneath = Beneath(root)
disk = LocalDisk(beneath, "box", time.time, reach)
scanner = LocalScanner(beneath, time.time)
def stat(path): return scanner.rescan([TreePath(path)], Nothing())[0].stat
def place(path, body, expected):
    return Place(TreePath(path), Version(2, Digest(sha256(body).digest()), len(body), "644"), body, expected)
steps = [place("old", b"old, theirs", stat("old")), place("fresh", b"fresh", None),
         Remove(TreePath("gone"), stat("gone")),
         SetAside(TreePath("both"), stat("both"), TreePath("both (conflict)")), place("both", b"both, theirs", None)]
if edit == "edit":
    real = disk_exchange = __import__("relayfile.mirror.kernel", fromlist=["exchange"])
    exchange = real.exchange
    def racing(*args):
        with open(os.path.join(root, "old"), "wb") as file: file.write(b"unsaved work")
        exchange(*args)
    real.exchange = racing
disk.execute(steps)
"""
POINTS = [
    ("staged", 0),
    ("stage durable", 0),
    ("exchanged", 0),
    *(("published", n) for n in range(5)),
    ("set aside", 0),
    ("removed", 0),
    ("durable", 0),
]


@pytest.mark.parametrize("edit", ["quiet", "edit"])
@pytest.mark.parametrize(("point", "after"), POINTS)
def test_a_process_that_dies_at_any_point_loses_no_content_and_leaves_no_half_file(tmp_path, point, after, edit):
    root = tmp_path / "root"
    root.mkdir()
    mine = {"old": b"old, mine", "gone": b"gone, mine", "both": b"both, mine"}
    for name, body in mine.items():
        (root / name).write_bytes(body)
    died = subprocess.run(
        [sys.executable, "-c", CRASHER, str(root), point, str(after), edit], capture_output=True, check=False
    )
    assert died.returncode == -9, died.stderr.decode()

    with Beneath(str(root)) as beneath:
        disk = LocalDisk(beneath, "box", time.time)
        copies_made = disk.recover(
            {TreePath(name): Version(1, Digest(bytes(32)), 0, "644") for name in ("old", "fresh", "both")}
        )
        again = disk.recover({})
    assert again == [], "recovery is settled after one run"
    assert not list((root / ".relay" / "stage").iterdir())

    files = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    whole = {*mine.values(), b"old, theirs", b"fresh", b"both, theirs", b"unsaved work"}
    assert set(files.values()) <= whole, "no half file anywhere"
    assert files.get("old") in {b"old, mine", b"old, theirs", b"unsaved work"}
    everywhere = [*files.values(), *trashed(root)]
    assert b"gone, mine" in everywhere
    assert b"both, mine" in files.values(), "an edit is never only in the trash"
    exchanged = files.get("old") == b"old, theirs"
    if edit == "edit" and exchanged:
        assert b"unsaved work" in files.values(), "the racing write is a conflict copy"
    if edit == "quiet":
        assert copies_made == [], "content the server knows makes no needless conflict copy"
        assert b"old, mine" in everywhere


def test_a_stage_without_intents_gives_back_what_it_holds(ground):
    """The state is lost, so nobody knows the paths: the content is kept under what its name still says."""
    folder = ground.root / ".relay/stage/ready-1-1"
    folder.mkdir(parents=True)
    label = f"{'0' * 32}.{'11' * 32}.new.report.txt"
    (folder / label).write_bytes(b"unsaved work")
    (ground.root / ".relay/stage/foreign").write_bytes(b"who knows")
    copies_made = ground.disk.recover({})
    assert sorted(ground.files().values()) == [b"unsaved work", b"who knows"]
    assert any(copy.startswith("report (conflict box ") for copy in copies_made)
    assert not ground.staged()


def test_from_a_certain_number_on_one_sync_serves_the_whole_batch(ground, monkeypatch):
    syncs = []
    monkeypatch.setattr(kernel, "sync_file_system", lambda _: syncs.append("all"))
    monkeypatch.setattr(os, "fsync", lambda _: syncs.append("one"))
    ground.disk.execute([ground.place(f"{n}", b"x") for n in range(disk_module.SYNC_ALL_FROM)])
    assert syncs == ["all", "all"], "one barrier before publishing, one after"
    syncs.clear()
    ground.disk.execute([ground.place("single", b"x")])
    assert syncs == ["one", "one"], "the file, then its folder"
    assert Path(ground.root / "single").exists()
