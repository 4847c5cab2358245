"""Where a mirror may live, and what happens to what is already there (R33). Nothing is ever overwritten."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from machines import copy_tree, difference, files_below
from waiting import until


@pytest.fixture
def workspace(machine, server) -> str:
    """The id of the workspace `w`, which holds two files."""
    machine.run("workspace", "create", "w")
    machine.run("write", "w", "/same.txt", stdin="same\n")
    machine.run("write", "w", "/differs.txt", stdin="theirs\n")
    return machine.run("workspace", "list", "--json").json[0]["workspaceId"]


def test_a_directory_that_is_missing_is_made(machine, workspace, place):
    root = place / "not" / "yet"
    machine.run("mount", "w", root)
    machine.until_live(root)
    assert files_below(root) == {"same.txt": b"same\n", "differs.txt": b"theirs\n"}


def test_a_file_in_the_place_of_the_directory_is_refused_and_left(machine, workspace, place):
    (place / "file").write_text("mine")
    ran = machine.try_("mount", "w", place / "file")
    assert ran.code in {2, 78}, ran
    assert "not a directory" in ran.err.lower() or "is a file" in ran.err.lower(), ran
    assert (place / "file").read_text() == "mine"


def test_files_already_there_are_adopted_uploaded_or_kept_as_conflict_copies(machine, workspace, server, place):
    root = place / "mirror"
    root.mkdir()
    (root / "same.txt").write_text("same\n")
    (root / "differs.txt").write_text("ours\n")
    (root / "only-here.txt").write_text("local\n")

    machine.run("mount", "w", root)
    assert machine.until_settled(root)["conflicts"] == 1

    found = files_below(root)
    copy = [path for path in found if path.startswith("differs (conflict ")]
    assert len(found) == 4, sorted(found)
    assert len(copy) == 1
    assert found[copy[0]] == b"ours\n"
    assert found["differs.txt"] == b"theirs\n"
    assert found["only-here.txt"] == b"local\n"
    until(
        lambda: not difference(files_below(root), server.observer().tree(workspace)),
        within_s=10,
        what="all four are on the server",
        every_s=0.5,
    )


@pytest.mark.parametrize("where", ["inside", "around", "same"])
def test_a_mirror_inside_around_or_on_another_is_refused(machine, workspace, place, where):
    root = place / "outer" / "mirror"
    machine.run("mount", "w", root)
    machine.run("workspace", "create", "other")
    second = {"inside": root / "sub", "around": place / "outer", "same": root}[where]
    ran = machine.try_("mount", "other", second)
    assert ran.code in {7, 78}, ran
    assert str(root) in ran.err, "it names the mirror that is in the way"
    machine.until_live(root)


def test_a_root_that_would_upload_the_keys_is_refused(machine, workspace, server):
    for root in (machine.home, machine.folder, machine.home / "inner"):
        ran = machine.try_("mount", "w", root)
        assert ran.code == 78, ran
    assert not machine.daemons()


def test_the_data_and_keys_of_a_server_are_never_uploaded_wherever_they_lie(machine, workspace, start_server, place):
    work = place / "work"
    work.mkdir()
    (work / "mine.txt").write_text("mine\n")
    elsewhere = start_server(options=["--keys", str(work / "keys")])
    for root in (work, work / "keys", work / "keys" / "inner", elsewhere.data, elsewhere.data / "inner"):
        for words in (["mount", "w", root], ["seed", "w", root]):
            if words[0] == "mount" or root.is_dir():
                ran = machine.try_(*words)
                assert (ran.code, "sign-ins or keys" in ran.err) == (78, True), ran
    assert not machine.daemons()
    # Brought below a mirror that runs: listed, and not entered.
    root = place / "root"
    machine.run("mount", "w", root)
    elsewhere.stop()
    (work / "keys").rename(root / "moved")
    (root / "moved" / "signing.pem").touch()
    (root / "seen.txt").write_text("seen\n")
    told = machine.until_mirror(
        root,
        lambda one: one["equal"] and "moved" in {left["path"] for left in one["not_kept"]},
        within_s=10,
        what="the keys are listed",
    )
    assert told["not_kept_count"] == 1
    machine.run("pull", root)
    assert {one["path"] for one in machine.run("tree", "w", "/", "--json").json if one["type"] == "file"} == {
        *("/same.txt", "/differs.txt", "/seen.txt")
    }


def test_a_closed_folder_that_opens_is_synced_like_any_other_without_being_asked(machine, workspace, server, place):
    root = place / "root"
    machine.run("mount", "w", root)
    machine.until_live(root)
    (place / "x" / ".relay").mkdir(parents=True)
    (place / "x" / "file").write_text("first\n")
    (place / "x").rename(root / "x")
    machine.until_mirror(root, lambda one: one["not_kept_count"] == 1, within_s=10, what="it is listed as closed")
    (root / "x" / ".relay").rmdir()
    until(lambda: server.observer().tree(workspace).get("x/file") == b"first\n", within_s=10, what="it was uploaded")
    (root / "x" / "file").write_text("second\n")
    until(lambda: server.observer().tree(workspace).get("x/file") == b"second\n", within_s=10, what="its edit, too")
    assert machine.until_live(root)["not_kept_count"] == 0


def test_nobody_who_writes_into_the_workspace_can_close_a_folder_of_a_mirror(machine, workspace, server, place):
    root = place / "root"
    machine.run("mount", "w", root)
    machine.run("write", "w", "/docs/.relayfile-secrets", stdin="x")
    machine.run("write", "w", "/docs/plan.txt", stdin="plan\n")
    machine.run("pull", root)
    assert files_below(root).keys() == {"same.txt", "differs.txt", "docs/plan.txt"}
    (root / "docs" / "mine.txt").write_text("mine\n")
    machine.run("pull", root)
    assert server.observer().tree(workspace)["docs/mine.txt"] == b"mine\n"


def test_the_keys_of_mirrors_are_never_uploaded_wherever_they_are_copied(machine, workspace, server, place):
    root = place / "root"
    machine.run("mount", "w", root)
    machine.until_live(root)
    shutil.copytree(machine.home / "mirrors", place / "copy", ignore=shutil.ignore_patterns("*.sock"))
    (place / "copy").rename(root / "copy")  # as one: a copy made file by file is closed only once its mark is there
    (root / "seen.txt").write_text("seen\n")
    machine.run("pull", root)
    assert server.observer().tree(workspace).keys() == {"same.txt", "differs.txt", "seen.txt"}
    assert machine.mirror(root)["not_kept_count"] == 1


def test_a_copy_of_a_mirror_inside_a_mirror_is_neither_uploaded_nor_written_into(machine, workspace, server, place):
    root = place / "root"
    machine.run("mount", "w", root)
    machine.until_live(root)
    copy_tree(root, place / "copy")
    (place / "copy").rename(root / "copy")
    (root / "copy" / "same.txt").write_text("edited in the copy\n")
    (root / "seen.txt").write_text("seen\n")
    machine.run("write", "w", "/copy/from-outside.txt", stdin="x")
    machine.run("write", "w", "/copy/.relay/id", stdin="x")
    mark = (root / "copy" / ".relay" / "id").read_bytes()
    machine.run("pull", root)
    told = machine.until_mirror(
        root,
        lambda one: one["equal"] and "copy" in {left["path"] for left in one["not_kept"]},
        within_s=10,
        what="the copy is listed",
    )
    assert {left["path"] for left in told["not_kept"]} == {"copy", "copy/from-outside.txt", "copy/.relay/id"}
    files = server.observer().tree(workspace)
    assert files.keys() == {"same.txt", "differs.txt", "seen.txt", "copy/from-outside.txt", "copy/.relay/id"}
    assert (root / "copy" / ".relay" / "id").read_bytes() == mark
    assert not (root / "copy" / "from-outside.txt").exists()


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev,  # noqa: PTH116
    reason="no second file system here",
)
def test_a_mirror_on_another_file_system_than_the_home_works(machine, workspace, place):
    root = Path("/dev/shm") / place.name
    root.mkdir()
    try:
        machine.run("mount", "w", root)
        machine.until_live(root)
        (root / "new.txt").write_text("made there\n")
        until(lambda: machine.try_("read", "w", "/new.txt").code == 0, within_s=10, what="it was uploaded")
    finally:
        machine.run("stop", "--all")
        copy_tree(root, place / "kept")
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        root.rmdir()


def test_a_second_daemon_for_a_directory_is_told_who_holds_it_also_from_another_home(
    machine, workspace, server, new_machine, place
):
    root = place / "mirror"
    machine.run("mount", "w", root)
    holder = machine.daemons()[0]
    other = new_machine()
    other.login(server)

    ran = other.try_("mount", "w", root)

    assert ran.code == 7, ran
    assert str(holder) in ran.err, "it says which process holds it"
    assert not other.daemons()
    machine.until_live(root)


def test_a_directory_that_was_moved_is_told_where_to_and_goes_on_there(machine, workspace, server, place):
    root, second, third = place / "root", place / "second", place / "third"
    machine.run("mount", "w", root)
    made = machine.until_live(root)["mirror"]
    root.rename(second)
    told = machine.until_mirror(root, lambda one: one["state"] == "stopped", within_s=20, what="it noticed")
    assert f"moved to {second}" in told["cause"]["message"]
    assert f"`relayfile mount {second}`" in told["cause"]["message"]
    assert f"`relayfile mount {second}`" in machine.run("pull", root, exit_code=6).err
    (second / "differs.txt").write_text("edited while nobody looked\n")
    machine.run("mount", second)
    machine.run("pull", second)
    assert server.observer().tree(workspace)["differs.txt"] == b"edited while nobody looked\n"
    machine.run("stop", second)
    # Moved while it was stopped: the old name says that it is gone, the new one is known.
    second.rename(third)
    assert machine.mirror(second)["cause"]["code"] == "root_replaced"
    [seen] = machine.run("status", third, "--json").json["mirrors"]
    assert (seen["mirror"], seen["directory"], seen["cause"]["code"]) == (made, str(third), "stopped")
    machine.run("restart", cwd=third)
    seen = machine.until_live(third)
    assert (seen["mirror"], seen["conflicts"]) == (made, 0)
    assert len(machine.status()["mirrors"]) == 1


def test_a_file_system_that_is_mounted_over_a_mirror_ends_it_although_nobody_tells(machine, workspace, place):
    root = place / "root"
    machine.run("mount", "w", root)
    machine.until_live(root)
    if subprocess.run(["mount", "-t", "tmpfs", "none", root], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (root / "over.txt").write_text("not of this mirror\n")
        machine.until_mirror(root, lambda one: one["state"] == "stopped", within_s=10, what="it noticed")
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
    machine.run("mount", root)
    machine.until_live(root)
    assert files_below(root).keys() == {"same.txt", "differs.txt"}
    assert machine.try_("read", "w", "/over.txt").code == 1


def test_mounting_again_what_is_mounted_changes_nothing(machine, workspace, place):
    root = place / "mirror"
    machine.run("mount", "w", root)
    daemons = machine.daemons()
    ran = machine.try_("mount", "w", root)
    assert ran.code in {0, 7}, ran
    until(lambda: machine.daemons() == daemons, within_s=5, what="one daemon, the same")


def test_a_link_that_points_out_of_the_mirror_is_kept_as_a_link_and_never_followed(machine, workspace, place):
    outside = place / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("not for upload\n")
    root = place / "mirror"
    root.mkdir()
    (root / "way-out").symlink_to(outside)
    machine.run("mount", "w", root)
    machine.until_live(root)
    assert machine.run("tree", "w", "/").out.count("secret.txt") == 0
    assert (outside / "secret.txt").read_text() == "not for upload\n"
    assert (root / "way-out").is_symlink()


def test_mount_without_a_login_or_of_an_unknown_workspace_says_what_to_do(new_machine, server, place):
    machine = new_machine()
    ran = machine.try_("mount", "w", place / "mirror")
    assert ran.code == 4
    assert "relayfile login" in ran.err
    machine.login(server)
    ran = machine.try_("mount", "no-such-workspace", place / "mirror")
    assert ran.code == 1, ran
    assert "no-such-workspace" in ran.err
    assert not machine.daemons()
