"""`relayfile seed` against a real server: what it uploads, passes over, keeps back and leaves out."""

import os

import pytest


@pytest.fixture
def source(machine, place):
    machine.run("workspace", "create", "w")
    root = place / "source"
    (root / "deep" / ".git").mkdir(parents=True)
    (root / "node_modules").mkdir()
    (root / "a.txt").write_text("a\n")
    (root / "deep" / "tool").write_text("#!/bin/sh\n")
    (root / "deep" / "tool").chmod(0o755)
    (root / "deep" / "link").symlink_to("../a.txt")
    (root / "big.bin").write_bytes(os.urandom(3 * 1024 * 1024))
    (root / "deep" / ".git" / "config").write_text("left out")
    (root / "node_modules" / "m.js").write_text("left out")
    (root / "notes.txt~").write_text("left out")
    return root


def listed(machine):
    return {one["path"]: one for one in machine.run("tree", "w", "--json").json if one["type"] == "file"}


def test_files_links_modes_and_big_files_arrive_and_what_a_mirror_leaves_out_stays_here(machine, source):
    told = machine.run("seed", "w", source, "--json").json
    assert told == {"uploaded": 4, "same": 0, "kept": [], "refused": []}
    there = listed(machine)
    assert {path: one["mode"] for path, one in there.items()} == {
        "/a.txt": "644",
        "/big.bin": "644",
        "/deep/link": "120000",
        "/deep/tool": "755",
    }
    assert machine.run("read", "w", "/deep/link").out == "../a.txt"


def test_a_second_seed_passes_over_what_is_there_and_takes_up_what_was_deleted_there(machine, source):
    machine.run("seed", "w", source)
    assert machine.run("seed", "w", source, "--json").json["same"] == 4
    machine.run("rm", "w", "/a.txt")
    told = machine.run("seed", "w", source, "--json").json
    assert (told["uploaded"], told["same"]) == (1, 3), "a key of an earlier run must not stand for this one"
    assert machine.run("read", "w", "/a.txt").out == "a\n"


def test_other_content_is_kept_and_named_unless_overwrite_is_given(machine, source):
    machine.run("write", "w", "/a.txt", stdin="theirs\n")
    ran = machine.run("seed", "w", source, exit_code=1)
    assert "/a.txt" in ran.err
    assert "--overwrite" in ran.err
    assert machine.run("read", "w", "/a.txt").out == "theirs\n"
    assert machine.run("seed", "w", source, "--overwrite", "--json").json["uploaded"] == 1
    assert machine.run("read", "w", "/a.txt").out == "a\n"


def test_names_that_cannot_be_paths_are_left_out_and_told(machine, source):
    (source / "back\\slash").write_text("x")
    with open(os.fsencode(source) + b"/\xff.txt", "w") as odd:  # noqa: PTH123 - a name that no str has
        odd.write("x")
    os.mkfifo(source / "pipe")
    told = machine.run("seed", "w", source, "--json").json
    assert told["uploaded"] == 4
    assert {one["path"] for one in told["refused"]} == {"/back\\slash", "/\ufffd.txt", "/pipe"}


def test_the_place_of_the_keys_is_never_uploaded(machine, source):
    for root in (machine.home, machine.folder):
        ran = machine.run("seed", "w", root, exit_code=78)
        assert "keys" in ran.err
    assert listed(machine) == {}


def test_a_folder_is_removed_file_by_file_and_everything_only_when_meant(machine, source):
    machine.run("seed", "w", source)
    machine.run("rm", "w", "/deep", exit_code=1)
    machine.run("rm", "w", "/deep", "--recursive")
    assert set(listed(machine)) == {"/a.txt", "/big.bin"}
    ran = machine.run("rm", "w", "/", "--recursive", exit_code=2)
    assert "--yes" in ran.err
    machine.run("rm", "w", "/", "--recursive", "--yes")
    assert listed(machine) == {}


def test_a_chosen_workspace_need_not_be_named(machine, source):
    ran = machine.run("tree", exit_code=2)
    assert "workspace use" in ran.err
    machine.run("workspace", "use", "w")
    machine.run("write", "w", "/only.txt", source / "a.txt")
    assert machine.run("tree").out == "/only.txt\n"
    assert machine.run("read", "/only.txt").out == "a\n"
    machine.run("workspace", "delete", "w", "--yes")
    machine.run("workspace", "current", exit_code=1)


def test_deleting_a_workspace_needs_a_yes(machine, source):
    ran = machine.run("workspace", "delete", "w", exit_code=2)
    assert "--yes" in ran.err
    assert [one["name"] for one in machine.run("workspace", "list", "--json").json] == ["w"]
