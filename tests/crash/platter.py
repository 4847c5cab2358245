"""A disk below the credential files that keeps what was synced and nothing else, and fails or dies where it is told.

It stands in the place of `os` in `credentials.durable`, through which everything of a login but its lock is written.
Files are real; syncing is only noted, so that a power cut can be had at any moment, and quickly.
"""

import os
from pathlib import Path


class Died(BaseException):
    """A process that is killed raises nothing; this unwinds one that stands for it."""


def undisturbed(_step: int, _what: str) -> None:
    """Nothing happens."""


class Platter:
    """One folder. `disturb(step, what)` is called before each file that is made, write, sync, rename and unlink."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = 0
        self.disturb = undisturbed
        self.kept: dict[str, bytes] = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self._contents: dict[int, bytes] = {}

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, path, flags, mode=0o777):
        if flags & os.O_CREAT:  # where a read-only or a forbidden folder says no
            self._step("open")
        return os.open(path, flags, mode)

    def write(self, fd, data):
        self._step("write")
        return os.write(fd, data)

    def fsync(self, fd):
        self._step("fsync")
        found = os.fstat(fd)
        if os.path.samestat(found, self.folder.stat()):
            self.kept = {
                path.name: self._contents.get(path.stat().st_ino, self.kept.get(path.name, b""))
                for path in self.folder.iterdir()
                if path.is_file()
            }
        else:
            # The descriptor is open for writing only.
            self._contents[found.st_ino] = Path(f"/proc/self/fd/{fd}").read_bytes()

    def replace(self, old, new):
        self._step("rename")
        Path(old).replace(new)

    def unlink(self, path):
        if os.path.lexists(path):
            self._step("unlink")
        Path(path).unlink()

    def cut(self) -> None:
        """The power went: only what was synced is there."""
        for path in self.folder.iterdir():
            if path.name not in self.kept and path.is_file():
                path.unlink()
        for name, raw in self.kept.items():
            (self.folder / name).write_bytes(raw)
            (self.folder / name).chmod(0o600)

    def _step(self, what: str) -> None:
        self.steps += 1
        self.disturb(self.steps, what)
