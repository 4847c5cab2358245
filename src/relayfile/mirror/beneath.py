"""The opened root of a mirror: the only way from a path of the workspace to a descriptor.

Everything is resolved from the descriptor of the root, and through no symbolic link, so that nothing outside the
root can be reached whatever races with us (P8). One `Beneath` is open as long as the daemon lives.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

from relayfile.core.naming import Rules
from relayfile.credentials.home import SECRETS_MARK
from relayfile.errors import Halted, Misconfigured
from relayfile.mirror import kernel
from relayfile.mirror.naming import Naming, probe
from relayfile.mirror.registry import PRIVATE
from relayfile.model import EXECUTABLE, REGULAR, SYMLINK, Mode, Stat

STAGE: Final = "stage"
TRASH: Final = "trash"
PARTS: Final = "parts"
_FOREIGN: Final = "it holds sign-ins or keys"
MARKS: Final = {PRIVATE: "it is a mirror of its own", SECRETS_MARK: _FOREIGN}
"""What a folder below the root may hold that closes it to the mirror, and why it does (R33)."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Beneath:
    """Descriptors of the root, of `.relay`, and of its stage, trash and parts, which exist and are private.

    Paths are those of the workspace; `naming` tells what they are called here. Where `keeps_modes` is false every
    regular file has the mode that the workspace gives it, whatever the file system says (R18).
    """

    def __init__(
        self, directory: str, secret_places: Collection[tuple[int, int]] = (), *, workspace: str = "WORKSPACE"
    ) -> None:
        """The root at `directory` is open. `secret_places` are (dev, ino) of folders that are closed to it.

        `workspace` is what people must name to mount it again.

        Raises:
            Misconfigured: it is no directory, may not be written, or `.relay` is not an ordinary folder in it.
        """
        self.directory = directory
        self._fill_anew = f"`relayfile mount {workspace} {directory}` fills it anew"
        self._secret_places = frozenset(secret_places)
        try:
            self.root = os.open(directory, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            raise Misconfigured(
                f"the mirror directory {directory} cannot be opened: {error.strerror}. Nothing was changed.",
                code="root_unusable",
                hint=f"put it back, or {self._fill_anew}",
            ) from error
        there = os.fstat(self.root)
        self.dev, self.ino = there.st_dev, there.st_ino
        try:
            self._open_private()
            self.naming = Naming(self._rules())
            self.keeps_modes = _keeps_modes(self.private)
        except OSError as error:
            os.close(self.root)
            raise Misconfigured(
                f"{directory}/{PRIVATE} cannot be used: {error.strerror}",
                code="root_unusable",
                hint=f"it must be an ordinary folder that you may write, on the file system of {directory}",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No descriptor is left open."""
        for descriptor in (*self._inner(), self.private, self.root):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def check(self) -> None:
        """The directory's name still leads to this root, and `.relay` is whole again if a clean-up removed it.

        Raises:
            Halted: code `root_replaced`: another directory, or none, is in its place.
        """
        self.naming.begin()
        try:
            there = Path(self.directory).stat()
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (self.dev, self.ino):
            moved = self._moved_to()
            where = f"was moved to {moved}" if moved else "is gone, or another one lies there"
            go_on = f"`relayfile mount {moved}` goes on there" if moved else "put it back"
            raise Halted(
                f"{self.directory} is no longer the directory that was mounted: it {where}; nothing was changed on "
                "either side",
                code="root_replaced",
                hint=f"{go_on}, or {self._fill_anew}",
            )
        if any(os.fstat(descriptor).st_nlink == 0 for descriptor in self._inner()):
            for descriptor in (*self._inner(), self.private):
                os.close(descriptor)
            self._open_private()

    def _moved_to(self) -> str:
        """Where the root is by now, if it is anywhere and the system tells (Linux does); else empty."""
        try:
            place = os.readlink(f"/proc/self/fd/{self.root}")  # noqa: PTH115 - a string out
            there = os.stat(place)  # noqa: PTH116 - as above
        except OSError:
            return ""
        same = (there.st_dev, there.st_ino) == (self.dev, self.ino)
        return place if same and place != self.directory else ""

    def closed(self, path: str, known: dict[str, str | None]) -> tuple[str, str] | None:
        """The folder at `path`, or one it lies in, that is not this mirror's to read or to write, and why; or None.

        `known` keeps the answers of one pass, so that each folder is looked at once in it.
        """
        at: int | None = None
        begin = 0
        try:
            # step by step, each from the one above: a path may have 2,000 parts
            for end in (*(index for index, letter in enumerate(path) if letter == "/"), len(path)):
                folder = path[:end]
                if folder not in known:
                    above, at = self.folder(path[: max(0, begin - 1)]) if at is None else at, None
                    try:
                        at = os.open(self.naming.local(path[begin:end], above), _FOLDER, dir_fd=above)
                    finally:
                        os.close(above)
                    known[folder] = self._closed(at)
                if reason := known[folder]:
                    return folder, reason
                begin = end + 1
        except OSError:  # not there, or no folder: whoever goes there will be told
            return None
        finally:
            if at is not None:
                os.close(at)
        return None

    def closed_by(self, found: os.stat_result) -> str | None:
        """What can be told of a folder without looking into it: why it is not this mirror's, or None."""
        if found.st_dev != self.dev:
            return "another file system is mounted there"
        return _FOREIGN if (found.st_dev, found.st_ino) in self._secret_places else None

    def _closed(self, folder: int) -> str | None:
        marks = (reason for name, reason in MARKS.items() if look(name, folder) is not None)
        return self.closed_by(os.fstat(folder)) or next(marks, None)

    def folder(self, path: str) -> int:
        """A new descriptor of the folder at `path`; the root's own for an empty path."""
        if self.naming.plain or not path:
            return self.local_folder(path)
        at = self.local_folder("")
        for name in path.split("/"):
            try:
                below = os.open(self.naming.local(name, at), _FOLDER, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at

    def local_folder(self, local: str) -> int:
        """As `folder`, of what is called `local` here."""
        return kernel.open_beneath(self.root, local, _FOLDER)

    def local_path(self, path: str) -> str:
        """What the file or folder at `path` is called here, or would be if it came."""
        parts: list[str] = []
        for name in () if self.naming.plain else path.split("/"):
            try:
                folder = self.local_folder("/".join(parts))
            except OSError:  # nothing of it is here: what the file system cannot hold is mapped all the same
                folder = os.dup(self.stage)
            try:
                parts.append(self.naming.local(name, folder))
            finally:
                os.close(folder)
        return "/".join(parts) or path

    def made_folder(self, path: str) -> tuple[int, list[str]]:
        """As `folder`, with every part that was missing made; and the parents in which one was made.

        Raises:
            OSError: among others ELOOP or ENOTDIR where a part is a link or a file.
        """
        try:
            return self.folder(path), []
        except FileNotFoundError:
            parts = path.split("/")
        at, touched = self.folder(""), []
        for depth, name in enumerate(parts):  # a loop, not a recursion: a path may have 2,000 parts
            try:
                local = self.naming.local(name, at)
                try:
                    below = os.open(local, _FOLDER, dir_fd=at)
                except FileNotFoundError:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(local, 0o777, dir_fd=at)  # the umask decides, as for any program of the user
                        touched.append("/".join(parts[:depth]))
                    below = os.open(local, _FOLDER, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at, touched

    def _inner(self) -> tuple[int, int, int]:
        return self.stage, self.trash, self.parts

    def _rules(self) -> Rules:
        try:
            return probe(self.private)
        except OSError:  # a full disk, say
            twin = look(PRIVATE.upper(), self.root)
            if twin is not None and twin.st_ino == os.fstat(self.private).st_ino:
                raise  # one that folds: local names would be taken for new paths, and twins for one
            return Rules()

    def _open_private(self) -> None:
        self.private = _private_folder(PRIVATE, 0o755, self.root)
        self.stage = _private_folder(STAGE, 0o700, self.private)
        self.trash = _private_folder(TRASH, 0o700, self.private)
        self.parts = _private_folder(PARTS, 0o700, self.private)
        if os.fstat(self.stage).st_dev != self.dev:
            raise OSError(errno.EXDEV, "it is on another file system")


def _private_folder(name: str, mode: int, parent: int) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _keeps_modes(folder: int) -> bool:
    """Whether the file system that holds `folder` lets a file be executable or not, as one says."""
    name = f"modes-{os.getpid()}"
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError:  # a full disk, say: nothing can be placed now anyway
        return True
    try:
        for wanted in (0o700, 0o600):
            os.fchmod(descriptor, wanted)
            if bool(os.fstat(descriptor).st_mode & 0o111) is not (wanted == 0o700):
                return False
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
        os.unlink(name, dir_fd=folder)
    return True


def names(folder: int) -> list[str]:
    """What a folder holds, in order of name."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def look(name: str, folder: int) -> os.stat_result | None:
    """What lies at `name`, itself and not what it points to; None: nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def mode_of(found: os.stat_result) -> Mode | None:
    """The mode the workspace knows (R18): any x bit is 755. None for what is neither file nor symbolic link."""
    if stat.S_ISREG(found.st_mode):
        return EXECUTABLE if found.st_mode & 0o111 else REGULAR
    return SYMLINK if stat.S_ISLNK(found.st_mode) else None


def stat_of(found: os.stat_result) -> Stat | None:
    """The state by which one content of a local file is told from another; None for other kinds."""
    mode = mode_of(found)
    if mode is None:
        return None
    return Stat(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, mode)


def untouched(found: os.stat_result | None, expected: Stat) -> bool:
    """Whether it is the file `expected`, with nothing written to it since.

    ctime is left out: a rename changes it, and ours does. So is the mode, which is no content.
    """
    return (
        found is not None
        and mode_of(found) is not None
        and (
            (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            == (expected.dev, expected.ino, expected.size, expected.mtime_ns)
        )
    )
