"""The scanner: what lies there, read only when its state says so, and never what lies elsewhere."""

import os
import threading
import time
from hashlib import sha256

import pytest

from relayfile.credentials.home import mark_secrets
from relayfile.errors import Halted
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.ports import Found, Left, Missing, Unstable
from relayfile.mirror.scan import RACY_S, LocalScanner
from relayfile.model import Digest, TreePath


class Rows(dict):
    """What a mirror knew: path -> (stat, digest)."""

    def below(self, folder):
        return [path for path in self if path.startswith(folder + "/")]

    def named(self, files):
        return [path for path, (stat, _) in self.items() if (stat.dev, stat.ino) in files]


def swept(ground, rows=None):
    return list(ground.scanner.sweep(Rows() if rows is None else rows))


def rows_of(sights):
    return Rows({one.path: (one.stat, one.digest) for one in sights if isinstance(one, Found)})


def write(ground, path, body: bytes, *, age_s=10.0):
    file = ground.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    os.utime(file, (time.time() - age_s, time.time() - age_s))
    return file


def reread(ground, path):
    *read, sight = ground.scanner.reread(TreePath(path), Rows())
    return read, sight


def test_a_file_is_read_again_block_by_block_whatever_its_state_says(ground):
    stat = ground.put("a", b"x" * 3_000_000)
    (ground.root / "a").write_bytes(b"y" * 3_000_000)
    os.utime(ground.root / "a", ns=(stat.mtime_ns, stat.mtime_ns))
    read, sight = reread(ground, "a")
    assert sum(read) == 3_000_000
    assert len(read) == 3
    assert sight == Found(TreePath("a"), ground.stat("a"), Digest(sha256(b"y" * 3_000_000).digest()))


def test_what_is_read_again_may_be_a_link_or_gone_or_closed_by_now(ground):
    (ground.root / "link").symlink_to("../outside/canary")
    assert reread(ground, "link") == (
        [],
        Found(TreePath("link"), ground.stat("link"), Digest(sha256(b"../outside/canary").digest())),
    )
    (ground.root / "d").mkdir()
    for path in ("no", "no/such", "d", "link/x"):
        assert reread(ground, path) == ([], Missing(TreePath(path)))
    (ground.root / "d" / ".relay").mkdir()
    (ground.root / "d" / "a").write_text("x")
    _, sight = reread(ground, "d/a")
    assert isinstance(sight, Left)
    assert sight.name == "d/a"


def test_a_file_that_changes_between_two_blocks_is_unstable(ground):
    ground.put("a", b"x" * 3_000_000)
    reading = ground.scanner.reread(TreePath("a"), Rows())
    next(reading)
    with (ground.root / "a").open("ab") as file:
        file.write(b"more")
    assert list(reading)[-1] == Unstable(TreePath("a"))


def test_a_sweep_finds_files_and_links_with_their_digests(ground):
    write(ground, "a/b", b"one")
    (ground.root / "link").symlink_to("a/b")
    found = {one.path: one for one in swept(ground)}
    assert {path: one.digest for path, one in found.items()} == {
        "a/b": sha256(b"one").digest(),
        "link": sha256(b"a/b").digest(),
    }
    assert found["link"].stat.mode == "120000"


def test_a_digest_is_reused_while_the_state_is_the_same(ground):
    write(ground, "a", b"one")
    ground.skew_s = 5
    (seen,) = swept(ground)
    other = Digest(b"x" * 32)
    assert [one.digest for one in swept(ground, Rows({seen.path: (seen.stat, other)}))] == [other]


def test_a_file_written_this_moment_is_read_again_by_the_next_scan_and_then_no_more(ground):
    (ground.root / "a").write_bytes(b"one")
    (first,) = swept(ground)
    assert first.digest == sha256(b"one").digest()
    ground.skew_s = RACY_S * 2
    (second,) = swept(ground, rows_of([first]))
    assert second.stat != first.stat, "the state of a racy file equals no real one"
    (third,) = swept(ground, rows_of([second]))
    assert third.stat == second.stat


def test_private_version_control_and_temporary_names_are_not_seen(ground):
    for path in (".relay/x", ".git/config", "sub/.git/HEAD", "node_modules/x/y", "a.swp", "a~", "sub/ok"):
        write(ground, path, b"x")
    assert [one.path for one in swept(ground)] == ["sub/ok"]


def test_links_are_never_followed(ground):
    (ground.root / "out").symlink_to(ground.outside)
    assert [one.path for one in swept(ground)] == ["out"]
    sights = ground.scanner.rescan([TreePath("out/canary")], Rows())
    assert sights == [Missing(TreePath("out/canary"))]


def test_what_cannot_be_mirrored_is_listed_with_its_reason(ground):
    (ground.root / os.fsdecode(b"bad-\xff")).write_bytes(b"x")
    (ground.root / "back\\slash").write_bytes(b"x")
    os.mkfifo(ground.root / "fifo")
    left = {one.name: one.reason for one in swept(ground)}
    assert left.keys() == {"bad-\\xff", "back\\slash", "fifo"}
    assert "UTF-8" in left["bad-\\xff"]
    assert "backslash" in left["back\\slash"]


def test_a_nested_mirror_and_a_place_of_secrets_are_not_entered(ground):
    write(ground, "nested/.relay/id", b"x")
    write(ground, "nested/file", b"x")
    write(ground, "keys/key", b"secret")
    write(ground, "marked/deep/file", b"secret")
    mark_secrets(ground.root / "marked")
    place = (ground.root / "keys").stat()
    closed = {"nested", "keys", "marked"}
    files = ["nested/file", "nested/.relay/id", "keys/key", "marked/deep/file", "marked/deep"]
    with Beneath(str(ground.root), {(place.st_dev, place.st_ino)}) as beneath:
        scanner = LocalScanner(beneath, ground.now)
        swept_, hinted = list(scanner.sweep(Rows())), scanner.rescan(map(TreePath, files), Rows())
    assert {one.name for one in swept_} == closed
    assert {one.name for one in hinted if isinstance(one, Left)} == closed, "also when one below it is hinted at"
    assert not [one for one in (*swept_, *hinted) if isinstance(one, Found)]


def test_what_is_known_below_a_folder_that_became_a_mirror_is_not_gone(ground):
    write(ground, "copy/file", b"x")
    write(ground, "copy/.relay/id", b"x")
    known = Rows({TreePath("copy/gone"): (None, None), TreePath("copy/file"): (None, None)})
    assert ground.scanner.rescan([TreePath("copy/gone"), TreePath("copy/file")], known) == [
        Left("copy", "it is a mirror of its own"),
        Left("copy", "it is a mirror of its own"),
    ]


def test_a_rescan_tells_what_is_there_what_is_gone_and_what_lies_below(ground):
    write(ground, "kept", b"1")
    write(ground, "folder/new", b"2")
    known = Rows({TreePath(path): (None, None) for path in ("folder/old", "gone", "was/below")})
    sights = ground.scanner.rescan([TreePath(path) for path in ("kept", "folder", "gone", "was")], known)
    assert {(type(one), one.path) for one in sights} == {
        (Found, "kept"),
        (Found, "folder/new"),
        (Missing, "folder/old"),
        (Missing, "gone"),
        (Missing, "was"),
        (Missing, "was/below"),
    }


def test_a_chain_of_hinted_folders_is_walked_once(ground, monkeypatch):
    write(ground, "d/" * 50 + "file", b"x")
    (ground.root / "d-x").mkdir()
    chain = [TreePath("/".join(["d"] * depth)) for depth in range(1, 51)]
    opened, real = [], ground.beneath.folder
    monkeypatch.setattr(ground.beneath, "folder", lambda path: opened.append(path) or real(path))
    known = Rows({TreePath("d/d/gone"): (None, None)})
    sights = ground.scanner.rescan([*chain, TreePath("d-x"), TreePath("d/d/gone")], known)
    assert {(type(one), one.path) for one in sights} == {(Found, "d/" * 50 + "file"), (Missing, "d/d/gone")}
    assert len(opened) < 3 * len(chain)


def test_what_is_in_a_folder_that_cannot_be_looked_into_is_not_gone(ground):
    write(ground, "outer/nested/.relay/id", b"x")
    known = Rows({TreePath("outer/nested/file"): (None, None)})
    (left,) = ground.scanner.rescan([TreePath("outer")], known)
    assert left == Left("outer/nested", "it is a mirror of its own")


def test_a_folder_that_cannot_be_opened_is_not_gone(ground, monkeypatch):
    write(ground, "folder/file", b"x")
    real = ground.beneath.folder

    def refusing(path):
        if path:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(ground.beneath, "folder", refusing)
    known = Rows({TreePath("folder/file"): None})
    for path in ("folder", "folder/file"):
        (left,) = ground.scanner.rescan([TreePath(path)], known)
        assert isinstance(left, Left), left
    assert [type(one) for one in ground.scanner.sweep(known)] == [Left, Unstable]


def test_a_sweep_takes_what_it_cannot_look_into_as_it_was_last_seen(ground):
    write(ground, "nested/file", b"x")
    rows = rows_of(swept(ground))
    write(ground, "nested/.relay/id", b"x")
    left, found = swept(ground, rows)
    assert isinstance(left, Left)
    assert (found.path, found.stat, found.digest) == ("nested/file", *rows[found.path])


def test_a_file_that_changes_while_it_is_read_is_unstable(ground):
    file = write(ground, "busy", b"x" * 1_000_000)
    stop = threading.Event()

    def edit():
        with file.open("r+b", buffering=0) as busy:
            while not stop.is_set():
                os.pwrite(busy.fileno(), b"y", 0)

    writer = threading.Thread(target=edit)
    writer.start()
    try:
        assert any(isinstance(one, Unstable) for _ in range(100) for one in swept(ground))
    finally:
        stop.set()
        writer.join()


def test_a_root_that_was_replaced_says_nothing_about_the_mirror(ground):
    write(ground, "a", b"1")
    ground.root.rename(ground.root.with_name("moved"))
    ground.root.mkdir()
    with pytest.raises(Halted):
        swept(ground)
    with pytest.raises(Halted):
        ground.scanner.rescan([TreePath("a")], Rows())


def test_a_folder_that_was_moved_is_missing_with_all_that_lay_below_it(ground):
    write(ground, "d/x", b"1")
    write(ground, "d/e/y", b"2")
    write(ground, "dd", b"3")
    rows = rows_of(swept(ground))
    (ground.root / "d").rename(ground.root / "q")
    sights = ground.scanner.rescan([TreePath("d"), TreePath("q")], rows)
    missing = {one.path for one in sights if isinstance(one, Missing)}
    assert missing == {"d", "d/x", "d/e/y"}
    assert {one.path for one in sights if isinstance(one, Found)} == {"q/x", "q/e/y"}


@pytest.mark.parametrize("folder", ["backup~", "x.tmp", ".#d", "4913"])
def test_a_folder_that_is_called_like_a_temporary_file_is_mirrored_like_any_other(ground, folder):
    ground.put(f"{folder}/file", b"1")
    ground.put(f"{folder}/sub/file", b"2")
    (ground.root / folder / "file~").write_bytes(b"3")
    rows = rows_of(swept(ground))
    assert set(rows) == {f"{folder}/file", f"{folder}/sub/file"}
    assert {one.path for one in ground.scanner.rescan([TreePath(folder)], rows)} == set(rows)


def test_a_write_through_one_name_of_a_file_is_found_under_its_other_names_too(ground):
    write(ground, "a", b"one")
    (ground.root / "d").mkdir()
    (ground.root / "d" / "b").hardlink_to(ground.root / "a")
    write(ground, "other", b"other")
    rows = rows_of(swept(ground))
    write(ground, "a", b"another")
    seen = ground.scanner.rescan([TreePath("a")], rows)
    assert {(sight.path, sight.digest) for sight in seen} == {
        (path, Digest(sha256(b"another").digest())) for path in ("a", "d/b")
    }


def test_a_write_through_a_name_that_is_gone_by_now_is_found_under_the_name_that_stayed(ground):
    write(ground, "a", b"one")
    (ground.root / "b").hardlink_to(ground.root / "a")
    rows = rows_of(swept(ground))
    write(ground, "b", b"another")
    (ground.root / "b").unlink()
    seen = {sight.path: sight for sight in ground.scanner.rescan([TreePath("b")], rows)}
    assert seen["b"] == Missing(TreePath("b"))
    assert seen["a"].digest == Digest(sha256(b"another").digest())
