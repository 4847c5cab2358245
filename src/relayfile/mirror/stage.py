"""`.relay/stage`: where content is made whole before it is published, and where exchange leaves what it displaced.

A batch stages into a folder `filling-…`, which becomes `ready-…` once its content is durable; only then is anything
published from it. So what an unclean end leaves in `filling-…` was never visible and is ours to drop, and what it
leaves in `ready-…` is either the content we meant to place or something an exchange displaced. The name of a staged
file tells which: it carries the digest of our content, and the state of the file we expected to displace.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from relayfile.mirror import kernel
from relayfile.mirror.beneath import Beneath, look, mode_of, names, stat_of, untouched
from relayfile.mirror.ports import Fetched, Place, Twin
from relayfile.mirror.reading import PIECE_BYTES, opened
from relayfile.model import MAX_SEGMENT_BYTES, SYMLINK, Digest, Stat, TreePath

FILLING: Final = "filling-"
READY: Final = "ready-"
_BACKDATED_NS: Final = 40_000_000
"""Placed files get a time this far in the past. The clock of file times ticks in up to 10 ms, so an edit of the same
size right after the placing could carry the same time and be taken for clean; like this every edit changes it."""
_NEW: Final = "new"
_BASENAME_BYTES: Final = 60
_RESERVED: Final = dict.fromkeys((*range(1, 32), *map(ord, '"*:<>?|')), "_")


@dataclass(frozen=True, slots=True)
class Staged:
    """Content that waits in a stage folder under `name`, in the state in which it will be published."""

    name: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class Label:
    """What the name of a staged file says. `key` stands for the path, `displaces` for the state expected there."""

    key: str
    digest: Digest
    displaces: str
    basename: str


def path_key(path: TreePath) -> str:
    """A short stand-in for a path that may be longer than a file name."""
    return sha256(path.encode()).hexdigest()[:32]


def state_token(dev_ino_size_mtime: Stat | os.stat_result | None) -> str:
    """The state of a file as a part of a name; of nothing: `new`."""
    match dev_ino_size_mtime:
        case None:
            return _NEW
        case Stat(ino=ino, size=size, mtime_ns=mtime_ns):
            return f"{ino:x}-{size:x}-{mtime_ns:x}"
        case found:
            return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"


def label(step: Place, most_bytes: int = MAX_SEGMENT_BYTES) -> str:
    """The name under which the content of `step` is staged: unique in its batch, at most `most_bytes` if that can be,
    and of letters that any file system takes.
    """
    begin = f"{path_key(step.path)}.{step.version.digest.hex()}.{state_token(step.expected)}."
    return begin + told(step.path, max(1, min(_BASENAME_BYTES, most_bytes - len(begin))))


def told(path: TreePath, most_bytes: int) -> str:
    """How the path ends, for people who look: cut, and in letters that any file system takes."""
    basename = path.rpartition("/")[2].translate(_RESERVED)
    return basename.encode()[:most_bytes].decode(errors="ignore").rstrip(" .") or "_"


def parsed(name: str) -> Label | None:
    """What a name in the stage says; None when it is none of ours."""
    try:
        key, digest, displaces, basename = name.split(".", 3)
        return Label(key, Digest(bytes.fromhex(digest)), displaces, basename)
    except ValueError:
        return None


class UnfitError(Exception):
    """The content of a step is not where the step says."""


class Sources:
    """Where the contents of one batch lie on the disk.

    `lately` lists what came into the trash a while ago at most, by state: the folder and the name of each. It is
    asked once.
    """

    def __init__(self, beneath: Beneath, lately: Callable[[int], Mapping[str, tuple[str, str]]]) -> None:
        self.beneath = beneath
        self._lately = lately
        self._trash: Mapping[str, tuple[str, str]] | None = None

    def open(self, twin: Twin) -> int:
        """A descriptor of the file in the state of the twin: at its path, or in the trash.

        Raises:
            UnfitError: nothing lies there in that state.
        """
        with contextlib.suppress(OSError):
            return _in_state(opened(self.beneath, twin.path), twin.stat)
        try:
            if self._trash is None:
                self._trash = self._lately(self.beneath.trash)
            hour, name = self._trash[state_token(twin.stat)]
            at = os.open(hour, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.beneath.trash)
            try:
                found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=at)
            finally:
                os.close(at)
            return _in_state(found, twin.stat)
        except (OSError, KeyError) as error:
            raise UnfitError from error


def _in_state(descriptor: int, expected: Stat) -> int:
    if untouched(os.fstat(descriptor), expected):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError


def fill(folder: int, step: Place, now_ns: int, sources: Sources, *, durably: bool) -> Staged:
    """The content of `step` lies in `folder`, with its mode and times set for good.

    Durable: the content, with `durably`; otherwise the caller syncs the file system.

    Raises:
        OSError: among others ENOSPC. Nothing is left in `folder` then.
        UnfitError: nor then.
    """
    name = label(step, sources.beneath.naming.rules.most_bytes)
    times = (now_ns - _BACKDATED_NS,) * 2
    try:
        if step.version.mode == SYMLINK:
            assert isinstance(step.body, bytes), "a target is short"
            os.symlink(step.body, os.fsencode(name), dir_fd=folder)
            os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        else:
            found = _filled(folder, name, step, times, sources, durably=durably)
    except (OSError, UnfitError):
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise
    staged = stat_of(found)
    assert staged is not None, "a file or link that was just made"
    return Staged(name, staged if sources.beneath.keeps_modes else replace(staged, mode=step.version.mode))


def _filled(
    folder: int, name: str, step: Place, times: tuple[int, int], sources: Sources, *, durably: bool
) -> os.stat_result:
    descriptor = _begun(folder, name, step, sources)
    try:
        if isinstance(step.body, bytes):
            write_all(descriptor, step.body)
        elif isinstance(step.body, Twin):
            _copy(sources, step.body, step.version.digest, descriptor)
        os.utime(descriptor, ns=times)
        found = os.fstat(descriptor)
        if mode_of(found) != step.version.mode and sources.beneath.keeps_modes:  # a umask without x
            os.fchmod(descriptor, (found.st_mode & 0o666) | (0o100 if step.version.mode == "755" else 0))
            found = os.fstat(descriptor)
        if durably:
            os.fsync(descriptor)
        return found
    finally:
        os.close(descriptor)


def _begun(folder: int, name: str, step: Place, sources: Sources) -> int:
    """A descriptor of the staged file: a new one, or that which the content came in."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    wanted = 0o777 if step.version.mode == "755" else 0o666
    if not isinstance(step.body, Fetched):
        return os.open(name, flags | os.O_CREAT | os.O_EXCL, wanted, dir_fd=folder)
    try:
        os.rename(step.version.digest.hex(), name, src_dir_fd=sources.beneath.parts, dst_dir_fd=folder)
    except FileNotFoundError as error:
        raise UnfitError from error
    descriptor = os.open(name, flags, dir_fd=folder)
    found = os.fstat(descriptor)
    if (
        step.version.mode == "755" and sources.beneath.keeps_modes
    ):  # who may read it may execute it, as the umask would have it
        os.fchmod(descriptor, found.st_mode | (found.st_mode & 0o444) >> 2)
    return descriptor


def write_all(descriptor: int, body: bytes) -> None:
    """All of `body` is written."""
    left = memoryview(body)
    while left:
        left = left[os.write(descriptor, left) :]


def _copy(sources: Sources, twin: Twin, digest: Digest, to: int) -> None:
    """`to` holds the content of the twin, shared where the file system can.

    Raises:
        UnfitError: it is not, or was not throughout, the file or the content that it should be.
    """
    source = sources.open(twin)
    try:
        content = sha256()
        reading = to if kernel.reflink(source, to) else source
        while piece := os.read(reading, PIECE_BYTES):
            content.update(piece)
            if reading == source:
                write_all(to, piece)
        if content.digest() != digest or not untouched(os.fstat(source), twin.stat):
            raise UnfitError
    finally:
        os.close(source)


def content_digest(folder: int, name: str) -> Digest:
    """The digest of a file, or of a symbolic link's target; of anything else that of nothing."""
    found = look(name, folder)
    if found is not None and stat.S_ISLNK(found.st_mode):
        return Digest(sha256(os.readlink(os.fsencode(name), dir_fd=folder)).digest())
    content = sha256()
    if found is not None and stat.S_ISREG(found.st_mode):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        try:
            while block := os.read(descriptor, 1 << 20):
                content.update(block)
        finally:
            os.close(descriptor)
    return Digest(content.digest())


def leftovers(
    stage: int,
    each: Callable[[int, str, Label | None], None],
    unpublished: Callable[[int, str, Label | None], None],
) -> None:
    """`each(folder, name, label)` was called for everything an unclean end left published or displaced, and
    `unpublished` for what was never published.

    Folders that are empty afterwards are gone.
    """
    for name in names(stage):
        found = look(name, stage)
        if found is None:
            continue
        if not stat.S_ISDIR(found.st_mode) or not name.startswith((FILLING, READY)):
            each(stage, name, None)
            continue
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stage)
        try:
            for entry in names(folder):
                (unpublished if name.startswith(FILLING) else each)(folder, entry, parsed(entry))
        finally:
            os.close(folder)
        with contextlib.suppress(OSError):  # something could not be settled: it stays for the next time
            os.rmdir(name, dir_fd=stage)
