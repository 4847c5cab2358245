"""The only writer below the root of a mirror. Nothing outside the root is touched, nothing unsaved is overwritten.

A batch goes: stage all content, barrier, publish each path, barrier (5-sync A.2). Publishing looks at what lies
there, exchanges it for the new content in one step, and looks at what came out (R27): what was expected goes to the
trash, anything else was written in between and becomes a conflict copy. A path that cannot be done is a result,
never an exception; an exception means that a barrier failed and nothing may be called durable.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from relayfile.core.paths import is_own, left_out
from relayfile.core.trash import Kept, Old
from relayfile.errors import Halted, Unavailable
from relayfile.mirror import kept, kernel, reading
from relayfile.mirror.beneath import Beneath, look, mode_of, stat_of, untouched
from relayfile.mirror.parts import put_back
from relayfile.mirror.ports import CLOSED, Body, Changed, Done, Place, Refused, Remove, Result, SetAside, Step, Unfit
from relayfile.mirror.registry import PRIVATE
from relayfile.mirror.stage import (
    FILLING,
    READY,
    Label,
    Sources,
    Staged,
    UnfitError,
    content_digest,
    fill,
    leftovers,
    path_key,
    state_token,
)
from relayfile.mirror.trash import FULL, Keeping, Taking, Trash
from relayfile.model import SYMLINK, Digest, Mode, Stat, TreePath, Version

SYNC_ALL_FROM: Final = 16
"""From this many files or folders on, one sync of the file system is cheaper than one of each (R32)."""
_IN_THE_WAY: Final = frozenset({errno.ELOOP, errno.ENOTDIR})
_NEVER: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})
_LINK_TARGET_BYTES: Final = 4095


class LocalDisk:
    """`ports.Disk` on a real file system. `reach` is told each step by name, so that tests can end there."""

    def __init__(
        self,
        beneath: Beneath,
        host: str,
        now: Callable[[], float],
        reach: Callable[[str], None] = lambda _: None,
        keeping: Keeping | None = None,
    ) -> None:
        self._beneath = beneath
        self._now = now
        self._reach = reach
        self._trash = Trash(beneath, host, now, keeping)
        self._batches = 0

    def execute(self, steps: Sequence[Step]) -> list[Result]:
        """As `ports.Disk.execute`.

        Raises:
            Unavailable: code `disk_io`: a barrier failed. What was published may not survive power loss; the same
                steps may be tried again.
        """
        try:
            self._beneath.check()
        except (Halted, OSError) as error:
            return [Refused(step.path, str(error)) for step in steps]
        self._batches += 1
        name = f"{os.getpid()}-{self._batches}"
        try:
            batch = self._batch(steps, name)
        except OSError as error:
            return [_refused(step.path, error) for step in steps]
        try:
            batch.stage_all(steps, int(self._now() * 1e9))
            batch.publish_all(steps)
        except OSError as error:
            raise Unavailable(f"the disk did not take a batch: {error.strerror}", code="disk_io") from error
        finally:
            batch.close()
        return [batch.results[index] for index in range(len(steps))]

    def _batch(self, steps: Sequence[Step], name: str) -> "_Batch":
        while True:
            try:
                return _Batch(self._beneath, self._trash, self._reach, name, steps)
            except OSError as error:
                if error.errno not in FULL or not self._trash.give_way(0):
                    raise

    def read(self, path: TreePath, expected: Stat) -> bytes | None:
        """As `ports.Disk.read`."""
        return reading.whole(self._beneath, path, expected)

    def pieces(self, path: TreePath, expected: Stat, digest: Digest) -> Iterator[bytes | None]:
        """As `ports.Disk.pieces`."""
        return reading.pieces(self._beneath, path, expected, digest)

    def local_name(self, path: TreePath) -> str:
        """As `ports.Disk.local_name`."""
        self._beneath.naming.begin()
        return self._beneath.local_path(path)

    def path_of(self, local: str) -> TreePath | None:
        """As `ports.Disk.path_of`."""
        path = self._beneath.naming.path_meant(local)
        return None if path is None else TreePath.parse(path)

    def recover(self, placing: Mapping[TreePath, Version]) -> list[TreePath]:
        """As `ports.Disk.recover`. What was displaced as expected goes to the trash and makes no copy."""
        paths = {path_key(path): path for path in placing}
        copies: list[TreePath] = []

        def settle(folder: int, name: str, label: Label | None) -> None:
            found = look(name, folder)
            if found is None:
                return
            path = paths.get(label.key) if label else None
            if label is None or mode_of(found) is None:
                copies.append(self._trash.copy_out(folder, name, path))
            elif label.displaces == state_token(found):
                by = placing[path].revision or None if path else None
                self._trash.keep(folder, name, found, path or TreePath(label.basename), Old(by=by))
            elif content_digest(folder, name) == label.digest:
                put_back(self._beneath, folder, name, label.digest)
            else:
                copies.append(self._trash.copy_out(folder, name, path or _as_path(label.basename)))
            self._reach("settled")

        def drop(folder: int, name: str, label: Label | None) -> None:
            put_back(self._beneath, folder, name, label.digest if label else None)

        leftovers(self._beneath.stage, settle, drop)
        kernel.sync_file_system(self._beneath.root)
        return copies

    def purge(self) -> list[TreePath]:
        """As `Trash.purge`."""
        return self._trash.purge()

    def kept(self) -> list[Kept]:
        """As `ports.Disk.kept`."""
        return self._trash.listed()

    def kept_content(self, one: Kept) -> tuple[Version, Body] | Refused | None:
        """As `ports.Disk.kept_content`."""
        try:
            return self._trash.content(one)
        except OSError as error:
            return _refused(one.path or TreePath(one.name), error)

    def make_room(self, needed_bytes: int) -> bool:
        """As `Trash.give_way`."""
        return self._trash.give_way(needed_bytes)


class _Batch:
    """One call of `execute`: its stage folder, what it staged, its results by the index of the step."""

    def __init__(
        self, beneath: Beneath, trash: Trash, reach: Callable[[str], None], name: str, steps: Sequence[Step]
    ) -> None:
        self._beneath = beneath
        self._trash = trash
        self._reach = reach
        self._name = FILLING + name
        self._durably = len(steps) < SYNC_ALL_FROM
        self._staged: dict[int, Staged] = {}
        self._touched: set[str] = set()
        self._closed: dict[str, str | None] = {}
        self._taking: Taking = trash.taking(steps, durably=self._durably)
        try:
            os.mkdir(self._name, 0o700, dir_fd=beneath.stage)
            self._folder = beneath.local_folder(f"{PRIVATE}/stage/{self._name}")
        except BaseException:
            self._taking.close()
            raise
        self.results: dict[int, Result] = {}

    def close(self) -> None:
        """No descriptor is left open; the stage folder is gone unless something in it is still to be settled."""
        os.close(self._folder)
        self._taking.close()
        with contextlib.suppress(OSError):
            os.rmdir(self._name, dir_fd=self._beneath.stage)

    def stage_all(self, steps: Sequence[Step], now_ns: int) -> None:
        """Every `Place` that can be done is staged, durably; every other is refused, and what depends on it.

        On a full disk what is smaller than all that did not fit is still tried, and what is removed needs no room.
        """
        full: OSError | None = None
        too_big = 0
        sources = Sources(self._beneath, kept.lately)
        for index, step in enumerate(steps):
            if full is not None and isinstance(step, Place) and step.version.size >= too_big:
                self.results[index] = _refused(step.path, full)
            elif fault := _never(step):
                self.results[index] = Refused(step.path, fault, lasting=True)
            elif isinstance(step, Place):
                try:
                    self._staged[index] = self._filled(step, now_ns, sources)
                except UnfitError:
                    self.results[index] = Unfit(step.path)
                except OSError as error:
                    self.results[index] = _refused(step.path, error)
                    if error.errno in FULL:
                        full, too_big = error, step.version.size
        self._reach("staged")
        if not self._durably:
            kernel.sync_file_system(self._beneath.root)
        ready = READY + self._name.removeprefix(FILLING)
        os.rename(self._name, ready, src_dir_fd=self._beneath.stage, dst_dir_fd=self._beneath.stage)
        self._name = ready
        self._reach("stage durable")
        self._refuse_what_depends(steps)

    def _filled(self, step: Place, now_ns: int, sources: Sources) -> Staged:
        """A full disk refuses nothing as long as the trash can make way (A.10)."""
        while True:
            try:
                return fill(self._folder, step, now_ns, sources, durably=self._durably)
            except OSError as error:
                if error.errno not in FULL or not self._trash.give_way(step.version.size):
                    raise

    def _refuse_what_depends(self, steps: Sequence[Step]) -> None:
        """A file is not taken away when what should come in its place cannot: it would look deleted by its owner."""
        refused = {one.path: one for one in self.results.values() if isinstance(one, Refused | Unfit)}
        coming = {step.path: index for index, step in enumerate(steps) if isinstance(step, Place)}
        for index, step in enumerate(steps):
            if not isinstance(step, Place) and index < coming.get(step.path, -1) and step.path in refused:
                self.results[index] = refused[step.path]

    def publish_all(self, steps: Sequence[Step]) -> None:
        """Every step has its result, and what is done is durable."""
        for index, step in enumerate(steps):
            if index not in self.results:
                self.results[index] = self._published(index, step)
                self._reach("published")
        self._touched |= self._taking.touched
        if self._durably and len(self._touched) < SYNC_ALL_FROM:
            for folder in self._touched:
                self._sync_folder(folder)
        elif self._touched:
            kernel.sync_file_system(self._beneath.root)
        self._reach("durable")

    def _published(self, index: int, step: Step) -> Result:
        above, _, name = step.path.rpartition("/")
        staged = self._staged.get(index)
        try:
            if found := self._beneath.closed(above, self._closed):
                return Refused(step.path, f"{found[0]}: {found[1]}", lasting=True, code=CLOSED)
            with self._parent(above, make=isinstance(step, Place)) as folder:
                name = self._beneath.naming.local(name, folder)
                match step:
                    case Place(expected=None):
                        assert staged is not None, "a step without result was staged"
                        return self._placed_new(step, folder, name, staged)
                    case Place():
                        assert staged is not None, "a step without result was staged"
                        return self._exchanged(step, folder, name, staged)
                    case Remove():
                        return self._removed(step, folder, name)
                    case SetAside():
                        return self._set_aside(step, folder, name)
        except FileNotFoundError:
            return Done(step.path, None) if isinstance(step, Remove) else Changed(step.path)
        except OSError as error:
            if isinstance(step, Remove) and error.errno in _IN_THE_WAY:
                return Changed(step.path)  # nothing can lie there any more
            return _refused(step.path, error)
        finally:
            # still in the stage, so it was not published: it is our own content and may go
            if staged is not None and isinstance(step, Place) and self._lies_in_stage(staged):
                put_back(self._beneath, self._folder, staged.name, step.version.digest)

    def _lies_in_stage(self, staged: Staged) -> bool:
        found = look(staged.name, self._folder)
        return found is not None and found.st_ino == staged.stat.ino

    def _placed_new(self, step: Place, folder: int, name: str, staged: Staged) -> Result:
        try:
            kernel.move_new(self._folder, staged.name, folder, name)
        except FileExistsError:
            there = look(name, folder)
            if there is None or not stat.S_ISDIR(there.st_mode):
                return Changed(step.path)
            try:
                os.rmdir(name, dir_fd=folder)  # only ever an empty one: folders are implied by paths
            except OSError:
                return Refused(step.path, "a folder that is not empty lies in its place")
            try:
                kernel.move_new(self._folder, staged.name, folder, name)
            except FileExistsError:
                return Changed(step.path)
        return self._settled(step.path, folder, name, staged)

    def _exchanged(self, step: Place, folder: int, name: str, staged: Staged) -> Result:
        expected = step.expected
        assert expected is not None, "a replacement says what it replaces"
        there = look(name, folder)
        if there is None or not untouched(there, expected) or self._mode(there, expected.mode) != expected.mode:
            return Changed(step.path)
        try:
            kernel.exchange(self._folder, staged.name, folder, name)
        except kernel.Unsupported:
            return self._replaced(step, folder, name, staged, there)
        self._reach("exchanged")
        displaced = os.stat(staged.name, dir_fd=self._folder, follow_symlinks=False)
        if untouched(displaced, expected):
            self._taking.keep(self._folder, staged.name, displaced, step.path)
        elif mode_of(displaced) is None:  # a folder or a device came in between: it goes back where it was
            kernel.exchange(self._folder, staged.name, folder, name)
            return Changed(step.path)
        else:
            self._trash.copy_out(self._folder, staged.name, step.path)
        return self._settled(step.path, folder, name, staged)

    def _replaced(self, step: Place, folder: int, name: str, staged: Staged, there: os.stat_result) -> Result:
        """For file systems that cannot exchange: a second name in the trash keeps the old content (R27)."""
        expected = step.expected
        assert expected is not None, "a replacement says what it replaces"
        kept, trash = self._taking.name(there, step.path), self._taking.folder
        try:
            os.link(name, kept, src_dir_fd=folder, dst_dir_fd=trash, follow_symlinks=False)
        except PermissionError as error:
            raise OSError(errno.ENOTSUP, "this file system can neither exchange nor link files") from error
        os.rename(staged.name, name, src_dir_fd=self._folder, dst_dir_fd=folder)
        self._reach("exchanged")
        if untouched(look(kept, trash), expected):
            self._taking.moved(kept, there.st_size, step.path)
        else:
            self._trash.copy_out(trash, kept, step.path)
        return self._settled(step.path, folder, name, staged)

    def _removed(self, step: Remove, folder: int, name: str) -> Result:
        there = look(name, folder)
        if there is None:
            return Done(step.path, None)
        if not untouched(there, step.expected):
            return Changed(step.path)
        into, trash = self._taking.name(there, step.path), self._taking.folder
        os.rename(name, into, src_dir_fd=folder, dst_dir_fd=trash)
        self._reach("removed")
        taken = os.stat(into, dir_fd=trash, follow_symlinks=False)
        if not untouched(taken, step.expected):
            self._put_back(trash, into, folder, name, step.path)
            return Changed(step.path)
        self._taking.moved(into, there.st_size, step.path)
        self._beneath.naming.give_back(folder)
        self._touched.add(step.path.rpartition("/")[0])
        self._prune(step.path)
        return Done(step.path, None)

    def _set_aside(self, step: SetAside, folder: int, name: str) -> Result:
        there = look(name, folder)
        if not untouched(there, step.expected):
            return Changed(step.path)
        above, _, last = step.copy.rpartition("/")
        parent, made = self._beneath.made_folder(above)
        try:
            last = self._beneath.naming.local(last, parent)
            self._touched.update(made)
            self._touched.update((above, step.path.rpartition("/")[0]))
            try:
                kernel.move_new(folder, name, parent, last)
            except FileExistsError:
                # the name holds the digest, so what lies there is this content already, unless its owner edited it
                self._trash.copy_out(folder, name, step.path)
                return Done(step.path, None)
            self._reach("set aside")
            found = os.stat(last, dir_fd=parent, follow_symlinks=False)
            return Done(step.path, self._state(found, step.expected))
        finally:
            os.close(parent)

    def _put_back(self, trash: int, name: str, folder: int, wanted: str, path: TreePath) -> None:
        """User data that was taken by mistake is at its place again, or beside it where that is taken."""
        try:
            kernel.move_new(trash, name, folder, wanted)
        except FileExistsError:
            self._trash.copy_out(trash, name, path)

    def _settled(self, path: TreePath, folder: int, name: str, staged: Staged) -> Done:
        self._touched.add(path.rpartition("/")[0])
        found = look(name, folder)
        same = found is not None and self._mode(found, staged.stat.mode) == staged.stat.mode
        return Done(path, self._state(found, staged.stat) if same else None)

    def _mode(self, found: os.stat_result, given: Mode) -> Mode | None:
        """The mode of what lies there; where none is kept, the one it was given."""
        mode = mode_of(found)
        return mode if self._beneath.keeps_modes or SYMLINK in {mode, given} or mode is None else given

    def _state(self, found: os.stat_result | None, expected: Stat) -> Stat | None:
        """The state of what lies there, if that is what is expected."""
        state = stat_of(found) if found is not None and untouched(found, expected) else None
        return state if state is None or self._beneath.keeps_modes else replace(state, mode=expected.mode)

    @contextlib.contextmanager
    def _parent(self, above: str, *, make: bool) -> Iterator[int]:
        """The folder that the path leads to now. Not one opened for an earlier step: it may be outside by now."""
        if make:
            descriptor, made = self._beneath.made_folder(above)
            self._touched.update(made)
        else:
            descriptor = self._beneath.folder(above)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _prune(self, path: TreePath) -> None:
        """Folders that `path` was the last of are gone: folders are implied by paths."""
        above = path.rpartition("/")[0]
        while above:
            outer, _, name = above.rpartition("/")
            try:
                folder = self._beneath.folder(outer)
            except OSError:
                return
            try:
                os.rmdir(self._beneath.naming.local(name, folder), dir_fd=folder)
                self._beneath.naming.give_back(folder)
            except OSError:
                return
            finally:
                os.close(folder)
            self._touched.discard(above)
            self._touched.add(outer)
            above = outer

    def _sync_folder(self, path: str) -> None:
        try:
            folder = self._beneath.folder(path)
        except OSError:  # moved or removed by its owner meanwhile: nothing of ours is left to sync
            return
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _never(step: Step) -> str | None:
    """Why this step can never be done in any mirror, or None."""
    if not isinstance(step, Place):
        return left_out(step.path) if is_own(step.path) else None
    return left_out(step.path) or (_bad_target(step) if step.version.mode == SYMLINK else None)


def _bad_target(step: Place) -> str | None:
    """Why a symbolic link with this target is not made, or None.

    Its target must stay inside the mirror: `..` only in front, and no more of them than the link's folder is deep. As
    that holds for every link we make, it also holds for paths through several of them.
    """
    target = step.body if isinstance(step.body, bytes) else b""
    if not target or b"\0" in target or len(target) > _LINK_TARGET_BYTES:
        return "its link target is none"
    parts = target.split(b"/")
    up = next((index for index, part in enumerate(parts) if part != b".."), len(parts))
    if target.startswith(b"/") or up > step.path.count("/") or b".." in parts[up:]:
        return "its link target may lie outside the mirror"
    return None


def _as_path(name: str) -> TreePath | None:
    return TreePath(name) if name and name not in {".", ".."} and "/" not in name else None


def _refused(path: TreePath, error: OSError) -> Refused:
    if error.errno in FULL:
        return Refused(path, "disk full")
    if error.errno in _IN_THE_WAY:
        return Refused(path, "a folder of its path is a file or a link here")
    if error.errno == errno.EXDEV:
        return Refused(path, "another file system is mounted in its place")
    return Refused(path, error.strerror or str(error), lasting=error.errno in _NEVER)
