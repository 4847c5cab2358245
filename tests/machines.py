"""One person's machine in a test: a RELAYFILE_HOME of its own and the `relayfile` command as a real process."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leaks import leaks, shown_by, written_below
from servers import OWNER, PASSWORD, Server, clean_environment, unexpected
from waiting import until


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def leaks(self) -> list[str]:
        """Secrets in its words or in what it said, but for the one command whose answer is a token."""
        hands_out = "create" in self.args and "token" in self.args
        shown = (("its words", " ".join(self.args)), ("stdout", "" if hands_out else self.out), ("stderr", self.err))
        return leaks(shown)

    def __str__(self) -> str:
        return (
            f"relayfile {' '.join(self.args)} -> {self.code}\nstdout: {self.out[-3000:]}\nstderr: {self.err[-3000:]}"
        )


@dataclass
class Machine:
    """A home directory, the commands run in it, and the daemons they started."""

    folder: Path
    expected: list[str] = field(default_factory=list)
    """Regular expressions of warnings in daemon logs this test means to cause."""
    _shown: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        return self.folder / ".relayfile"

    @property
    def credentials(self) -> Path:
        return self.home / "cloud-credentials.json"

    def environment(self) -> dict[str, str]:
        """What its processes know of the world."""
        return clean_environment(self.folder)

    def command(self, *args: str | Path) -> list[str]:
        return [sys.executable, "-m", "relayfile", *(str(arg) for arg in args)]

    def try_(self, *args: str | Path, stdin: str | bytes = b"", within_s: float = 60, cwd: Path | None = None) -> Ran:
        """What the command did, whatever its exit code."""
        words = self.command(*args)
        try:
            done = subprocess.run(
                words,
                input=stdin.encode() if isinstance(stdin, str) else stdin,
                capture_output=True,
                timeout=within_s,
                env=self.environment(),
                cwd=cwd or self.folder,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise AssertionError(
                f"`relayfile {' '.join(words[3:])}` did not end within {within_s} s\n"
                f"stdout: {late.stdout!r}\nstderr: {late.stderr!r}\n{self.evidence()}"
            ) from None
        ran = Ran(tuple(words[3:]), done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))
        assert not (found := ran.leaks()), f"`relayfile {' '.join(words[3:5])}` shows {found}"
        return ran

    def run(self, *args: str | Path, exit_code: int = 0, **rest: Any) -> Ran:
        """What the command did; it exited with `exit_code`."""
        ran = self.try_(*args, **rest)
        assert ran.code == exit_code, f"wanted exit {exit_code}\n{ran}\n{self.evidence()}"
        return ran

    def login(self, server: Server, *options: str) -> Ran:
        """This machine is signed in at `server` as its owner."""
        return self.run(
            *("login", server.url, "--username", OWNER, "--password-stdin", *options), stdin=PASSWORD + "\n"
        )

    def status(self) -> dict[str, Any]:
        """The whole picture, as scripts see it."""
        return self.run("status", "--json").json

    def mirror(self, directory: Path) -> dict[str, Any]:
        """The picture of one mirror."""
        wanted = os.path.realpath(directory)
        found = [one for one in self.status()["mirrors"] if os.path.realpath(one["directory"]) == wanted]
        assert len(found) == 1, f"no single mirror of {wanted}: {self.status()}"
        return found[0]

    def until_mirror(
        self, directory: Path, condition: Callable[[dict[str, Any]], object], *, within_s: float, what: str
    ) -> dict[str, Any]:
        """The first picture of the mirror for which `condition` holds."""
        seen: list[dict[str, Any]] = []

        def holds() -> bool:
            seen[:] = [self.mirror(directory)]
            return bool(condition(seen[0]))

        until(holds, within_s=within_s, what=what, evidence=lambda: f"{seen}\n{self.evidence()}")
        return seen[0]

    def until_live(self, directory: Path, *, within_s: float = 30) -> dict[str, Any]:
        """The mirror is live, has no pending edit and is proven equal."""
        return self.until_mirror(
            directory,
            lambda one: one["state"] == "live" and one["equal"] and not one["pending_edits"],
            within_s=within_s,
            what="the mirror is live and proven equal",
        )

    def until_settled(self, directory: Path, *, within_s: float = 30) -> dict[str, Any]:
        """As `until_live`, but conflict copies may wait for a person: they are synced files like any other."""
        return self.until_mirror(
            directory,
            lambda one: one["state"] in {"live", "conflict"} and one["equal"] and not one["pending_edits"],
            within_s=within_s,
            what="the mirror has nothing to do and is proven equal",
        )

    def daemons(self) -> list[int]:
        """The pids of processes that live in this home, apart from commands that are still running."""
        return [pid for pid, words in _processes(self.home) if "mount" in words and "--foreground" in words]

    def logs(self) -> list[Path]:
        return sorted(self.home.glob("mirrors/*/log"))

    def evidence(self) -> str:
        """What the daemons said last."""
        return "\n".join(f"--- {log.parent.name}\n{log.read_text(errors='replace')[-4000:]}" for log in self.logs())

    def warnings(self) -> list[str]:
        return [line for log in self.logs() for line in unexpected(log, self.expected)]

    def leaks(self) -> list[str]:
        """Secrets in what was written in this home and beside its mirrors, and in what its last processes showed."""
        found = leaks(self._shown) + leaks(written_below(self.folder))
        for record in self.home.glob("mirrors/*/mirror.json*"):
            with contextlib.suppress(ValueError):  # some tests damage it
                found += leaks(written_below(Path(json.loads(record.read_bytes())["directory"], ".relay")))
        return found

    def close(self) -> None:
        """No process of this home is left. A daemon that does not stop when asked is a failure."""
        stubborn: list[str] = []
        self._shown += [shown for pid, _ in _processes(self.home) for shown in shown_by(pid)]
        if self.daemons():
            ran = self.try_("stop", "--all")
            with contextlib.suppress(AssertionError):
                until(lambda: not self.daemons(), within_s=10, what="the daemons stopped")
            if self.daemons():
                stubborn.append(str(ran))
        for pid, words in _processes(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if "serve" not in words:
                stubborn.append(f"{pid}: {' '.join(words)}")
        assert not stubborn, f"left running: {stubborn}\n{self.evidence()}"


def _processes(home: Path) -> Iterator[tuple[int, list[str]]]:
    """Processes whose RELAYFILE_HOME is `home`; each test's home is its own, so they are its processes."""
    mark = f"RELAYFILE_HOME={home}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if words != [""]:  # a zombie has no command line
                    yield int(entry.name), words
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue


def files_below(root: Path) -> dict[str, bytes]:
    """Every synced file below a mirror root with its bytes: a walk that shares nothing with the mirror's scanner."""
    found: dict[str, bytes] = {}
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name != ".relay"]
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = (
                str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
            )
    return found


def difference(one: dict[str, bytes], other: dict[str, bytes]) -> str:
    """Empty when equal; else which paths differ, for a message."""
    only_one, only_other = sorted(set(one) - set(other)), sorted(set(other) - set(one))
    unequal = sorted(path for path in set(one) & set(other) if one[path] != other[path])
    if not (only_one or only_other or unequal):
        return ""
    kinds = {"only left": only_one, "only right": only_other, "unequal": unequal}
    return "; ".join(f"{kind}: {len(paths)} {paths[:5]}" for kind, paths in kinds.items() if paths)


def fingerprint(token: str) -> str:
    """How a token may be named in evidence."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
