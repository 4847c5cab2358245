"""A person at work in a directory: any mixture of what a file system allows, and a memory of what must not be lost.

Owed is each writing that its person neither replaced nor removed: it may be elsewhere by now, but not nowhere.
"""

import os
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

FOLDERS = ("", "a", "b", "a/c", "a/c/d", "e")
NAMES = ("f0", "f1", "f2.txt", "f3.txt", "f4.bin", "f5.bin")
SECOND_NAMES = ("l0", "l1")
"""Hard links, which stay: one that is made, written through and removed between two looks leaves no trace."""
WORK: Mapping[str, int] = {
    "write": 20,
    "save": 12,
    "append": 12,
    "truncate": 3,
    "delete": 8,
    "move": 8,
    "move_folder": 3,
    "make_folder": 3,
    "drop_folder": 2,
    "symlink": 4,
    "link": 3,
    "chmod": 6,
}
"""What is done how often. `write` is in place, `save` by renaming over, as editors do."""


@dataclass
class Hands:
    """One person's in one directory. `did` says what was done, in order."""

    root: Path
    name: str
    seed: int
    work: Mapping[str, int] = field(default_factory=lambda: WORK)
    names: tuple[str, ...] = NAMES
    folders: tuple[str, ...] = FOLDERS
    did: list[str] = field(default_factory=list)
    mine: dict[str, bytes] = field(default_factory=dict)
    """The token of what this person wrote last at a path, and left there."""
    displaced: set[bytes] = field(default_factory=set)
    """Tokens of writings whose place somebody else took."""
    _count: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    @property
    def owed(self) -> set[bytes]:
        """Every token that must be kept."""
        return self.displaced | set(self.mine.values())

    def act(self) -> str:
        """One thing was done, or could not be done because of what lies there; which."""
        kinds = list(self.work)
        kind = self.chance.choices(kinds, [self.work[one] for one in kinds])[0]
        one: Callable[[], str] = getattr(self, f"_{kind}")
        try:
            said = one()
        except OSError as error:
            said = f"({kind}: {error.strerror})"
        self.did.append(said)
        return said

    # ---------------------------------------------------------------------------------------------------- one thing

    def _path(self, more: tuple[str, ...] = ()) -> str:
        folder = self.chance.choice(self.folders)
        return f"{folder}/{self.chance.choice(self.names + more)}".removeprefix("/")

    def _token(self) -> bytes:
        self._count += 1
        return f"<{self.name}-{self._count}>".encode()

    def _content(self, path: str, token: bytes) -> bytes:
        """Bytes that nobody merges, or lines that somebody may."""
        if path.endswith(".txt"):
            lines = [b"line %d\n" % number for number in range(12)]
            lines.insert(self.chance.randrange(13), token + b"\n")
            return b"".join(lines)
        return b"\0\xff" + token + b"." * self.chance.choice((0, 10, 5_000))

    def _at(self, path: str) -> Path:
        return self.root / path

    def _let_go(self, path: str) -> None:
        """This person takes away what lies at the path: their own last writing, or another's."""
        token = self.mine.pop(path, None)
        if token is None:
            return
        at = self._at(path)
        found = b""
        with suppress(OSError):
            found = os.fsencode(at.readlink()) if at.is_symlink() else at.read_bytes()
        if token not in found:
            self.displaced.add(token)

    def _wrote(self, path: str, token: bytes, at: os.stat_result) -> None:
        """The writing lies at the path, and wherever else its file has a name."""
        self.mine[path] = token
        if at.st_nlink > 1:
            for other in self.mine:
                with suppress(OSError):
                    if self._at(other).lstat().st_ino == at.st_ino:
                        self.mine[other] = token

    def _write(self) -> str:
        path, token = self._path(SECOND_NAMES), self._token()
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        if self._at(path).is_symlink():  # it would be written through
            return self._delete_at(path)
        with self._at(path).open("r+b" if self._at(path).exists() else "xb") as file:
            self._let_go(path)
            file.truncate()
            file.write(self._content(path, token))
            file.flush()
            self._wrote(path, token, os.fstat(file.fileno()))
        return f"write {path} {token!r}"

    def _save(self) -> str:
        path, token = self._path(), self._token()
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        draft = self._at(path).with_name(f".{self._at(path).name}.{self.name}.swp")
        draft.write_bytes(self._content(path, token))
        try:
            self._let_go(path)
            draft.replace(self._at(path))
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self.mine[path] = token
        return f"save {path} {token!r}"

    def _append(self) -> str:
        path, token = self._path(SECOND_NAMES), self._token()
        if self._at(path).is_symlink():
            return f"({path} is a link)"
        with self._at(path).open("r+b") as file:  # what is not there is not made
            self._let_go(path)
            file.seek(0, os.SEEK_END)
            file.write(token + b"\n")
            file.flush()
            self._wrote(path, token, os.fstat(file.fileno()))
        return f"append {path} {token!r}"

    def _truncate(self) -> str:
        path = self._path(SECOND_NAMES)
        if self._at(path).is_symlink():
            return f"({path} is a link)"
        with self._at(path).open("r+b") as file:
            at = os.fstat(file.fileno())
            for other in list(self.mine):
                with suppress(OSError):
                    if self._at(other).lstat().st_ino == at.st_ino:
                        self._let_go(other)
            self._let_go(path)
            file.truncate(self.chance.randrange(20))
        return f"truncate {path}"

    def _delete(self) -> str:
        return self._delete_at(self._path())

    def _delete_at(self, path: str) -> str:
        self._let_go(path)
        self._at(path).unlink()
        return f"delete {path}"

    def _move(self) -> str:
        source, target = self._path(), self._path()
        if source == target or self._same_file(source, target):  # rename(2) does nothing then
            return f"({source} is {target})"
        found = self._at(source).lstat()
        if found.st_mode & 0o170000 == 0o040000:
            return f"({source} is a folder)"
        self._at(target).parent.mkdir(parents=True, exist_ok=True)
        self._let_go(target)
        self._at(source).rename(self._at(target))
        if source in self.mine:
            self.mine[target] = self.mine.pop(source)
        return f"move {source} {target}"

    def _same_file(self, one: str, other: str) -> bool:
        with suppress(OSError):
            return self._at(one).lstat().st_ino == self._at(other).lstat().st_ino
        return False

    def _move_folder(self) -> str:
        source, target = self.chance.sample([folder for folder in self.folders if folder], 2)
        self._at(target).parent.mkdir(parents=True, exist_ok=True)
        self._at(source).rename(self._at(target))  # an empty folder there is replaced, any other refuses
        for path in [path for path in self.mine if path.startswith(f"{target}/")]:
            self.displaced.add(self.mine.pop(path))  # nothing lay there any more
        for path in [path for path in self.mine if path.startswith(f"{source}/")]:
            self.mine[target + path.removeprefix(source)] = self.mine.pop(path)
        return f"move {source}/ {target}/"

    def _make_folder(self) -> str:
        folder = self.chance.choice([folder for folder in self.folders if folder])
        self._at(folder).mkdir(parents=True, exist_ok=True)
        return f"mkdir {folder}"

    def _drop_folder(self) -> str:
        folder = self.chance.choice([folder for folder in self.folders if folder])
        self._at(folder).rmdir()
        return f"rmdir {folder}"

    def _symlink(self) -> str:
        path, token = self._path(), self._token()
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        self._at(path).symlink_to(os.fsdecode(b"nowhere/" + token))
        self.mine[path] = token
        return f"symlink {path} {token!r}"

    def _link(self) -> str:
        source, target = (
            self._path(),
            f"{self.chance.choice(self.folders)}/{self.chance.choice(SECOND_NAMES)}".removeprefix("/"),
        )
        self._at(target).parent.mkdir(parents=True, exist_ok=True)
        os.link(self._at(source), self._at(target), follow_symlinks=False)
        if source in self.mine:
            self.mine[target] = self.mine[source]
        return f"link {source} {target}"

    def _chmod(self) -> str:
        path = self._path(SECOND_NAMES)
        if self._at(path).is_symlink():
            return f"({path} is a link)"
        mode = self.chance.choice((0o644, 0o755))
        self._at(path).chmod(mode)
        return f"chmod {path} {mode:o}"
