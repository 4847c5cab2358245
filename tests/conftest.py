"""Fixtures every suite shares: real servers, machines of one's own, and a log that must stay quiet."""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leaks import leaks
from machines import Machine
from servers import Server


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the long suites too")
    parser.addoption("--soak-s", type=float, default=20.0, help="how long the soak lasts; 1800 is half an hour")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="long suite; run it with --slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture
def expected_warnings() -> list[str]:
    """Regular expressions of log messages at WARNING or above that this test means to cause."""
    return []


@pytest.fixture(autouse=True)
def quiet_log(caplog, expected_warnings) -> Iterator[None]:
    """A test fails when our code, in this process, warned of something it did not ask for, or logged a secret."""
    yield
    ours = [
        (record.levelno, f"{record.levelname} {record.name}: {record.getMessage()}")
        for phase in ("setup", "call", "teardown")
        for record in caplog.get_records(phase)
        if record.name.partition(".")[0] == "relayfile"
    ]
    assert not (open_ := leaks(("the log", line) for _, line in ours)), f"secrets in the log: {open_[:5]}"
    loud = [line for level, line in ours if level >= logging.WARNING]
    loud = [line for line in loud if not any(re.search(pattern, line) for pattern in expected_warnings)]
    assert not loud, f"unexpected in the log: {loud}"


@pytest.fixture
def place() -> Iterator[Path]:
    """A short-named folder of the test's own (unix sockets have a limit of 108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="rf-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@pytest.fixture
def start_server(place) -> Iterator[Callable[..., Server]]:
    """Starts servers; each is stopped, and what it wrote read for warnings and secrets, when the test ends."""
    servers: list[Server] = []

    def start(**choices) -> Server:
        server = Server(place / f"server{len(servers)}", **choices)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()
    loud = [line for server in servers for line in server.warnings()]
    assert not loud, f"unexpected in a server's log: {loud[:5]}"
    open_ = [leak for server in servers for leak in server.leaks()]
    assert not open_, f"secrets of a server where they must not be: {open_[:5]}"


@pytest.fixture
def new_machine(place, start_server) -> Iterator[Callable[[], Machine]]:
    """Makes machines; no process of theirs is left, and what they wrote is read for warnings and secrets, in the end.

    It asks for `start_server` so that daemons are stopped before the servers they talk to.
    """
    machines: list[Machine] = []

    def make() -> Machine:
        machines.append(Machine(place / f"m{len(machines)}"))
        return machines[-1]

    yield make
    failures: list[AssertionError] = []
    for machine in machines:
        try:
            machine.close()
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    loud = [line for machine in machines for line in machine.warnings()]
    assert not loud, f"unexpected in a daemon's log: {loud[:5]}"
    open_ = [leak for machine in machines for leak in machine.leaks()]
    assert not open_, f"secrets of a machine where they must not be: {open_[:5]}"


@pytest.fixture
def server(start_server) -> Server:
    """A server with the default lifetimes."""
    return start_server()


@pytest.fixture
def machine(new_machine, server) -> Machine:
    """A machine that is signed in at `server`."""
    made = new_machine()
    made.login(server)
    return made
