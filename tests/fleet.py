"""Several real mirrors of one workspace, and whether server and disks are equal and hold all that was written.

What a person wrote carries a token that nothing else has. Wherever the token is in the server's history, the writing
is kept, also where two edits were merged into one file.
"""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from journeys_support import picture
from machines import Machine, difference, files_below
from plain_http import PlainHttp
from relayfile.cli.local import ask
from relayfile.mirror.kept import parsed
from relayfile.mirror.stage import state_token
from servers import OWNER, PASSWORD, Server
from waiting import until

TOKEN = re.compile(rb"<[a-z0-9]+-\d+>")
"""How what a person wrote is told apart from everything else."""
COPY = re.compile(r".+ \(conflict [^ ()]+ \d{4}-\d\d-\d\d [0-9a-f]{8}\)(?:\.[^.]*)?")
_QUIET = {"live", "conflict"}


@dataclass
class Member:
    """One machine with one mirror, whose daemon is a child of the test: it dies when the test says so."""

    machine: Machine
    root: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, *before: str, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Its daemon begins, run by the command `before` where there is one."""
        assert self.process is None, "one daemon at a time"
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [*before, *self.machine.command("mount", "--foreground", self.root, *options)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self.machine.environment(),
                cwd=self.machine.folder,
            )
        return self.process

    @property
    def said(self) -> Path:
        return self.machine.folder / "daemon.said"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def threads(self) -> list[int]:
        """The threads of its daemon: the first one, then those that have worked most. The engine's is the second."""
        assert self.process is not None, "it runs"
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        ran_ns = {int(one.name): int((one / "schedstat").read_text().split()[0]) for one in threads}
        return sorted(ran_ns, key=lambda tid: (tid != self.process.pid, -ran_ns[tid]))

    def end(self, sign: signal.Signals) -> int | None:
        """No daemon is there; how it ended."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(sign)
        return process.wait(60)

    def kill(self) -> None:
        """It died as by `kill -9`."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """It ended in good order, or before it had begun to."""
        code = self.end(signal.SIGTERM)
        assert code in {None, 0, 130, -signal.SIGTERM}, f"exit {code}\n{self.evidence()}"

    def tell(self, target: str) -> bool:
        """Whether the daemon was there to hear that."""
        for control in self.machine.home.glob("mirrors/*/control.sock"):
            with suppress(OSError):
                answer = ask(str(control), "POST", target, 30.0)
                answer.body()
                return answer.status == 200
        return False

    def picture(self) -> dict[str, Any]:
        """What its daemon says now; empty when there is none."""
        return picture(self.machine) or {}

    def files(self) -> dict[str, bytes]:
        """What lies in it, also while others write."""
        while True:
            with suppress(OSError):
                return files_below(self.root)

    def modes(self) -> dict[str, str]:
        """`644`, `755` or `link` of every file."""
        return {
            path: "link" if stat.st_mode & 0o170000 == 0o120000 else "755" if stat.st_mode & 0o111 else "644"
            for path in self.files()
            for stat in [Path(self.root, path).lstat()]
        }

    def folder_of_state(self) -> Path:
        return next(self.machine.home.glob("mirrors/*/state.db")).parent

    def rescued_later(self) -> set[bytes]:
        """Tokens of what was written to a file after it was replaced: it becomes a conflict copy within a minute."""
        found: set[bytes] = set()
        for entry in (self.root / ".relay" / "trash").glob("*/*"):
            told = parsed(entry.name)
            if told is not None and state_token(entry.lstat()) != told.token:
                found |= set(TOKEN.findall(entry.read_bytes()))
        return found

    def evidence(self) -> str:
        said = self.said.read_text(errors="replace")[-3000:] if self.said.exists() else ""
        return f"{self.root.name}: {self.picture()}\n{said}\n{self.machine.evidence()}"


@dataclass
class Fleet:
    """A server, and members that mirror one workspace."""

    server: Server
    members: list[Member]
    workspace: str
    http: PlainHttp = field(repr=False)

    @classmethod
    @contextmanager
    def of(
        cls,
        server: Server,
        machines: Iterable[Machine],
        place: Path,
        *,
        mounts: Sequence[str] = (),
        through: str = "",
    ) -> Iterator["Fleet"]:
        """Each machine has a mirror that was filled once and whose daemon runs; afterwards none runs.

        `mounts`: an option of `mount` for each of the first machines. `through`: the address they know of the server.
        """
        members: list[Member] = []
        workspace = ""
        for machine, option in zip_longest(machines, mounts):
            machine.run(
                *("login", through or server.url, "--username", OWNER, "--password-stdin"), stdin=f"{PASSWORD}\n"
            )
            if not members:
                machine.run("workspace", "create", "fleet")
                workspace = machine.run("workspace", "list", "--json").json[0]["workspaceId"]
            member = Member(machine, place / f"root{len(members)}")
            machine.run("mount", "fleet", member.root, "--once", *([option] if option else []))
            members.append(member)
        fleet = cls(server, members, workspace, server.observer())
        try:
            for member in members:
                member.start()
            fleet.at_rest()
            yield fleet
        finally:
            for member in members:
                member.kill()
            fleet.http.close()

    @property
    def head(self) -> int:
        """The newest position of the workspace's log."""
        answer = self.http.ok("GET", f"/v1/workspaces/{self.workspace}/fs/digest")
        return int(str(answer["position"]).removeprefix("evt_"))

    def tree(self) -> dict[str, bytes]:
        """What the workspace holds."""
        return self.http.tree(self.workspace)

    def history(self) -> set[bytes]:
        """Every token that the server's log ever held, read from its database."""
        found: set[bytes] = set()
        with self._database() as database:
            for (body,) in database.execute("SELECT bytes FROM body"):
                found |= set(TOKEN.findall(body))
        return found

    def writers(self, after: int) -> list[tuple[str, int]]:
        """Path and kind (2: deletion) of every change after that position."""
        with self._database() as database:
            rows = database.execute("SELECT path, kind FROM event WHERE position > ? ORDER BY position", (after,))
            return [(str(path).removeprefix("/"), int(kind)) for path, kind in rows]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(f"file:{self.server.data}/relayfile.db?mode=ro", uri=True)
        try:
            yield database
        finally:
            database.close()

    def at_rest(self, *, within_s: float = 60, accept: bool = False) -> dict[str, bytes]:
        """Every mirror says by itself that it is equal at the head, with nothing to send, and the disks agree.

        Nobody asks them to look again, so that a change which went unnoticed is found. `accept`: as a person who is
        asked whether so many deletions are meant, and says yes.
        """
        seen: list[object] = []

        def quiet() -> bool:
            head = self.head
            seen[:] = [head]
            for member in self.members:
                assert member.alive, f"a daemon ended\n{member.evidence()}"
                said = member.picture()
                seen.append(
                    {name: said.get(name) for name in ("state", "cause", "observed", "equal", "pending_edits")}
                )
                if accept and said.get("state") == "halted":
                    member.tell("/resume?deletes=accept")
                    return False
                if not (said and said["state"] in _QUIET and said["equal"] and not said["pending_edits"]):
                    return False
                if said["observed"] != head:
                    return False
            trees = [member.files() for member in self.members]
            unlike = [difference(trees[0], other) for other in (*trees[1:], self.tree())]
            seen.append(unlike)
            return not any(unlike) and self.head == head

        until(
            quiet,
            within_s=within_s,
            what="all mirrors are at rest and equal",
            evidence=lambda: f"{self.stories()}\n{self.evidence(seen)}",
        )
        modes = [member.modes() for member in self.members]
        assert all(one == modes[0] for one in modes), [one.items() ^ modes[0].items() for one in modes]
        return self.members[0].files()

    def check_nothing_is_hidden(self) -> None:
        """A look at everything, bytes and all, finds no edit that nobody was told of, and the same equality."""
        head = self.head
        for member in self.members:
            member.machine.run("verify", "--deep", member.root, within_s=120)
        assert self.head == head, f"a sweep found edits that the watcher had missed: {self.writers(head)[:20]}"
        for member in self.members:
            assert "Traceback" not in member.said.read_text(errors="replace"), member.evidence()

    def check_kept(self, owed: Iterable[bytes]) -> None:
        """Each of these tokens is in the server's history, or about to be saved from the trash."""
        kept = self.history().union(*(member.rescued_later() for member in self.members))
        lost = sorted(set(owed) - kept)
        where = {
            token: [str(path) for one in self.members for path in one.root.rglob("*") if _holds(path, token)]
            for token in lost[:10]
        }
        assert not lost, f"{len(lost)} writings are lost: {where}\n{self.evidence([])}"

    def stories(self) -> str:
        """Of some paths that are not the same everywhere: what lies there, and what each mirror knows of it."""
        trees = [self.tree(), *(member.files() for member in self.members)]
        paths = {path for tree in trees for path in tree if any(one.get(path) != tree[path] for one in trees)}
        told = []
        for path in sorted(paths)[:3]:
            told.append(f"{path}: {[(tree.get(path) or b'absent')[:60] for tree in trees]}")
            for member in self.members:
                with suppress(FileNotFoundError):
                    told.append(str((member.root / path).lstat()))
                told.append(str(member.machine.try_("why", member.root / path)))
        return "\n".join(told)

    def evidence(self, seen: list[object]) -> str:
        return f"{seen}\n" + "\n".join(member.evidence() for member in self.members)


def _holds(path: Path, token: bytes) -> bool:
    with suppress(OSError):
        return token in (os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes())
    return False


def rss_kib(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors(pid: int) -> int:
    """How many it has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def slope(points: list[tuple[float, float]]) -> float:
    """The straight line through the points, as growth a unit of the first coordinate."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
