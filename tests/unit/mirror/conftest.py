"""A mirror root on a real file system, beside a canary tree that nothing may ever touch."""

import hashlib
import time
from pathlib import Path

import pytest

from relayfile.mirror.beneath import Beneath, stat_of
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.ports import Place
from relayfile.mirror.scan import LocalScanner
from relayfile.model import Digest, TreePath, Version


class Ground:
    """A root with its disk, and short ways to speak of it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.outside = folder / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        (self.outside / "canary").write_text("alive")
        self.skew_s = 0.0
        self.beneath = Beneath(str(self.root))
        self.disk = LocalDisk(self.beneath, "box", self.now)
        self.scanner = LocalScanner(self.beneath, self.now)

    def now(self) -> float:
        return time.time() + self.skew_s

    def place(self, path: str, body: bytes, *, mode="644", expected=None) -> Place:
        return Place(TreePath.parse(path), version_of(body, mode), body, expected)

    def stat(self, path: str):
        return stat_of((self.root / path).lstat())

    def put(self, path: str, body: bytes, mode="644"):
        """The state of a file that was placed there, as a mirror would know it."""
        (done,) = self.disk.execute([self.place(path, body, mode=mode)])
        assert done.stat is not None, done
        return done.stat

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if not str(path.relative_to(self.root)).startswith(".relay") and (path.is_symlink() or path.is_file())
        }

    def staged(self) -> list[str]:
        return [str(path) for path in (self.root / ".relay" / "stage").rglob("*")]

    def close(self) -> None:
        self.beneath.close()
        assert [path.name for path in self.outside.iterdir()] == ["canary"], "something was made outside the root"
        assert (self.outside / "canary").read_text() == "alive"


class Nothing:
    """A mirror that knows of no file yet."""

    def get(self, path):
        return None

    def below(self, folder):
        return ()

    def named(self, files):
        return ()


def version_of(body: bytes, mode="644") -> Version:
    return Version(1, Digest(hashlib.sha256(body).digest()), len(body), mode)


@pytest.fixture
def ground(tmp_path):
    made = Ground(tmp_path)
    yield made
    made.close()
