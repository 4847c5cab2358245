"""Commands without a mirror, as a script uses them: data on stdout, talk on stderr, meaningful exit codes."""

import subprocess
import sys

import pytest

from servers import clean_environment


@pytest.fixture
def workspace(machine) -> str:
    machine.run("workspace", "create", "w")
    return "w"


def test_a_file_is_written_read_listed_and_removed(machine, workspace, place):
    (place / "content.bin").write_bytes(bytes(range(256)))
    machine.run("write", workspace, "/a/b.bin", place / "content.bin")
    machine.run("write", workspace, "/a/c.txt", stdin="text\n")
    assert machine.run("read", workspace, "/a/c.txt").out == "text\n"
    assert machine.run("cat", workspace, "/a/c.txt").out == "text\n"
    raw = subprocess.run(
        machine.command("read", workspace, "/a/b.bin"),
        env=clean_environment(machine.folder),
        capture_output=True,
        check=True,
    )
    assert raw.stdout == bytes(range(256))
    listed = machine.run("tree", workspace, "/", "--json").json
    assert isinstance(listed, list)
    assert {"/a/b.bin", "/a/c.txt"} <= {entry["path"] for entry in listed}
    machine.run("rm", workspace, "/a/b.bin")
    assert machine.try_("read", workspace, "/a/b.bin").code == 1


def test_a_write_over_another_revision_is_refused_and_says_what_is_there(machine, workspace):
    machine.run("write", workspace, "/a.txt", stdin="one\n")
    machine.run("write", workspace, "/a.txt", stdin="two\n")
    ran = machine.try_("write", workspace, "/a.txt", "--if-match", "rev_1", stdin="three\n")
    assert ran.code == 1, ran
    assert "rev_2" in ran.err
    assert machine.run("read", workspace, "/a.txt").out == "two\n"


def test_seed_uploads_a_directory_and_a_second_seed_changes_nothing(machine, workspace, server, place):
    source = place / "source"
    for number in range(250):
        (source / f"d{number % 7}").mkdir(parents=True, exist_ok=True)
        (source / f"d{number % 7}" / f"f{number}.txt").write_text(f"{number}\n")
    machine.run("seed", workspace, source)
    identifier = machine.run("workspace", "list", "--json").json[0]["workspaceId"]
    http = server.observer()
    assert len(http.tree(identifier)) == 250
    head = http.ok("GET", f"/v1/workspaces/{identifier}/fs/events?direction=desc&limit=1")["events"][0]["eventId"]
    machine.run("seed", workspace, source)
    again = http.ok("GET", f"/v1/workspaces/{identifier}/fs/events?direction=desc&limit=1")["events"][0]["eventId"]
    assert head == again == "evt_250"


def test_tree_follows_pages(machine, workspace, server):
    identifier = machine.run("workspace", "list", "--json").json[0]["workspaceId"]
    http = server.observer()
    for begin in range(0, 2400, 200):
        http.bulk(identifier, ((f"/f{number:05}.txt", "x") for number in range(begin, begin + 200)))
    assert len(machine.run("tree", workspace, "/", "--json").json) == 2400


def test_workspace_list_is_a_bare_array_that_marks_the_current_one(machine):
    machine.run("workspace", "create", "one")
    machine.run("workspace", "create", "two")
    machine.run("workspace", "use", "two")
    rows = machine.run("workspace", "list", "--json").json
    assert {row["name"]: row["current"] for row in rows} == {"one": False, "two": True}
    assert all({"workspaceId", "name", "current"} <= row.keys() for row in rows)
    assert "two" in machine.run("workspace", "current").out
    assert machine.try_("workspace", "create", "one").code in {1, 2}


def test_an_unknown_command_a_missing_argument_and_an_unknown_workspace(machine):
    assert machine.try_("frobnicate").code == 2
    assert machine.try_("read").code == 2
    ran = machine.try_("tree", "nope", "/")
    assert ran.code == 1, ran
    assert "nope" in ran.err
    assert not ran.out


def test_a_reader_that_goes_away_is_not_an_error(machine, workspace):
    for number in range(3):
        machine.run("write", workspace, f"/{number}.txt", stdin="x" * 200_000)
    shell = subprocess.run(
        [
            "sh",
            "-c",
            f"{' '.join(machine.command('read', workspace, '/1.txt'))} | head -c 10; exit ${{PIPESTATUS:-0}}",
        ],
        env=clean_environment(machine.folder),
        capture_output=True,
        check=False,
    )
    assert shell.stdout == b"x" * 10
    assert b"Traceback" not in shell.stderr
    assert b"Broken" not in shell.stderr


def test_progress_is_quiet_when_it_is_not_a_terminal(machine, workspace, place):
    (place / "source").mkdir()
    (place / "source" / "a.txt").write_text("a")
    ran = machine.run("seed", workspace, place / "source")
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err


def test_a_second_server_on_the_same_data_is_refused(server):
    ran = subprocess.run(
        [sys.executable, "-m", "relayfile", "serve", "--data", str(server.data), "--listen", "127.0.0.1:0"],
        env=clean_environment(server.folder),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.returncode == 7, ran.stderr
