"""The real things a measurement needs: a server, signed-in machines, a filled workspace."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journeys_support import picture
from machines import Machine
from servers import Server

FILES = 4_000
EVENTS = 53_000
BODY_BYTES = 1_024


def body(number: int) -> str:
    """1 KB of text that no other number has."""
    return (f"{number} " * BODY_BYTES)[:BODY_BYTES]


def path(number: int, over: int = FILES) -> str:
    """Where event `number` happens, of `over` files: folders of 100."""
    return f"/d{number % over % (over // 100)}/f{number % over}.txt"


@dataclass
class World:
    """One server and the machines beside it."""

    place: Path
    server: Server
    machines: list[Machine] = field(default_factory=list)

    def machine(self) -> Machine:
        """A new machine, signed in."""
        made = Machine(self.place / f"m{len(self.machines)}")
        self.machines.append(made)
        made.login(self.server)
        return made

    def workspace(self, machine: Machine, name: str) -> str:
        """The id of a new workspace."""
        machine.run("workspace", "create", name)
        listed = machine.run("workspace", "list", "--json").json
        return next(str(one["workspaceId"]) for one in listed if one["name"] == name)

    def fill(self, workspace: str, begin: int, end: int, over: int = FILES) -> None:
        """Writes `begin`..`end` of the endless sequence of events over so many files went in, 200 a request."""
        http = self.server.observer()
        for first in range(begin, end, 200):
            numbers = range(first, min(first + 200, end))
            http.bulk(workspace, ((path(number, over), body(number)) for number in numbers))
        http.close()


@contextmanager
def world(**choices: Any) -> Iterator[World]:
    """A world of its own, torn down whole. `choices` are the server's."""
    with tempfile.TemporaryDirectory(prefix="rf-bench-", ignore_cleanup_errors=True) as folder:
        made = World(Path(folder).resolve(), Server(Path(folder).resolve() / "server", **choices).start())
        try:
            yield made
        finally:
            for machine in made.machines:
                machine.close()
            made.server.stop()


def until_current(machine: Machine, head: int, within_s: float = 180) -> None:
    """The machine's one mirror has applied `head` and is proven equal."""
    deadline = time.monotonic() + within_s
    while True:
        seen = picture(machine)
        if seen and seen["applied"] is not None and seen["applied"] >= head and seen["equal"]:
            return
        assert time.monotonic() < deadline, f"not current within {within_s} s: {seen}\n{machine.evidence()}"
        time.sleep(0.05)  # each question costs the daemon, and is part of what is measured
