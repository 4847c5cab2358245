"""`.relay/trash`: what the mirror replaced or removed: a person can have it back, and a late writer loses nothing.

An editor that opened a file before it was replaced goes on writing to the old inode. So what comes here is looked at
again after `LOOK_AFTER_S`, and once more before it is dropped: if it changed since, it was user data and becomes a
conflict copy (R27). Until then it stays as long as `Keeping` says, the oldest going first; on a full disk it makes
way for what is to be placed (A.10). How it is laid out is in `mirror.kept`.
"""

import contextlib
import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from relayfile.core.paths import conflict_copy
from relayfile.core.trash import KEEP_S, MOST_BYTES, Kept, Old
from relayfile.mirror import kept, kernel
from relayfile.mirror.beneath import TRASH, Beneath, look, names
from relayfile.mirror.ports import Body, Place, Remove, Step
from relayfile.mirror.registry import PRIVATE
from relayfile.mirror.stage import content_digest, state_token
from relayfile.model import Stat, TreePath, Version

LOOK_AFTER_S: Final = 60.0
DROP_AT_ONCE: Final = 2_000
"""So many files are dropped by one `purge` at most: others wait for the thread that does it."""
WAY_BYTES: Final = 16 * 1024 * 1024
"""A full disk gets at least so much at once."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_ATTEMPTS: Final = 100
_UNKNOWN: Final = Old()


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how long contents are kept at least, unless together they are larger than this."""

    keep_s: float = KEEP_S
    most_bytes: int = MOST_BYTES


class Trash:
    """The trash of one root. `keep` and `copy_out` are also how anything at all is taken out of the tree."""

    def __init__(self, beneath: Beneath, host: str, now: Callable[[], float], keeping: Keeping | None = None) -> None:
        self._beneath = beneath
        self._host = host
        self._now = now
        self._keeping = keeping or Keeping()
        self._count = 0
        self._fresh: deque[tuple[float, str, str, TreePath | None]] | None = None
        self._bytes: int | None = None  # of all that lies here; None: not counted yet
        self._copies: list[TreePath] = []

    def taking(self, steps: Iterable[Step], *, durably: bool) -> "Taking":
        """The way into the trash for what these steps take. Close it.

        Durable: what is known of them, with `durably`; otherwise once the file system is synced.

        Raises:
            OSError: among others ENOSPC.
        """
        taking = Taking(self, self._beneath.trash, self._now())
        try:
            taking.announce(
                [
                    (step.path, step.expected, step.old or _UNKNOWN)
                    for step in steps
                    if isinstance(step, Place | Remove) and step.expected is not None
                ],
                durably=durably,
            )
        except BaseException:
            taking.close()
            raise
        return taking

    def keep(self, folder: int, name: str, found: os.stat_result, path: TreePath, old: Old = _UNKNOWN) -> None:
        """`name` of `folder`, whose path is or was `path`, lies in the trash."""
        with contextlib.closing(Taking(self, self._beneath.trash, self._now())) as taking:
            with contextlib.suppress(OSError):  # full disk: it is kept all the same, only its path is forgotten
                taking.announce([(path, found, old)], durably=False)
            taking.keep(folder, name, found, path)

    def next_number(self) -> int:
        """A number that no other file got in this life of the process."""
        self._count += 1
        return self._count

    def came(self, hour: str, name: str, size_bytes: int, path: TreePath) -> None:
        """A file lies here under `name`: it is looked at again soon, and counted."""
        self._waiting().append((self._now() + LOOK_AFTER_S, hour, name, path))
        if self._bytes is not None:
            self._bytes += size_bytes

    def copy_out(self, folder: int, name: str, path: TreePath | None) -> TreePath:
        """`name` of `folder` lies beside `path` as a conflict copy (R31); in the root where its path is not known.

        Once: where that copy exists with the same content already, no second one is made.
        """
        digest = content_digest(folder, name)
        for attempt in range(_ATTEMPTS):
            host = f"{self._host}-{attempt + 1}" if attempt else self._host
            copy = conflict_copy(path or TreePath("recovered"), host, self._now(), digest)
            above, _, last = copy.rpartition("/")
            try:
                parent, _ = self._beneath.made_folder(above)
            except OSError:  # its folder became a file or a link: the root takes anything
                path = TreePath(path.rpartition("/")[2]) if path else None
                continue
            try:
                last = self._beneath.naming.local(last, parent)
                kernel.move_new(folder, name, parent, last)
            except FileExistsError:
                if content_digest(parent, last) == digest and (found := look(name, folder)):
                    self.keep(folder, name, found, copy)
                    return copy
            else:
                os.fsync(parent)
                return copy
            finally:
                os.close(parent)
        raise FileExistsError(f"no free name for a conflict copy of {path}")

    def listed(self) -> list[Kept]:
        """Everything that can be had back, oldest first."""
        return kept.listed(self._beneath.trash)

    def content(self, one: Kept) -> tuple[Version, Body] | None:
        """What `listed` told of, at hand to be placed; None: it no longer lies here.

        Raises:
            OSError: the disk does not take a copy.
        """
        while True:
            try:
                return kept.content(self._beneath, one)
            except OSError as error:
                if error.errno not in FULL or not self.give_way(one.size * 2):  # the content itself is among them
                    raise

    def purge(self) -> list[TreePath]:
        """What came a while ago was looked at again, and what was kept long enough, or is too much, is gone: part of
        it, if that is a lot. The answer are conflict copies made of what changed meanwhile.
        """
        self._look_again()
        if self._bytes is None:
            self._bytes = self._counted()
        over_s, most = self._now() - self._keeping.keep_s, self._keeping.most_bytes
        if self._bytes > most:
            self._bytes = self._counted()  # somebody may have emptied it
        self._drop(lambda hour, _: kept.ended_s(hour) <= over_s or (self._bytes or 0) > most)
        copies, self._copies = self._copies, []
        return copies

    def give_way(self, needed_bytes: int) -> bool:
        """The oldest contents, of about so many bytes, made way; False: that would not help."""
        if self._counted() < needed_bytes:
            return False
        enough = max(needed_bytes, WAY_BYTES)
        return self._drop(lambda _, freed: freed < enough) > 0

    def _waiting(self) -> deque[tuple[float, str, str, TreePath | None]]:
        """What is to be looked at again: of an earlier life all that came in its last hours."""
        if self._fresh is None:
            self._fresh = deque()
            for hour in kept.hours(self._beneath.trash)[-2:]:
                with contextlib.suppress(OSError), kept.opened(self._beneath.trash, hour) as folder:
                    known = kept.index(folder)
                    for name in names(folder):
                        if entry := kept.parsed(name):
                            path = known[name][0] if name in known else None
                            self._fresh.append((entry.taken_s + LOOK_AFTER_S, hour, name, path))
        return self._fresh

    def _look_again(self) -> None:
        waiting, now_s = self._waiting(), self._now()
        while waiting and waiting[0][0] <= now_s:
            _, hour, name, path = waiting.popleft()
            with contextlib.suppress(OSError), kept.opened(self._beneath.trash, hour) as folder:
                entry, found = kept.parsed(name), look(name, folder)
                if entry and found and not stat.S_ISDIR(found.st_mode) and state_token(found) != entry.token:
                    self._copies.append(self.copy_out(folder, name, path))

    def _counted(self) -> int:
        """The bytes of all that lies here, by the names alone."""
        total = 0
        for hour in kept.hours(self._beneath.trash):
            with contextlib.suppress(OSError), kept.opened(self._beneath.trash, hour) as folder:
                total += sum(entry.size for name in names(folder) if (entry := kept.parsed(name)))
        return total

    def _drop(self, due: Callable[[str, int], bool]) -> int:
        """The oldest files are gone as long as `due(hour, bytes freed so far)`; how many. None that came just now."""
        count = freed = 0
        young_s = self._now() - LOOK_AFTER_S
        for hour in kept.hours(self._beneath.trash):
            if not due(hour, freed):
                break
            with contextlib.suppress(OSError), kept.opened(self._beneath.trash, hour) as folder:
                for name in names(folder):
                    entry = kept.parsed(name)
                    if entry is None:
                        continue
                    if not due(hour, freed) or entry.taken_s > young_s or count >= DROP_AT_ONCE:
                        return count
                    if self._dropped(folder, name, entry):
                        count, freed = count + 1, freed + entry.size
                        self._bytes = max(0, (self._bytes or 0) - entry.size) if self._bytes is not None else None
                self._left(folder, hour)
        return count

    def _dropped(self, folder: int, name: str, entry: kept.Entry) -> bool:
        """It is gone, or a conflict copy if it changed. A folder that is not empty stays: a person may drop it."""
        found = look(name, folder)
        try:
            if found is None:
                return False
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(name, dir_fd=folder)
            elif state_token(found) == entry.token:
                os.unlink(name, dir_fd=folder)
            else:
                path = kept.index(folder).get(name, (None,))[0]
                self._copies.append(self.copy_out(folder, name, path))
        except OSError:  # it stays for the next time
            return False
        return True

    def _left(self, folder: int, hour: str) -> None:
        """An hour of which nothing is left is gone."""
        if kept.ended_s(hour) <= self._now() and set(names(folder)) <= {kept.INDEX}:
            with contextlib.suppress(OSError):
                os.unlink(kept.INDEX, dir_fd=folder)
            with contextlib.suppress(OSError):
                os.rmdir(hour, dir_fd=self._beneath.trash)


class Taking:
    """The way into the trash for one batch: the folder of this hour, open, and the names told there beforehand."""

    def __init__(self, trash: Trash, within: int, now_s: float) -> None:
        self._trash = trash
        self._now_s = now_s
        self._hour = kept.hour_of(now_s)
        self._within = within
        self._names: dict[tuple[TreePath, str], str] = {}
        self._folder: int | None = None
        self.touched: set[str] = set()
        """The folders of which entries were made, from the root of the mirror."""

    def close(self) -> None:
        """No descriptor is left open."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def announce(self, coming: Iterable[tuple[TreePath, os.stat_result | Stat, Old]], *, durably: bool) -> None:
        """What comes from these paths, in these states, can be told afterwards."""
        lines = []
        for path, found, old in coming:
            name = kept.entry_name(self._trash.next_number(), self._now_s, found, path)
            self._names[path, state_token(found)] = name
            lines.append(kept.line(name, path, old))
        if lines:
            kept.append(self.folder, b"".join(lines), durably=durably)

    def name(self, found: os.stat_result, path: TreePath) -> str:
        """The name in `folder` under which `found`, which lies at `path`, may be moved there."""
        told = self._names.pop((path, state_token(found)), None)
        return told or kept.entry_name(self._trash.next_number(), self._now_s, found, path)

    def moved(self, name: str, size_bytes: int, path: TreePath) -> None:
        """What was moved into `folder` under `name` is kept from now on."""
        self.touched.add(f"{PRIVATE}/{TRASH}/{self._hour}")
        self._trash.came(self._hour, name, size_bytes, path)

    def keep(self, folder: int, name: str, found: os.stat_result, path: TreePath) -> None:
        """`name` of `folder`, whose path is or was `path`, lies in the trash."""
        into = self.name(found, path)
        os.rename(name, into, src_dir_fd=folder, dst_dir_fd=self.folder)
        self.moved(into, found.st_size, path)

    @property
    def folder(self) -> int:
        """The folder of this hour."""
        if self._folder is None:
            try:
                os.mkdir(self._hour, 0o700, dir_fd=self._within)
                self.touched.add(f"{PRIVATE}/{TRASH}")
            except FileExistsError:
                pass
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._folder = os.open(self._hour, flags, dir_fd=self._within)
        return self._folder
