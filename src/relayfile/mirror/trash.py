"""`.relay/trash`: what the mirror replaced or removed, kept for a while in case somebody still writes to it.

An editor that opened a file before it was replaced goes on writing to the old inode. So what comes here stays for
at least `KEEP_S`, and is looked at again before it is dropped: if it changed since, it was user data and becomes
a conflict copy (R27). `trash/paths` says which path each entry had; it need not survive power loss, because
neither does the editor.
"""

import contextlib
import json
import os
import stat
from collections import deque
from collections.abc import Callable
from typing import Final

from relayfile.core.paths import conflict_copy
from relayfile.errors import UsageError
from relayfile.mirror import kernel
from relayfile.mirror.beneath import Beneath, look, names, stat_of
from relayfile.mirror.stage import content_digest, path_key, state_token
from relayfile.model import TreePath

KEEP_S: Final = 60.0
_PATHS: Final = "paths"
_ATTEMPTS: Final = 100


class Trash:
    """The trash of one root. `keep` and `copy_out` are also how anything at all is taken out of the tree."""

    def __init__(self, beneath: Beneath, host: str, now: Callable[[], float]) -> None:
        self._beneath = beneath
        self._host = host
        self._now = now
        self._count = 0
        self._kept: deque[tuple[float, str, TreePath | None]] = deque(self._found())

    def name(self, found: os.stat_result, path: TreePath) -> str:
        """The name under which `found`, which lies at `path`, may be moved into the trash; its path is noted."""
        self._count += 1
        name = f"{int(self._now())}.{os.getpid()}-{self._count}.{state_token(stat_of(found))}.{path_key(path)}"
        line = json.dumps([name, path]) + "\n"
        descriptor = os.open(
            _PATHS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600, dir_fd=self._beneath.trash
        )
        try:
            with contextlib.suppress(
                OSError
            ):  # full disk: the entry is kept all the same, only its path is forgotten
                os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        return name

    def moved(self, name: str, path: TreePath) -> None:
        """What was moved into the trash under `name` is kept from now on."""
        self._kept.append((self._now() + KEEP_S, name, path))

    def keep(self, folder: int, name: str, found: os.stat_result, path: TreePath) -> None:
        """`name` of `folder`, whose path is or was `path`, lies in the trash."""
        into = self.name(found, path)
        os.rename(name, into, src_dir_fd=folder, dst_dir_fd=self._beneath.trash)
        self.moved(into, path)

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

    def purge(self) -> list[TreePath]:
        """What was kept long enough is gone; the answer are conflict copies made of what changed meanwhile."""
        now = self._now()
        copies: list[TreePath] = []
        trash = self._beneath.trash
        while self._kept and self._kept[0][0] <= now:
            _, name, path = self._kept.popleft()
            found = look(name, trash)
            if found is None:
                continue
            if stat.S_ISDIR(found.st_mode) or state_token(found) == name.split(".")[2]:
                _dropped(trash, name)
            else:
                copies.append(self.copy_out(trash, name, path))
        if not self._kept:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_PATHS, dir_fd=trash)
        return copies

    def _found(self) -> list[tuple[float, str, TreePath | None]]:
        """What an earlier life of the daemon left here."""
        trash = self._beneath.trash
        paths = _noted_paths(trash)
        found = []
        for name in names(trash):
            since, _, rest = name.partition(".")
            if since.isdigit() and rest.count(".") == 2:
                found.append((int(since) + KEEP_S, name, paths.get(name)))
        return sorted(found, key=lambda kept: kept[:2])


def _noted_paths(trash: int) -> dict[str, TreePath]:
    paths: dict[str, TreePath] = {}
    try:
        descriptor = os.open(_PATHS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=trash)
    except OSError:
        return paths
    with open(descriptor, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a descriptor, not a path
        for line in lines:
            with contextlib.suppress(ValueError, UsageError, AttributeError):
                name, path = json.loads(line)
                paths[name] = TreePath.parse(path)
    return paths


def _dropped(trash: int, name: str) -> None:
    with contextlib.suppress(OSError):  # a folder that is not empty stays: only a person may drop it
        if stat.S_ISDIR(os.stat(name, dir_fd=trash, follow_symlinks=False).st_mode):
            os.rmdir(name, dir_fd=trash)
        else:
            os.unlink(name, dir_fd=trash)
