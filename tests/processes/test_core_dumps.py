"""Whatever crashes while it holds a secret leaves no image of its memory, however generous its surroundings are."""

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from relayfile.server.serve import PID_FILE
from servers import OWNER, PASSWORD
from waiting import until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/limits").exists(), reason="the limits of others are read in /proc"
)
NONE = ("1", "1")
"""Too little for a core file; and on Linux the limit with which no core is piped to a program either."""


@pytest.fixture(autouse=True)
def generous():
    """The surroundings, which processes inherit, allow cores of any size that they may allow."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    assert limit(os.getpid()) not in {NONE, ("0", "0")}, "cores are allowed here, or this shows nothing"
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def limit(pid: int) -> tuple[str, ...]:
    """How large a core of the process may be: now, and at most."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return tuple(next(line for line in lines if line.startswith("Max core file size")).split()[4:6])


def test_server_daemon_and_commands_allow_no_core(server, machine, place):
    machine.run("workspace", "create", "w")
    machine.run("mount", "w", place / "root")
    (daemon,) = machine.daemons()
    assert server.process is not None
    assert limit(server.process.pid) == NONE
    assert limit(daemon) == NONE
    with waiting_command(machine, "write", "w", "/a.txt") as command:
        until(lambda: limit(command.pid) == NONE, within_s=20, what="it allows no core", evidence=command.poll)
        command.communicate(b"a")
        assert command.returncode == 0


def test_an_embedded_server_and_its_daemon_allow_no_core(new_machine, place):
    machine = new_machine()
    machine.run("up", place / "root")
    try:
        (daemon,) = machine.daemons()
        embedded = int((machine.home / "server" / PID_FILE).read_text())
        assert [limit(pid) for pid in (daemon, embedded)] == [NONE, NONE]
    finally:
        machine.run("down")


def test_a_command_that_crashes_with_a_password_in_it_leaves_no_core(server, new_machine):
    machine = new_machine()
    with waiting_command(machine, "login", server.url, "--username", OWNER, "--password-stdin") as command:
        until(lambda: limit(command.pid) == NONE, within_s=20, what="it allows no core", evidence=command.poll)
        command.stdin.write(PASSWORD.encode())  # no line yet: it holds what it has and waits for the rest
        command.stdin.flush()
        command.send_signal(signal.SIGABRT)
        _, ended = os.waitpid(command.pid, 0)
        command.returncode = os.waitstatus_to_exitcode(ended)
    assert command.returncode == -signal.SIGABRT
    assert not os.WCOREDUMP(ended)
    assert not list(machine.folder.rglob("core*"))


def waiting_command(machine, *words) -> subprocess.Popen[bytes]:
    """A command that waits for its stdin."""
    return subprocess.Popen(
        machine.command(*words),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=machine.environment(),
        cwd=machine.folder,
    )
