"""`relayfile up DIR` and `relayfile down`: everything on one machine, in one command (R45)."""

import json
import os

from machines import files_below


def make_files(root):
    (root / "notes").mkdir(parents=True)
    (root / "readme.md").write_text("hello\n")
    (root / "notes" / "today.txt").write_text("one line\n")


def test_up_starts_everything_and_a_directory_equals_a_new_workspace_of_its_name(new_machine, place):
    machine, root = new_machine(), place / "acme"
    make_files(root)
    before = files_below(root)

    said = machine.run("up", root, within_s=60)

    assert "acme" in said.out, "it ends with the status"
    assert files_below(root) == before, "what was there is still there, unchanged"
    machine.until_live(root)
    names = [one["name"] for one in machine.run("workspace", "list", "--json", "--profile", "local").json]
    assert names == ["acme"]
    assert machine.run("read", "acme", "/notes/today.txt").out == "one line\n"
    assert not machine.credentials.exists(), "the profile of a cloud login is left alone (R16)"
    machine.run("down", within_s=30)


def test_up_again_is_the_same_mirror_and_down_deletes_nothing(new_machine, place):
    machine, root = new_machine(), place / "acme"
    make_files(root)
    machine.run("up", root, within_s=60)
    first = machine.until_live(root)
    url = json.loads((machine.home / "server" / "local.json").read_text())

    machine.run("down", within_s=30)
    assert not machine.daemons()
    assert files_below(root).keys() == {"readme.md", "notes/today.txt"}
    (root / "offline.txt").write_text("written while everything was down\n")

    machine.run("up", root, within_s=60)
    again = machine.until_live(root)
    assert (again["workspace"], again["directory"]) == (first["workspace"], first["directory"])
    assert json.loads((machine.home / "server" / "local.json").read_text()) == url, "the port is chosen once"
    assert machine.run("read", "acme", "/offline.txt").out == "written while everything was down\n"

    machine.run("up", root, within_s=60)
    assert len(machine.status()["mirrors"]) == 1, "a third `up` changes nothing"
    machine.run("down", within_s=30)


def test_up_never_joins_a_workspace_that_already_has_the_name(new_machine, place):
    machine = new_machine()
    for parent in ("one", "two"):
        make_files(place / parent / "acme")
        (place / parent / "acme" / "who.txt").write_text(parent)
        machine.run("up", place / parent / "acme", within_s=60)
        machine.until_live(place / parent / "acme")
    names = sorted(one["name"] for one in machine.run("workspace", "list", "--json", "--profile", "local").json)
    assert names == ["acme", "acme-2"]
    assert (place / "one" / "acme" / "who.txt").read_text() == "one"
    assert (place / "two" / "acme" / "who.txt").read_text() == "two"
    machine.run("down", within_s=30)


def test_nothing_secret_is_readable_by_others_after_up(new_machine, place):
    machine, root = new_machine(), place / "acme"
    make_files(root)
    machine.run("up", root, within_s=60)
    assert machine.home.stat().st_mode & 0o777 == 0o700
    open_to_others = [
        str(path.relative_to(machine.home))
        for folder, _, names in os.walk(machine.home)
        for path in [machine.home.__class__(folder, name) for name in names]
        if path.lstat().st_mode & 0o077
        and any(word in str(path) for word in ("credential", "key", "signin", "sock", "server/relayfile.db"))
    ]
    assert not open_to_others
    machine.run("down", within_s=30)
