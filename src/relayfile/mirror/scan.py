"""Disk -> local tree: what lies below the root, each file read only when its state says that it may have changed.

Symbolic links are entries, never ways. Folders on another file system, folders that are mirrors of their own, and
folders that hold secrets (R33) are not entered, wherever they appear.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final, cast

from relayfile.core.paths import left_out, left_out_folder
from relayfile.errors import UsageError
from relayfile.mirror.beneath import MARKS, Beneath, look, stat_of
from relayfile.mirror.ports import Found, Known, Left, Missing, Sight, Unstable
from relayfile.model import REGULAR, SYMLINK, Digest, Stat, TreePath

RACY_S: Final = 0.02
"""The clock of file times ticks in steps of up to this. A file written so recently may be written again without a
sign, so its state is reported in a form that equals no real one: the next scan reads it once more (as git does)."""
_BLOCK_BYTES: Final = 1 << 20
_NOT_TOLD: Final = "what its name stands for is not known, or another file stands for it: rename it to have it sent"


class LocalScanner:
    """`ports.Scanner` on a real file system."""

    def __init__(self, beneath: Beneath, now: Callable[[], float]) -> None:
        self._beneath = beneath
        self._now = now
        self._untold: set[str] = set()
        self._linked: set[tuple[int, int]] = set()
        """(dev, ino) of files that had several names when they were looked at: of a change only one is hinted."""

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """As `ports.Scanner.elsewhere`."""
        return self._beneath.naming.elsewhere

    def sweep(self, known: Known) -> Iterator[Found | Unstable | Left]:
        """As `ports.Scanner.sweep`.

        Raises:
            Halted: code `root_replaced`: what was seen says nothing about the mirror.
        """
        self._beneath.check()
        self._beneath.naming.elsewhere.clear()
        self._untold.clear()
        for sight in self._below("", known):
            yield sight
            if isinstance(sight, Left):
                yield from _as_last_seen(sight.name, known)
        self._beneath.check()

    def rescan(self, paths: Iterable[TreePath], known: Known) -> list[Sight]:
        """As `ports.Scanner.rescan`.

        Raises:
            Halted: code `root_replaced`: what was seen says nothing about the mirror.
        """
        self._beneath.check()
        sights = self._look_at(set(paths), known)
        if self._linked and (changed := self._linked.intersection(_changed(sights, known))):
            seen = {sight.path for sight in sights if not isinstance(sight, Left)}
            sights += self._look_at(set(known.named(changed)) - seen, known)
        self._beneath.check()
        return sights

    def _look_at(self, paths: Iterable[TreePath], known: Known) -> list[Sight]:
        sights: list[Sight] = []
        at: tuple[str, int | None] | None = None
        closed: dict[str, str | None] = {}
        walked: tuple[str, ...] = ()
        try:
            for path in sorted(paths):
                if path.startswith(walked):  # a chain of new folders would be walked below each of them
                    continue
                above, _, name = path.rpartition("/")
                try:
                    if at is None or at[0] != above:
                        _close(at)
                        at = None
                        at = (above, self._folder(above))
                    if shut := self._beneath.closed(above, closed):
                        sights.append(Left(*shut))
                        continue
                    found = None
                    if at[1] is not None and not left_out_folder(path):
                        name = self._beneath.naming.local(name, at[1])
                        found = look(name, at[1])
                        if found is not None and not stat.S_ISDIR(found.st_mode) and left_out(path):
                            found = None
                    self._beneath.naming.note(path, None if found is None else name)
                    if found is not None and stat.S_ISDIR(found.st_mode):
                        walked += (f"{path}/",)
                    sights += self._rescan_one(path, name, at[1], found, known)
                    sights += self._told(path, known)
                except OSError as error:
                    sights.append(Left(path, _unreadable(error)))
        finally:
            _close(at)
        return sights

    def reread(self, path: TreePath, known: Known) -> Iterator[int | Sight]:
        """As `ports.Scanner.reread`.

        Raises:
            Halted: code `root_replaced`: what was seen says nothing about the mirror.
        """
        self._beneath.check()
        above, _, name = path.rpartition("/")
        try:
            if closed := self._beneath.closed(above, {}):
                yield Left(path, f"{closed[0]}: {closed[1]}")
                return
            folder = self._folder(above)
            if folder is None:
                yield Missing(path)
                return
            try:
                name = self._beneath.naming.local(name, folder)
                found = look(name, folder)
                state = None if found is None else stat_of(found)
                if state is None:
                    yield Missing(path)
                    return
                if state.mode == SYMLINK:
                    digest = _digest_of_link(name, folder, state)
                else:
                    digest = yield from _reading(name, folder, state, from_the_device=True)
            finally:
                os.close(folder)
        except FileNotFoundError:
            yield Missing(path)
        except OSError as error:
            yield Left(path, _unreadable(error))
        else:
            yield Unstable(path) if digest is None else Found(path, self._in_its_mode(path, state, known), digest)

    def _told(self, path: TreePath, known: Known) -> Iterator[Sight]:
        """What can be seen now that it is known which path some cut name on the way to `path` stands for."""
        if not self._untold:
            return
        parts, local_parts = path.split("/"), self._beneath.local_path(path).split("/")
        for depth in range(1, len(parts) + 1):
            untold = "/".join((*parts[: depth - 1], local_parts[depth - 1]))
            if untold in self._untold:
                self._untold.remove(untold)
                yield Missing(TreePath(untold))
                if depth < len(parts):
                    yield from self._rescan_folder(TreePath("/".join(parts[:depth])), known)

    def _rescan_one(
        self, path: TreePath, name: str, folder: int | None, found: os.stat_result | None, known: Known
    ) -> Iterator[Sight]:
        if found is not None and stat.S_ISDIR(found.st_mode):
            if reason := self._closed(path, found):
                yield Left(path, reason)
                return
            yield from self._rescan_folder(path, known)
            if known.get(path) is not None:
                yield Missing(path)  # it was a file and is a folder now
        elif found is None or folder is None:
            yield Missing(path)
            yield from (
                Missing(gone) for gone in list(known.below(path))
            )  # a folder that was moved tells of itself only
        elif (sight := self._seen(path, name, folder, found, known)) is not None:
            yield sight
            yield from (Missing(gone) for gone in list(known.below(path)))  # it was a folder and is a file now

    def _rescan_folder(self, path: TreePath, known: Known) -> Iterator[Sight]:
        seen: set[str] = set()
        left: list[str] = []
        for sight in self._below(path, known):
            if isinstance(sight, Left):
                left.append(sight.name)
            else:
                seen.add(sight.path)
            yield sight
        # what cannot be looked at is not gone: its absence would be pushed as a deletion
        unseen = tuple(f"{name}/" for name in left)
        for gone in list(known.below(path)):
            if gone not in seen and gone not in left and not gone.startswith(unseen):
                yield Missing(gone)

    def _below(self, start: str, known: Known) -> Iterator[Found | Unstable | Left]:
        waiting = [start]
        while waiting:
            above = waiting.pop()
            try:
                folder = self._folder(above)
            except OSError as error:
                yield Left(above, _unreadable(error))
                continue
            if folder is None:  # gone, or no folder any more: its watcher or the next sweep tells
                continue
            try:
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
                marks = (MARKS[entry.name] for entry in listed if entry.name in MARKS)
                if above and (reason := next(marks, None)):
                    yield Left(_shown(above), reason)
                    continue
                plain = self._beneath.naming.plain
                beside = frozenset(() if plain else (entry.name for entry in listed))
                for entry in listed:
                    name = entry.name if plain else self._meant(entry.name, beside, above, known)
                    path = f"{above}/{name or entry.name}" if above else name or entry.name
                    if name is None:
                        self._untold.add(path)
                        yield Left(_shown(path), _NOT_TOLD)
                    else:
                        yield from self._entry(path, entry, folder, known, waiting)
            finally:
                os.close(folder)

    def _meant(self, local: str, beside: frozenset[str], above: str, known: Known) -> str | None:
        """The segment that something called `local` in the folder `above` stands for; None: nobody can tell."""
        naming = self._beneath.naming
        name = naming.meant(local, beside=beside)
        if name is None:
            begin = len(above) + 1 if above else 0
            naming.learn({path[begin:].partition("/")[0] for path in known.below(TreePath(above))})
            name = naming.meant(local, beside=beside)
        return name

    def _entry(
        self, path: str, entry: os.DirEntry[str], folder: int, known: Known, waiting: list[str]
    ) -> Iterator[Found | Unstable | Left]:
        if left_out_folder(path):
            return
        if left_out(path) and not entry.is_dir(follow_symlinks=False):
            return
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        try:
            tree_path = TreePath.parse(path)
        except UsageError as error:
            yield Left(_shown(path), error.message.rpartition(": ")[2])
            return
        if not self._beneath.naming.plain:
            self._beneath.naming.note(path, entry.name)
        if stat.S_ISDIR(found.st_mode):
            if reason := self._closed(path, found):
                yield Left(path, reason)
            else:
                waiting.append(path)
        elif (sight := self._seen(tree_path, entry.name, folder, found, known)) is not None:
            yield sight

    def _seen(
        self, path: TreePath, name: str, folder: int, found: os.stat_result, known: Known
    ) -> Found | Unstable | Left | None:
        """What lies at `path`; None: it went away."""
        state = stat_of(found)
        if state is None:
            return Left(path, "neither a file, a folder nor a symbolic link")
        if found.st_nlink > 1:
            self._linked.add((state.dev, state.ino))
        elif self._linked:
            self._linked.discard((state.dev, state.ino))
        mirrored = self._in_its_mode(path, state, known)
        before = known.get(path)
        if before is not None and before[0] == mirrored:
            return Found(path, mirrored, before[1])
        newest_ns = max(state.mtime_ns, state.ctime_ns)
        racy = newest_ns >= (self._now() - RACY_S) * 1e9
        try:
            digest = _digest_of_link(name, folder, state) if state.mode == SYMLINK else _digest(name, folder, state)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link came in its place just now
                return Unstable(path)
            return Left(path, _unreadable(error))
        if digest is None:
            return Unstable(path)
        return Found(path, replace(mirrored, ctime_ns=0) if racy else mirrored, digest)

    def _in_its_mode(self, path: TreePath, state: Stat, known: Known) -> Stat:
        """The state of the file with the mode that the workspace gives it, where the file system keeps none (R18)."""
        if self._beneath.keeps_modes or state.mode == SYMLINK:
            return state
        return replace(state, mode=known.mode(path) or REGULAR)

    def _closed(self, path: str, found: os.stat_result) -> str | None:
        """Why this folder is not entered, or None."""
        if left_out_folder(path):
            return "it is not mirrored"
        return self._beneath.closed_by(found)

    def _folder(self, path: str) -> int | None:
        """A descriptor of the folder; None: there is none.

        Raises:
            OSError: there may be one, but it cannot be opened.
        """
        try:
            return self._beneath.folder(path)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                return None
            raise


def _changed(sights: Iterable[Sight], known: Known) -> Iterator[tuple[int, int]]:
    """(dev, ino) of each file that came to a path, changed there, or went."""
    for sight in sights:
        if isinstance(sight, Found | Missing):
            before, now = known.get(sight.path), sight.stat if isinstance(sight, Found) else None
            if before is not None and before[0] != now:
                yield before[0].dev, before[0].ino
            if now is not None and (before is None or before[0] != now):
                yield now.dev, now.ino


def _as_last_seen(name: str, known: Known) -> Iterator[Found | Unstable]:
    """What cannot be looked at is taken to be as it was: as missing, it would be pushed as a deletion."""
    path = TreePath(name)
    for there in (path, *known.below(path)):
        if (before := known.get(there)) is not None:
            yield Found(there, *before)
        elif there != path:
            yield Unstable(there)


def _unreadable(error: OSError) -> str:
    return f"it cannot be read: {error.strerror}"


def _digest(name: str, folder: int, state: Stat) -> Digest | None:
    """The digest of the file in exactly this state; None when it is in another, or came into one while being read."""
    reading = _reading(name, folder, state)
    while True:
        try:
            next(reading)
        except StopIteration as ended:
            return cast("Digest | None", ended.value)


def _reading(
    name: str, folder: int, state: Stat, *, from_the_device: bool = False
) -> Generator[int, None, Digest | None]:
    """As `_digest`, telling how much was read after each block."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    try:
        content = sha256()
        if stat_of(os.fstat(descriptor)) != state:
            return None
        if from_the_device and hasattr(os, "posix_fadvise"):  # what is cached proves nothing about the device
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while block := os.read(descriptor, _BLOCK_BYTES):
            content.update(block)
            yield len(block)
        return Digest(content.digest()) if stat_of(os.fstat(descriptor)) == state else None
    finally:
        os.close(descriptor)


def _digest_of_link(name: str, folder: int, state: Stat) -> Digest | None:
    target = os.readlink(os.fsencode(name), dir_fd=folder)
    found = look(name, folder)
    if found is None or stat_of(found) != state:
        return None
    return Digest(sha256(target).digest())


def _close(at: tuple[str, int | None] | None) -> None:
    if at is not None and at[1] is not None:
        os.close(at[1])


def _shown(path: str) -> str:
    """A name as people can read it, also when it is not UTF-8."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
