"""How `.relay/trash` is laid out: what lies there is told by the files themselves, and by nothing outside (A.10).

A folder for each hour, so that what is over goes folder by folder. In it each file lies under a name that says when
it came, in which state it was and how its path ended; beside them `index` has a line for each with all else that is
known. The lines are written before their files come: a line without a file is nothing, and a file without a line (a
full disk, lost power) is still listed, only without its path.
"""

import calendar
import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, Final, get_args

from relayfile.core.trash import Kept, Old, Why
from relayfile.errors import UsageError
from relayfile.mirror.beneath import Beneath, look, mode_of, names
from relayfile.mirror.ports import LARGE_BYTES, Body, Fetched
from relayfile.mirror.stage import state_token, told, write_all
from relayfile.model import Digest, Mode, Stat, TreePath, Version

INDEX: Final = "index"
HOUR_S: Final = 3600.0
_COPY: Final = "restoring"
_HOUR: Final = "%Y-%m-%dT%H"
_BASENAME_BYTES: Final = 80
_NAME: Final = re.compile(r"(([0-9a-f]+)-[0-9a-f]+)\.([0-9a-f]+-([0-9a-f]+)-[0-9a-f]+)\.(.*)", re.DOTALL)
_WHY: Final = frozenset(get_args(Why))


@dataclass(frozen=True, slots=True)
class Entry:
    """What the name of a file in the trash says. `token` is the state it was in when it came."""

    id: str
    taken_s: float
    token: str
    size: int
    ending: str


def entry_name(number: int, now_s: float, found: Stat | os.stat_result, path: TreePath) -> str:
    """The name under which the `number`-th file comes into the trash. No two files there can have the same: it holds
    the inode, which is taken as long as the file lies there.
    """
    return f"{int(now_s * 1000):x}-{number:x}.{state_token(found)}.{told(path, _BASENAME_BYTES)}"


def parsed(name: str) -> Entry | None:
    """What a name in the trash says; None: it is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Entry(found[1], int(found[2], 16) / 1000, found[3], int(found[4], 16), found[5])


def hour_of(now_s: float) -> str:
    """The folder for what comes now."""
    return time.strftime(_HOUR, time.gmtime(now_s))


def ended_s(hour: str) -> float:
    """The moment from which nothing comes into this folder any more."""
    return calendar.timegm(time.strptime(hour, _HOUR)) + HOUR_S


def hours(trash: int) -> list[str]:
    """The folders there are, oldest first. What else lies in the trash is not ours."""
    found = []
    for name in names(trash):
        with contextlib.suppress(ValueError):
            ended_s(name)
            found.append(name)
    return found


@contextlib.contextmanager
def opened(trash: int, hour: str) -> Iterator[int]:
    """The folder of an hour.

    Raises:
        OSError: it is gone, or no folder.
    """
    descriptor = os.open(hour, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=trash)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def line(name: str, path: TreePath, old: Old) -> bytes:
    """The line of the index for a file that comes under `name`."""
    digest = old.digest.hex() if old.digest else None
    return json.dumps([name, path, old.why, digest, old.revision, old.by]).encode() + b"\n"


def append(folder: int, lines: bytes, *, durably: bool) -> None:
    """The index of an hour has these lines too.

    Durable: with `durably`.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(INDEX, flags, 0o600, dir_fd=folder)
    try:
        os.write(descriptor, b"\n" + lines)  # an earlier line may have been cut
        if durably:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def index(folder: int) -> dict[str, tuple[TreePath, Old]]:
    """What the index of an hour says of each name; what cannot be read of it is left out."""
    known: dict[str, tuple[TreePath, Old]] = {}
    try:
        descriptor = os.open(INDEX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return known
    with open(descriptor, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a descriptor, not a path
        for one in lines:
            with contextlib.suppress(ValueError, UsageError, AttributeError, TypeError):
                name, path, why, digest, revision, by = json.loads(one)
                content = Digest(bytes.fromhex(digest)) if digest else None
                known[name] = (TreePath.parse(path), Old(why if why in _WHY else "replaced", content, revision, by))
    return known


def listed(trash: int) -> list[Kept]:
    """Everything that lies in the trash, oldest first."""
    found: list[Kept] = []
    for hour in hours(trash):
        with contextlib.suppress(OSError), opened(trash, hour) as folder:
            known = index(folder)
            for name in names(folder):
                entry, there = parsed(name), look(name, folder)
                mode = mode_of(there) if there is not None else None
                if entry is None or there is None or mode is None:
                    continue
                path, old = known.get(name, (None, Old()))
                if entry.token != state_token(there):  # written to since: what was known of its content is over
                    old = Old(old.why, None, None, old.by)
                ending = entry.ending or "unnamed"
                found.append(Kept(entry.id, path, ending, entry.taken_s, there.st_size, mode, old, (hour, name)))
    return sorted(found, key=lambda one: one.taken_s)


def lately(trash: int) -> dict[str, tuple[str, str]]:
    """What came in this hour and the one before: by the state of each file, its folder and its name."""
    found: dict[str, tuple[str, str]] = {}
    for hour in hours(trash)[-2:]:
        with contextlib.suppress(OSError), opened(trash, hour) as folder:
            for name in names(folder):
                if (entry := parsed(name)) is not None:
                    found[entry.token] = (hour, name)
    return found


def content(beneath: Beneath, kept: Kept) -> tuple[Version, Body] | None:
    """What lies there (of a link: its target), a large content as a copy in the mirror's parts; None: nothing
    any more, or something else.

    Raises:
        OSError: the disk does not take the copy.
    """
    hour, name = kept.place
    try:
        with opened(beneath.trash, hour) as folder:
            found = look(name, folder)
            if found is None or mode_of(found) != kept.mode:
                return None
            if stat.S_ISLNK(found.st_mode):
                return _in_memory(os.readlink(os.fsencode(name), dir_fd=folder), kept.mode)
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        if os.fstat(descriptor).st_size <= LARGE_BYTES:
            return _in_memory(file.read(), kept.mode)
        return _copied(beneath, file, kept.mode), Fetched()


def _in_memory(body: bytes, mode: Mode) -> tuple[Version, Body]:
    return Version(0, Digest(sha256(body).digest()), len(body), mode), body


def _copied(beneath: Beneath, file: BinaryIO, mode: Mode) -> Version:
    read, size = sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    copy = os.open(_COPY, flags, 0o666, dir_fd=beneath.parts)
    try:
        while block := file.read(LARGE_BYTES):
            write_all(copy, block)
            read.update(block)
            size += len(block)
    except OSError:
        os.unlink(_COPY, dir_fd=beneath.parts)
        raise
    finally:
        os.close(copy)
    os.rename(_COPY, read.hexdigest(), src_dir_fd=beneath.parts, dst_dir_fd=beneath.parts)
    return Version(0, Digest(read.digest()), size, mode)
