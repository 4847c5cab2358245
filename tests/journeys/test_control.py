"""Steering a mirror with real processes: waiting for another's write, watching, pausing, reading only, once."""

import subprocess

import pytest

from journeys_support import Mirrors


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
