"""Commands that talk to daemons: which mirrors they mean, how a pull ends, what a log shows."""

import json
import os
import pty
import subprocess
import sys
import threading

import pytest

from daemon_stand_in import StandIn
from relayfile.cli import main, mirrors
from relayfile.credentials.home import Home
from relayfile.errors import NotFound, UsageError
from relayfile.mirror import registry
from servers import clean_environment

PROGRESS = json.dumps({"files_done": 1, "files_total": 4, "bytes_done": 10, "bytes_total": 40, "rate": 1.0})


@pytest.fixture
def home(place, monkeypatch) -> Home:
    monkeypatch.setenv("RELAYFILE_HOME", str(place / ".relayfile"))
    monkeypatch.chdir(place)
    return Home(place / ".relayfile")


def add(home, place, mirror):
    (place / mirror).mkdir(exist_ok=True)
    home.prepare("mirrors", mirror)
    root = place / mirror
    ino = root.stat().st_ino
    record = registry.Record(mirror, f"rw_{mirror}", mirror, str(root), "http://127.0.0.1:1", root_ino=ino)
    registry.save(home, record)
    return record


def ended(code, message="current"):
    return f'{PROGRESS}\n{{"exit": {code}, "message": "{message}"}}\n'.encode()


def test_without_a_directory_the_working_directory_decides_then_the_only_mirror(home, place, monkeypatch):
    with pytest.raises(NotFound, match="no mirror"):
        mirrors.the_one(home, None)
    one = add(home, place, "one")
    assert mirrors.the_one(home, None) == one
    two = add(home, place, "two")
    with pytest.raises(UsageError) as several:
        mirrors.the_one(home, None)
    assert one.directory in several.value.hint
    assert two.directory in several.value.hint
    (place / "two" / "deep").mkdir()
    monkeypatch.chdir(place / "two" / "deep")
    assert mirrors.the_one(home, None) == two
    assert mirrors.the_one(home, str(place / "one")) == one
    assert mirrors.rooted_at(home, place / "two") == two
    (place / "one").rename(place / "kept")
    assert mirrors.rooted_at(home, place / "one") is None, "it is gone"
    (place / "one").mkdir()
    assert mirrors.rooted_at(home, place / "one") is None, "another directory lies there"
    assert mirrors.rooted_at(home, place / "two" / "deep") is None


def test_a_directory_that_is_no_mirror_is_told_with_those_that_are(home, place, capsys):
    one = add(home, place, "one")
    assert main.run(["pull", str(place / "elsewhere")]) == 1
    assert one.directory in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 4, 6, 75])
def test_pull_exits_as_the_mirror_ended(home, place, code, capsys):
    with StandIn(place, "m", ended(code)) as daemon:
        assert main.run(["pull"]) == code
    assert daemon.asked == ["POST /pull HTTP/1.0"]
    said = capsys.readouterr()
    assert said.out == ""
    assert "current" in said.err


def test_pull_of_several_mirrors_goes_on_after_a_bad_one_and_exits_with_the_gravest(home, place, capsys):
    add(home, place, "stopped")
    with StandIn(place, "a", ended(6, "a person must decide")), StandIn(place, "b", ended(0)):
        assert main.run(["pull", "--json"]) == 6
    rows = {row["mirror"]: row for row in json.loads(capsys.readouterr().out)}
    assert {mirror: row["exit"] for mirror, row in rows.items()} == {"a": 6, "b": 0, "stopped": 75}
    assert "is stopped" in rows["stopped"]["message"]


def test_pull_of_a_stopped_mirror_says_how_to_start_it(home, place, capsys):
    record = add(home, place, "m")
    assert main.run(["pull"]) == 75
    assert f"relayfile mount {record.directory}" in capsys.readouterr().err


def test_pull_of_a_daemon_that_dies_meanwhile_is_a_failure(home, place, capsys):
    with StandIn(place, "m", PROGRESS.encode() + b"\n"):
        assert main.run(["pull"]) == 75
    assert "ended while" in capsys.readouterr().err


def test_pull_draws_a_bar_on_a_terminal_and_leaves_no_trace_of_it_in_the_data(place):
    controller, terminal = pty.openpty()
    with StandIn(place, "m", ended(0)):
        done = subprocess.run(
            [sys.executable, "-m", "relayfile", "pull", "--profile", "p"],
            env=clean_environment(place, TERM="xterm"),
            stdout=subprocess.PIPE,
            stderr=terminal,
            check=True,
            timeout=30,
        )
    os.close(terminal)
    drawn = b""
    try:
        while block := os.read(controller, 65536):
            drawn += block
    except OSError:  # how Linux says that nobody writes to the terminal any more
        pass
    os.close(controller)
    assert b"1/4 files" in drawn
    assert b"current" in drawn
    assert done.stdout == b""


def test_why_finds_the_mirror_of_a_file_and_takes_other_absolute_paths_for_those_of_the_workspace(
    home, place, capsys, monkeypatch
):
    (place / "m" / "deep").mkdir(parents=True)
    (place / "m" / "link").symlink_to("/etc/passwd")
    (place / "alias").symlink_to(place / "m")
    with StandIn(place, "m", b'{"next": "nothing"}') as daemon:
        for asked in ("m/deep/a b", str(place / "m/link"), "alias/x", "m/deep/../y", "/docs/plan.md"):
            assert main.run(["why", asked, "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[0]) == {
            "directory": str(place / "m"),
            "mirror": "m",
            "next": "nothing",
        }
        monkeypatch.chdir(place / "m" / "deep")
        assert main.run(["why", "here"]) == 0
    assert [one.split()[1].split("path=")[1] for one in daemon.asked] == [
        *("deep/a%20b", "link", "x", "y", "docs/plan.md", "deep/here")
    ]


def test_why_of_a_whole_mirror_of_no_mirror_and_of_a_stopped_one_says_what_to_do(home, place, capsys):
    record = add(home, place, "m")
    assert main.run(["why", "m"]) == 2
    assert "is the whole mirror" in capsys.readouterr().err
    assert main.run(["why", "elsewhere"]) == 1
    assert record.directory in capsys.readouterr().err
    assert main.run(["why", "m/a"]) == 75
    assert f"relayfile mount {record.directory}" in capsys.readouterr().err


def test_verify_prints_what_differs_and_exits_6(home, place, capsys):
    version = {"revision": 3, "digest": "ab" * 32, "size": 1234, "mode": "644"}
    told = {"exit": 6, "message": "2 paths differ", "equal_to": None, "differences_count": 2}
    told["differences"] = [{"path": "/a\x1b", "why": "rotten", "disk": None, "server": version}]
    with StandIn(place, "m", f"{PROGRESS}\n{json.dumps(told)}\n".encode()) as daemon:
        assert main.run(["verify", "--deep", "--mend"]) == 6
        said = capsys.readouterr().out
        assert main.run(["verify", "--json"]) == 6
    assert daemon.asked == [f"POST /verify?deep={flag}&mend={flag} HTTP/1.0" for flag in (1, 0)]
    assert said.splitlines()[0] == f"{place / 'm'}: 2 paths differ"
    assert "server: rev_3  abababababab  1,234 bytes  644" in said
    assert "here:   nothing" in said
    assert "and 1 more" in said
    assert "\x1b" not in said
    assert json.loads(capsys.readouterr().out) == [
        {"directory": str(place / "m"), "mirror": "m", **told, "hint": None}
    ]


@pytest.mark.parametrize("code", [0, 4, 75])
def test_verify_exits_as_the_mirror_ended(home, place, code, capsys):
    with StandIn(place, "m", ended(code)):
        assert main.run(["verify"]) == code
    assert "current" in capsys.readouterr().out
    assert main.run(["verify"]) == 75, "it is stopped"


def test_logs_shows_the_end_of_the_log_and_follows_it_over_a_rotation(home, place):
    record = add(home, place, "m")
    log = home.mirror(record.id) / "log"
    log.write_text("one\ntwo\nthree\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "relayfile", "logs", "--follow", "--lines", "2"],
        env=clean_environment(place),
        stdout=subprocess.PIPE,
        cwd=place,
    )
    assert process.stdout is not None
    late = threading.Timer(30, process.kill)
    late.start()
    assert [process.stdout.readline() for _ in range(2)] == [b"two\n", b"three\n"]
    with log.open("a") as more:
        more.write("four\n")
    assert process.stdout.readline() == b"four\n"
    with log.open("a") as old:
        log.rename(log.with_name("log.1"))
        old.write("five\n")
        old.flush()
        log.write_text("six\n")
    assert [process.stdout.readline() for _ in range(2)] == [b"five\n", b"six\n"]
    process.terminate()
    process.wait()
    process.stdout.close()
    late.cancel()


def test_logs_of_a_mirror_that_never_ran_says_so(home, place, capsys):
    add(home, place, "m")
    assert main.run(["logs"]) == 1
    assert "no log yet" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["stop", "restart"])
def test_stop_and_restart_take_a_directory_or_all_not_both(home, command, capsys):
    assert main.run([command, "x", "--all"]) == 2
    assert "not both" in capsys.readouterr().err


def test_mount_of_a_workspace_without_a_directory_asks_where(home, capsys):
    assert main.run(["mount", "acme"]) == 2
    assert "relayfile mount acme DIR" in capsys.readouterr().err
