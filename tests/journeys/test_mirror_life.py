"""The life of a mirror with real processes: edits, conflicts, offline work, restarts, a server that dies."""

import os
import pty
import re
import shutil
import signal
import subprocess
import tty

import pytest

from journeys_support import Mirrors
from machines import difference, files_below
from waiting import until


@pytest.fixture
def pair(server, new_machine, place) -> Mirrors:
    """Two machines with a mirror each of one workspace."""
    return Mirrors.of(server, [new_machine(), new_machine()], place)


def test_an_edit_a_new_file_a_deletion_and_a_mode_travel_from_one_mirror_to_the_other(pair):
    (a, root_a), (b, root_b) = pair.both
    (root_a / "deep" / "er").mkdir(parents=True)
    (root_a / "deep" / "er" / "file.txt").write_text("from a\n")
    (root_a / "tool.sh").write_text("#!/bin/sh\n")
    (root_a / "tool.sh").chmod(0o755)
    (root_a / "link").symlink_to("deep/er/file.txt")
    pair.until_equal({"deep/er/file.txt", "tool.sh", "link"})
    assert (root_b / "deep/er/file.txt").read_text() == "from a\n"
    assert (root_b / "tool.sh").stat().st_mode & 0o111
    assert os.readlink(root_b / "link") == "deep/er/file.txt"  # noqa: PTH115

    (root_b / "deep" / "er" / "file.txt").write_text("edited in b\n")
    (root_b / "tool.sh").unlink()
    pair.until_equal({"deep/er/file.txt", "link"})
    assert (root_a / "deep/er/file.txt").read_text() == "edited in b\n"
    assert a.mirror(root_a)["conflicts"] == b.mirror(root_b)["conflicts"] == 0

    (root_a / "deep").rename(root_a / "moved")
    pair.until_equal({"moved/er/file.txt", "link"})


def test_what_an_editor_does_by_renaming_over_a_file_is_one_edit(pair):
    (_, root_a), (_, root_b) = pair.both
    (root_a / "draft.txt").write_text("one\n")
    pair.until_equal({"draft.txt"})
    (root_a / ".draft.txt.swp").write_text("two\n")
    (root_a / ".draft.txt.swp").rename(root_a / "draft.txt")
    until(lambda: (root_b / "draft.txt").read_text() == "two\n", within_s=10, what="the edit", evidence=pair.evidence)
    pair.until_equal({"draft.txt"})


def test_edits_and_deletions_made_while_the_daemon_was_stopped_are_found(pair):
    (a, root_a), (_, root_b) = pair.both
    for name in ("keep.txt", "edit.txt", "gone.txt"):
        (root_a / name).write_text("first\n")
    pair.until_equal({"keep.txt", "edit.txt", "gone.txt"})

    a.run("stop", root_a)
    assert a.mirror(root_a)["state"] == "stopped"
    until(lambda: not a.daemons(), within_s=5, what="no daemon is left")
    (root_a / "edit.txt").write_text("offline\n")
    (root_a / "gone.txt").unlink()
    (root_a / "new.txt").write_text("offline too\n")
    (root_b / "keep.txt").write_text("meanwhile in b\n")

    a.run("restart", root_a)
    pair.until_equal({"keep.txt", "edit.txt", "new.txt"})
    assert (root_b / "edit.txt").read_text() == "offline\n"
    assert (root_a / "keep.txt").read_text() == "meanwhile in b\n"


def test_two_edits_of_one_file_leave_theirs_at_the_path_and_ours_in_a_conflict_copy_on_both_sides(pair):
    (a, root_a), (b, root_b) = pair.both
    (root_a / "plan.bin").write_bytes(b"\0\xffbase")
    pair.until_equal({"plan.bin"})
    a.run("stop", root_a)
    (root_a / "plan.bin").write_bytes(b"\0\xffours")
    (root_b / "plan.bin").write_bytes(b"\0\xfftheirs")
    b.run("pull")
    a.run("restart", root_a)
    until(lambda: len(files_below(root_b)) == 2, within_s=20, what="the conflict copy", evidence=pair.evidence)
    both = pair.until_equal(None)
    assert sorted(both.values()) == [b"\0\xffours", b"\0\xfftheirs"]
    assert both["plan.bin"] == b"\0\xfftheirs"
    copy = next(path for path in both if path != "plan.bin")
    assert re.fullmatch(r"plan \(conflict .+ \d{4}-\d\d-\d\d [0-9a-f]{8}\)\.bin", copy), copy


def test_an_edit_beats_a_deletion(pair):
    (a, root_a), (b, root_b) = pair.both
    (root_a / "one.txt").write_text("base\n")
    (root_a / "two.txt").write_text("base\n")
    pair.until_equal({"one.txt", "two.txt"})
    a.run("stop", root_a)
    (root_a / "one.txt").unlink()
    (root_b / "one.txt").write_text("edited in b\n")
    (root_a / "two.txt").write_text("edited in a\n")
    (root_b / "two.txt").unlink()
    b.run("pull")
    a.run("restart", root_a)
    both = pair.until_equal({"one.txt", "two.txt"})
    assert both == {"one.txt": b"edited in b\n", "two.txt": b"edited in a\n"}


def test_a_killed_daemon_resumes_where_it_was_and_makes_no_conflict_of_it(pair):
    (a, root_a), (_, root_b) = pair.both
    for number in range(50):
        (root_a / f"f{number}.txt").write_text(f"{number}\n")
    pair.until_equal({f"f{number}.txt" for number in range(50)})
    os.kill(a.daemons()[0], signal.SIGKILL)
    until(lambda: not a.daemons(), within_s=5, what="the daemon is gone")
    (root_a / "f1.txt").write_text("after the kill\n")
    (root_b / "f2.txt").write_text("meanwhile\n")
    a.run("restart", root_a)
    both = pair.until_equal({f"f{number}.txt" for number in range(50)})
    assert both["f1.txt"] == b"after the kill\n"
    assert both["f2.txt"] == b"meanwhile\n"
    assert a.mirror(root_a)["conflicts"] == 0


def test_a_server_that_dies_and_returns_costs_nothing_and_needs_no_command(pair, server):
    (a, root_a), (b, root_b) = pair.both
    pair.expect_connection_trouble()
    (root_a / "before.txt").write_text("before\n")
    pair.until_equal({"before.txt"})
    daemons = a.daemons() + b.daemons()

    server.kill()
    a.until_mirror(root_a, lambda one: one["state"] == "offline", within_s=15, what="offline, and says so")
    assert a.mirror(root_a)["cause"]["code"]
    (root_a / "during.txt").write_text("during\n")
    a.until_mirror(root_a, lambda one: one["pending_edits"] == 1, within_s=10, what="the edit is recorded")

    server.start()
    pair.until_equal({"before.txt", "during.txt"}, within_s=60)
    assert (root_b / "during.txt").read_text() == "during\n"
    assert a.daemons() + b.daemons() == daemons
    assert a.mirror(root_a)["engine_starts"] == 1


def test_every_acknowledged_write_survives_a_killed_server(server, machine):
    machine.run("workspace", "create", "w")
    acknowledged = {}
    for number in range(20):
        machine_path, text = f"/f{number}.txt", f"{number}\n"
        machine.run("write", "w", machine_path, stdin=text)
        acknowledged[machine_path.removeprefix("/")] = text.encode()
        if number == 10:
            server.kill()
            server.start()
    server.kill()
    server.start()
    workspace = next(one["workspaceId"] for one in machine.run("workspace", "list", "--json").json)
    assert not difference(server.observer().tree(workspace), acknowledged)


def test_deleting_the_workspace_halts_the_mirror_and_leaves_every_file(server, machine, place):
    machine.expected.append("workspace")
    root = place / "mirror"
    root.mkdir()
    (root / "mine.txt").write_text("mine\n")
    machine.run("workspace", "create", "w")
    machine.run("mount", "w", root)
    machine.until_live(root)
    machine.run("workspace", "delete", "w", "--yes")
    halted = machine.until_mirror(root, lambda one: one["state"] == "halted", within_s=20, what="the mirror halted")
    assert halted["cause"]["code"] == "workspace_deleted"
    assert files_below(root) == {"mine.txt": b"mine\n"}
    assert machine.try_("pull").code == 6


def test_emptying_a_mirror_halts_only_the_deletions(pair):
    (a, root_a), (_, root_b) = pair.both
    for one in pair.machines:
        one.expected.append("halt|delet")
    names = {f"f{number}.txt" for number in range(8)}
    for name in names:
        (root_a / name).write_text(f"{name}\n")
    pair.until_equal(names)
    a.run("stop", root_a)
    for name in names:
        (root_a / name).unlink()
    a.run("restart", root_a)
    halted = a.until_mirror(root_a, lambda one: one["state"] == "halted", within_s=20, what="the brake")
    assert halted["cause"]["code"]
    assert files_below(root_b).keys() == names, "nothing was deleted on the other side"
    assert a.try_("pull").code == 6
    assert "resume" in a.run("status").out, "it says what a person can do"
    a.run("resume", root_a, "--restore")
    pair.until_equal(names)


def test_a_directory_deleted_under_a_running_mirror_deletes_nothing_elsewhere_and_says_why_it_stopped(pair):
    (a, root_a), (_, root_b) = pair.both
    names = {"one.txt", "two.txt", "three.txt"}
    for name in names:
        (root_a / name).write_text(f"{name}\n")
    pair.until_equal(names)
    shutil.rmtree(root_a)
    stopped = a.until_mirror(root_a, lambda one: one["state"] == "stopped", within_s=20, what="the mirror stopped")
    assert stopped["cause"]["code"] == "root_replaced", stopped["cause"]
    assert "relayfile mount" in stopped["cause"]["message"]
    assert files_below(root_b).keys() == names, "nothing was deleted on the other side"
    a.run("mount", pair.workspace, root_a)
    pair.until_equal(names)


def test_another_directory_in_the_place_of_an_idle_mirror_ends_it_and_loses_nothing(pair):
    (a, root_a), (_, root_b) = pair.both
    (root_a / "one.txt").write_text("one\n")
    pair.until_equal({"one.txt"})
    root_a.rename(root_a.with_name("moved"))
    root_a.mkdir()
    (root_a / "precious.txt").write_text("precious\n")
    stopped = a.until_mirror(root_a, lambda one: one["state"] == "stopped", within_s=20, what="the mirror stopped")
    assert stopped["cause"]["code"] == "root_replaced"
    assert files_below(root_a) == {"precious.txt": b"precious\n"}
    assert files_below(root_b).keys() == {"one.txt"}
    a.run("mount", pair.workspace, root_a)
    pair.until_equal({"one.txt", "precious.txt"})


@pytest.mark.parametrize("gone", ["under its daemon", "after a stop", "another lies there"])
def test_a_directory_that_is_gone_is_told_as_that_and_the_next_step_works(pair, gone):
    (a, root_a), (_, root_b) = pair.both
    (root_a / "one.txt").write_text("one\n")
    pair.until_equal({"one.txt"})
    if gone == "after a stop":
        a.run("stop", root_a)
    root_a.rename(root_a.with_name("elsewhere"))
    if gone == "another lies there":
        root_a.mkdir()
    while_it_ends = a.run("pull", root_a, exit_code=6)
    until(lambda: not a.daemons(), within_s=20, what="the daemon ended")
    told = a.run("pull", root_a, exit_code=6)
    for ran in (while_it_ends, told):
        assert "is no longer the directory that was mounted" in ran.err
        assert f"relayfile mount shared {root_a}" in ran.err
    started = a.try_("mount", root_a)
    assert started.code == 78
    assert f"relayfile mount shared {root_a}" in started.err
    a.run("mount", "shared", root_a)
    pair.until_equal({"one.txt"})
    assert files_below(root_b).keys() == {"one.txt"}


def test_a_daemon_whose_directory_is_elsewhere_is_still_known_and_stopped(pair):
    (a, root_a), _ = pair.both
    [daemon] = a.daemons()
    os.kill(daemon, signal.SIGSTOP)  # it cannot notice
    try:
        root_a.rename(root_a.with_name("moved"))
        [known] = a.run("auth", "status", "--json").json["daemons"]
        assert known["pid"] == daemon
    finally:
        os.kill(daemon, signal.SIGCONT)
    a.run("stop", root_a)  # or it has just seen for itself that its root is gone, and is ending
    until(lambda: not a.daemons(), within_s=10, what="no daemon is left", evidence=a.evidence)


def test_pull_shows_how_far_it_is_how_fast_and_how_long_it_will_take(server, machine, place):
    root, files = place / "mirror", 12_000
    machine.run("workspace", "create", "w")
    machine.run("mount", "w", root)
    machine.until_live(root)
    machine.run("stop", root)
    workspace = machine.mirror(root)["workspace"]
    http = server.observer()
    for begin in range(0, files, 200):
        http.bulk(workspace, ((f"/d{n % 50}/f{n}.txt", f"{n} " * 100) for n in range(begin, begin + 200)))
    machine.run("restart", root)
    code, drawn = on_a_terminal(machine, "pull", root)
    assert code == 0, drawn
    frames = re.findall(r"([\d,]+)/([\d,]+) files.*?(?:([\d.,]+ [kM]?B)/s)?\s+(-:--:--|\d+:\d\d:\d\d)", drawn)
    assert {total for _, total, _, _ in frames} - {"0"} == {f"{files:,}"}, drawn[:3000]  # 0: before the log answered
    assert len({done for done, _, _, _ in frames}) > 2
    assert any(rate for _, _, rate, _ in frames)
    assert any(left not in {"-:--:--", "0:00:00"} for _, _, _, left in frames), drawn[-3000:]
    assert len(files_below(root)) == files


def on_a_terminal(machine, *words):
    """The exit code of a command that talks to a terminal, and what it drew there."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    process = subprocess.Popen(
        machine.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=machine.environment() | {"COLUMNS": "160", "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = bytearray()
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # how a terminal says that nobody is left at its other end
            break
        if not block:
            break
        drawn += block
    os.close(ours)
    return process.wait(timeout=10), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
