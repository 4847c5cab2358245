"""Notifications of the operating system -> settled hints. Never truth: a scan says what really lies there.

Order matters: a folder is watched first and listed afterwards, so that nothing made in between is missed. When the
kernel's queue overflows, or a folder could not be watched, everything is hinted: a sweep is cheap (R32).
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from typing import Final

from asyncinotify import Event, Inotify, Mask

from relayfile.core.paths import left_out, left_out_folder
from relayfile.errors import UsageError
from relayfile.mirror.beneath import MARKS, Beneath, look
from relayfile.mirror.ports import Hint
from relayfile.mirror.settle import Settling
from relayfile.model import TreePath

SWEEP_EVERY_S: Final = 60.0
"""How often everything is hinted while some folder cannot be watched."""
_READ_EVENTS: Final = 256
_WATCHED: Final = (
    Mask.CLOSE_WRITE
    | Mask.MODIFY
    | Mask.ATTRIB
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ONLYDIR
    | Mask.DONT_FOLLOW
    | Mask.EXCL_UNLINK
)
_ROOT_WENT: Final = Mask.MOVE_SELF | Mask.DELETE_SELF
_GONE: Final = Mask.DELETE | Mask.MOVED_FROM
_CAME: Final = Mask.CREATE | Mask.MOVED_TO


class LocalWatcher:
    """`ports.Watcher` by inotify. `notice` says what it cannot see, for `status`. In here a path is what it is called
    on this disk; a hint speaks of the path in the workspace.
    """

    def __init__(self, beneath: Beneath, monotonic: Callable[[], float]) -> None:
        self._beneath = beneath
        self._monotonic = monotonic
        self._inotify = _begun()
        self._readable = asyncio.Event()
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._closed: set[str] = set()
        self._settling = Settling(monotonic)
        self._overflow = False
        self._unwatched = 0
        self._next_sweep = 0.0

    def close(self) -> None:
        """Nothing is watched any more."""
        if self._inotify is not None:
            self._inotify.close()

    @property
    def notice(self) -> str | None:
        """What a person should know about how well it sees."""
        if not self._unwatched:
            return None
        limit = "max_user_instances" if self._inotify is None else "max_user_watches"
        return (
            f"changes in {self._unwatched} folders are seen within {SWEEP_EVERY_S:.0f} s, not at once: "
            f"fs.inotify.{limit} is used up; raise it"
        )

    async def hints(self) -> AsyncIterator[Hint]:
        """As `ports.Watcher.hints`. The first one, of everything, comes when every folder is watched: a sweep that
        began earlier may have missed what was made in between.
        """
        readable, loop = self._readable, asyncio.get_running_loop()
        if self._inotify is not None:
            loop.add_reader(self._inotify.fd, readable.set)
        try:
            self._watch_anew()
            while True:
                self._drain()
                readable.clear()
                if hint := self._due():
                    yield hint
                    continue
                wait_s = self._wait_s()
                alarm = None if wait_s is None else loop.call_later(wait_s, readable.set)
                await readable.wait()
                if alarm is not None:
                    alarm.cancel()
        finally:
            if self._inotify is not None:
                loop.remove_reader(self._inotify.fd)

    def opened(self, folder: str) -> None:
        """As `ports.Watcher.opened`."""
        local = self._beneath.local_path(folder)
        self._watch_below(local)
        self._hint(local, Mask.MOVED_TO)

    def _wait_s(self) -> float | None:
        waits = [] if (settled := self._settling.next_in_s()) is None else [settled]
        if self._unwatched:
            waits.append(max(0.0, self._next_sweep - self._monotonic()))
        return min(waits, default=None)

    def _due(self) -> Hint | None:
        if self._unwatched and self._monotonic() >= self._next_sweep:
            if self._inotify is None and (begun := _begun()) is not None:
                self._inotify = begun
                asyncio.get_running_loop().add_reader(begun.fd, self._readable.set)
            self._watch_anew()  # there may be room by now
        if self._overflow:
            self._overflow = False
            self._settling.forget()
            return Hint(frozenset(), overflow=True)
        paths = self._settling.settled()
        return Hint(frozenset(paths)) if paths else None

    def _watch_anew(self) -> None:
        """As many folders are watched as can be, and everything is hinted."""
        self._unwatched = 0
        self._watch_below("")
        self._overflow = True
        self._next_sweep = self._monotonic() + SWEEP_EVERY_S

    def _drain(self) -> None:
        while self._inotify is not None:
            try:
                event = self._inotify.sync_get()
            except BlockingIOError:
                return
            if event is not None:
                self._take(event)

    def _take(self, event: Event) -> None:
        mask = event.mask
        if mask & Mask.Q_OVERFLOW:
            self._watch_anew()
            return
        if mask & _ROOT_WENT:  # only of the root: the sweep finds that it is no longer there
            self._overflow = True
            return
        watch = event.watch
        folder = None if watch is None else self._folders.get(watch.wd)
        if watch is None or folder is None:
            return
        if mask & Mask.IGNORED:
            self._forget(watch.wd, folder)
            return
        if event.name is None:
            return
        name = str(event.name)
        path = f"{folder}/{name}" if folder else name
        if folder and name in MARKS:
            self._hint(folder, Mask.MOVED_TO)  # it is closed now, or open
        elif folder in self._closed:
            return
        elif mask & Mask.ISDIR:
            self._take_folder(path, mask)
        elif not left_out(path):
            self._hint(path, mask)

    def _take_folder(self, path: str, mask: Mask) -> None:
        if left_out_folder(path):
            return
        if mask & _GONE:
            self._unwatch(path)
            self._hint(path, mask)
        elif mask & _CAME:
            known = self._watches.get(path)
            # Watched already, it was listed after that: looking again below each folder of a chain would be endless.
            if not self._watch(path) or known is None or self._watches.get(path) != known:
                self._watch_below(path)
            self._hint(path, Mask.MOVED_TO)
        elif mask & Mask.ATTRIB and path not in self._watches:  # it may be readable now
            self._hint(path, Mask.MOVED_TO)

    def _hint(self, local: str, mask: Mask) -> None:
        try:
            path = TreePath.parse(self._beneath.naming.path_meant(local) or "")
        except UsageError:
            return  # no path of a workspace; the next sweep lists it
        if mask & Mask.MODIFY or (mask & Mask.CREATE and self._is_being_written(local)):
            self._settling.opened(path)
        elif mask & _GONE:
            self._settling.gone(path)
        else:
            self._settling.changed(path)

    def _is_being_written(self, local: str) -> bool:
        """Whether a new name is a plain new file, whose writer will close it; a link or a second name is complete."""
        above, _, name = local.rpartition("/")
        try:
            folder = self._beneath.local_folder(above)
        except OSError:
            return False
        try:
            found = look(name, folder)
        finally:
            os.close(folder)
        return found is not None and stat.S_ISREG(found.st_mode) and found.st_nlink == 1

    def _watch_below(self, start: str) -> None:
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if not self._watch(path):
                continue
            try:
                folder = self._beneath.local_folder(path)
            except OSError:
                continue
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
                if path and (self._beneath.closed_by(os.fstat(folder)) or any(one.name in MARKS for one in listed)):
                    self._unwatch(path)  # what lies there is not ours; but whether it stays so is watched
                    self._watch(path)
                    self._closed.add(path)
                    continue
                self._closed.discard(path)
                for entry in listed:
                    below = f"{path}/{entry.name}" if path else entry.name
                    if entry.is_dir(follow_symlinks=False) and not left_out_folder(below):
                        waiting.append(below)
            except OSError:
                continue
            finally:
                os.close(folder)

    def _watch(self, path: str) -> bool:
        """Whether `path` may be listed now."""
        if self._inotify is None:
            self._unwatched += 1
            return True
        try:
            mask = _WATCHED if path else _WATCHED | _ROOT_WENT
            watch = self._inotify.add_watch(os.path.join(self._beneath.directory, path), mask)  # noqa: PTH118
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.ENOMEM}:
                self._unwatched += 1
                return True
            return False  # gone, or no folder any more
        # a folder that was moved keeps its watch: only the name it stands for changes
        if (before := self._folders.get(watch.wd)) is not None and self._watches.get(before) == watch.wd:
            del self._watches[before]
        self._folders[watch.wd] = path
        self._watches[path] = watch.wd
        return True

    def _unwatch(self, path: str) -> None:
        """A folder that left is watched no more, nor what was below it; if it comes back, it is watched anew."""
        below = f"{path}/"
        self._closed = {name for name in self._closed if name != path and not name.startswith(below)}
        gone = [name for name in self._watches if name == path or name.startswith(below)]
        inotify = self._inotify
        if inotify is None:
            return
        live = {watch.wd: watch for watch in inotify.watches} if gone else {}
        for name in gone:
            descriptor = self._watches.pop(name)
            self._folders.pop(descriptor, None)
            if (watch := live.get(descriptor)) is not None:
                try:
                    inotify.rm_watch(watch)
                except OSError:  # the kernel dropped it with its folder
                    continue

    def _forget(self, descriptor: int, folder: str) -> None:
        self._folders.pop(descriptor, None)
        if self._watches.get(folder) == descriptor:
            del self._watches[folder]


def _begun() -> Inotify | None:
    """A queue of the kernel's; None when this user or process has as many as it may: then everything is swept."""
    try:
        inotify = Inotify(cache_size=_READ_EVENTS)
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
            return None
        raise
    os.set_blocking(inotify.fd, False)
    return inotify
