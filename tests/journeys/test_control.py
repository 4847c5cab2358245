"""Steering a mirror with real processes: waiting for another's write, watching, pausing, reading only, once."""

import json
import signal
import subprocess

import pytest

from journeys_support import Mirrors
from machines import files_below


@pytest.fixture
def pair(server, new_machine, place) -> Mirrors:
    """Two machines with a mirror each of one workspace."""
    return Mirrors.of(server, [new_machine(), new_machine()], place)


@pytest.fixture
def start():
    """Starts commands that go on beside the test; none is left in the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(machine, *words) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            machine.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=machine.environment(),
            cwd=machine.folder,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_one_agent_waits_on_its_mirror_for_what_another_writes(pair, start):
    (a, root_a), (b, _) = pair.both
    head = a.mirror(root_a)["head"]
    waits = [
        start(a, "wait", "--until", wanted, root_a, "--timeout", "60s")
        for wanted in (f"/plan.md@rev_{head + 1}", f"evt_{head + 1}")
    ]
    assert waits[0].poll() is None
    written = b.run("write", pair.workspace, "/plan.md", "--json", stdin="the plan\n").json
    assert written["revision"] == f"rev_{head + 1}"
    for process in waits:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
    assert (root_a / "plan.md").read_text() == "the plan\n"
    ran = a.run("wait", "--until", f"/plan.md@{written['revision']}", root_a, "--json")
    assert ran.json["exit"] == 0


def test_a_wait_ends_with_why_it_is_in_vain(pair):
    (a, root_a), _ = pair.both
    ran = a.run("wait", "--until", "evt_999999", root_a, "--timeout", "300ms", exit_code=75)
    assert "not here in time" in ran.err
    ran = a.run("wait", "--until", "/.git/config@rev_1", root_a, exit_code=6)
    assert ".git is not mirrored" in ran.err
    ran = a.run("wait", "--until", "/nothing@rev_0", root_a, exit_code=1)
    assert "/nothing" in ran.err
    a.run("wait", "--until", "soon", root_a, exit_code=2)
    a.run("stop", root_a)
    a.run("wait", "--until", "evt_1", root_a, exit_code=75)


def next_event(process, kind, path=None):
    """The next event of this kind, and of this path if one is named; what comes before it is read over."""
    for line in process.stdout:
        told = json.loads(line)
        if told["event"] == kind and path in {None, told["path"]}:
            return told
    raise AssertionError(f"it ended without {kind} {path}: {process.stderr.read()}")


def test_an_agent_is_told_what_its_mirror_does_as_it_happens_until_the_daemon_ends(pair, start):
    (a, root_a), (b, root_b) = pair.both
    all_of_it, docs = start(a, "watch", root_a, "--json"), start(a, "watch", root_a / "docs", "/plan.md")
    assert next_event(all_of_it, "state")["state"] == "live"
    assert " live" in docs.stdout.readline()
    (root_b / "plan.md").write_text("the plan\n")
    placed = next_event(all_of_it, "placed", "/plan.md")
    assert placed["revision"] == f"rev_{b.mirror(root_b)['head']}"
    assert (root_a / "plan.md").read_text() == "the plan\n", "it is told after it is so"
    (root_a / "other.md").write_text("ours\n")
    assert next_event(all_of_it, "uploaded", "/other.md")
    (root_a / "docs").mkdir()
    (root_a / "docs" / "one.md").write_text("one\n")
    (root_b / "plan.md").unlink()
    assert next_event(all_of_it, "removed", "/plan.md")
    a.run("stop", root_a)
    rest, said = all_of_it.communicate(timeout=20)
    assert all_of_it.returncode == 75, said
    assert json.loads(rest.splitlines()[-1])["state"] == "stopped"
    told, _ = docs.communicate(timeout=20)
    assert "/docs/one.md" in told
    assert "/plan.md" in told
    assert "/other.md" not in told


def test_a_watch_ends_with_ctrl_c_and_leaves_the_mirror_alone(pair, start):
    (a, root_a), _ = pair.both
    watching = start(a, "watch", root_a, "--json")
    assert next_event(watching, "state")
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=10)
    assert watching.returncode == 130
    a.until_live(root_a)


def test_a_reader_that_stands_still_never_holds_the_mirror_up(pair, start):
    (a, root_a), _ = pair.both
    watching = start(a, "watch", root_a, "--json")
    assert next_event(watching, "state")
    watching.send_signal(signal.SIGSTOP)
    http = pair.server.observer()
    http.bulk(pair.workspace, ((f"/f{number}.txt", f"{number}\n") for number in range(200)))
    a.run("pull", root_a)
    assert len(files_below(root_a)) == 200
    watching.send_signal(signal.SIGCONT)
    (root_a / "after.txt").write_text("after\n")
    assert next_event(watching, "uploaded", "/after.txt")
    watching.send_signal(signal.SIGSTOP)
    a.run("stop", root_a)


def test_a_pause_holds_both_ways_over_a_restart_until_it_is_resumed(pair):
    (a, root_a), (_, root_b) = pair.both
    (root_a / "both.txt").write_text("both\n")
    pair.until_equal({"both.txt"})
    assert a.run("pause", root_a, "--json").json["paused"] is True
    (root_a / "mine.txt").write_text("mine\n")
    (root_b / "theirs.txt").write_text("theirs\n")

    def recorded(one):
        return one["state"] == "paused" and one["pending_edits"] == 1 and one["applied"] < one["observed"]

    a.until_mirror(root_a, recorded, within_s=20, what="both sides are recorded")
    a.run("restart", root_a)
    a.until_mirror(root_a, recorded, within_s=20, what="it is paused still")
    assert files_below(root_a).keys() == {"both.txt", "mine.txt"}
    assert files_below(root_b).keys() == {"both.txt", "theirs.txt"}
    assert "relayfile resume" in a.run("status", root_a).out
    assert "paused" in a.run("pull", root_a, exit_code=6).err
    a.run("status", "--check", exit_code=6)

    a.run("stop", root_a)
    a.run("mount", pair.workspace, root_a)
    assert a.mirror(root_a)["state"] == "paused", "mounting it again does not end the pause"
    a.run("resume", root_a)
    pair.until_equal({"both.txt", "mine.txt", "theirs.txt"})
    a.run("stop", root_a)
    a.run("pause", root_a)
    assert "relayfile resume" in a.run("status", root_a).out, "a stopped mirror can be paused too"


def test_a_read_only_mirror_follows_and_keeps_its_edits_until_it_may_send_them(pair):
    (a, root_a), (_, root_b) = pair.both
    (root_b / "both.txt").write_text("both\n")
    pair.until_equal({"both.txt"})
    a.run("mount", root_a, "--read-only")
    (root_a / "both.txt").write_text("edited here\n")
    (root_a / "mine.txt").write_text("mine\n")
    seen = a.until_mirror(root_a, lambda one: one["not_kept_count"] == 2, within_s=20, what="both edits are listed")
    assert {one["path"]: one["reason"] for one in seen["not_kept"]} == dict.fromkeys(
        ("both.txt", "mine.txt"), "not sent: this mirror is read-only"
    )
    assert seen["read_only"] is True
    assert "read-only" in a.run("status", root_a).out
    (root_b / "theirs.txt").write_text("theirs\n")
    a.run("restart", root_a)
    a.run("pull", root_a)
    assert (root_a / "theirs.txt").read_text() == "theirs\n"
    assert (root_a / "both.txt").read_text() == "edited here\n"
    assert files_below(root_b) == {"both.txt": b"both\n", "theirs.txt": b"theirs\n"}
    a.run("mount", pair.workspace, root_a, "--no-read-only")
    assert pair.until_equal({"both.txt", "mine.txt", "theirs.txt"})["both.txt"] == b"edited here\n"


def test_once_brings_both_sides_together_and_leaves_no_daemon(server, machine, place):
    root = place / "mirror"
    root.mkdir()
    (root / "mine.txt").write_text("mine\n")
    machine.run("workspace", "create", "w")
    machine.run("write", "w", "/theirs.txt", stdin="theirs\n")
    seen = machine.run("mount", "w", root, "--once", "--json").json
    assert not machine.daemons()
    assert seen["state"] == "stopped"
    assert seen["proven_at"]
    both = {"mine.txt": b"mine\n", "theirs.txt": b"theirs\n"}
    assert files_below(root) == both
    http = server.observer()
    assert http.tree(seen["workspace"]) == both
    (root / "theirs.txt").unlink()
    (root / "mine.txt").write_text("edited\n")
    machine.run("mount", root, "--once")
    assert http.tree(seen["workspace"]) == files_below(root) == {"mine.txt": b"edited\n"}
    http.close()


def test_once_ends_as_a_pull_would_where_both_sides_cannot_be_brought_together(server, machine, place, start):
    root = place / "mirror"
    machine.run("workspace", "create", "w")
    machine.run("mount", "w", root, "--once")
    machine.run("mount", root, "--timeout", "5s", exit_code=2)
    machine.run("pause", root)
    assert "paused" in machine.run("mount", root, "--once", exit_code=6).err
    machine.run("resume", root)
    machine.expected += ["connect", "offline", "unavailable", "server"]
    server.kill()
    (root / "mine.txt").write_text("mine\n")
    assert "repeat" in machine.run("mount", root, "--once", "--timeout", "2s", exit_code=75).err
    interrupted = start(machine, "mount", root, "--once")
    machine.until_mirror(root, lambda one: one["state"] == "offline", within_s=20, what="it tries")
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=20)
    assert interrupted.returncode == 130
    assert not machine.daemons()
    server.start()
    machine.run("mount", root)
    assert "already keeps" in machine.run("mount", root, "--once", exit_code=7).err
