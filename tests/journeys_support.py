"""For journeys: several machines that mirror one workspace, and what a daemon says when it is asked directly."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machines import Machine, difference, files_below
from relayfile.cli.local import ask
from servers import Server
from waiting import until


def picture(machine: Machine) -> dict[str, Any] | None:
    """What the machine's one daemon says of its mirror, straight from its control socket; None when it is not up."""
    for control in machine.home.glob("mirrors/*/control.sock"):
        try:
            answer = ask(str(control), "GET", "/status?format=json", 5.0)
        except OSError:
            return None
        return dict(json.loads(answer.body()))
    return None


@dataclass
class Mirrors:
    """Machines with one mirror each of the workspace `shared`."""

    server: Server
    machines: list[Machine]
    roots: list[Path]
    workspace: str

    @classmethod
    def of(cls, server: Server, machines: Iterable[Machine], place: Path, name: str = "shared") -> "Mirrors":
        machines, roots, workspace = list(machines), [], ""
        for number, machine in enumerate(machines):
            machine.login(server)
            if not workspace:
                machine.run("workspace", "create", name)
            listed = machine.run("workspace", "list", "--json").json
            workspace = next(one["workspaceId"] for one in listed if one["name"] == name)
            roots.append(place / f"root{number}")
            machine.run("mount", name, roots[-1])
        for machine, root in zip(machines, roots, strict=True):
            machine.until_live(root)
        return cls(server, machines, roots, workspace)

    @property
    def both(self) -> list[tuple[Machine, Path]]:
        return list(zip(self.machines, self.roots, strict=True))

    def evidence(self) -> str:
        return "\n".join(f"{sorted(files_below(root))[:10]} {machine.evidence()}" for machine, root in self.both)

    def expect_connection_trouble(self) -> None:
        for machine in self.machines:
            machine.expected += ["connect", "offline", "unavailable", "server"]

    def until_equal(self, paths: set[str] | None, *, within_s: float = 30) -> dict[str, bytes]:
        """All mirrors and the server hold the same bytes, at exactly `paths`; every mirror says so itself."""
        seen: list[str] = []

        def equal() -> bool:
            trees = [files_below(root) for root in self.roots]
            first = trees[0]
            seen[:] = [difference(first, other) for other in trees[1:]]
            if paths is not None:
                seen.append(difference(dict.fromkeys(first, b""), dict.fromkeys(paths, b"")))
            return not any(seen)

        until(equal, within_s=within_s, what="the mirrors are equal", evidence=lambda: f"{seen} {self.evidence()}")
        for machine, root in self.both:
            machine.until_settled(root)
        http = self.server.observer()
        try:
            assert not (unlike := difference(files_below(self.roots[0]), http.tree(self.workspace))), unlike
        finally:
            http.close()
        return files_below(self.roots[0])
