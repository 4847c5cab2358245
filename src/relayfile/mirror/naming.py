"""Between the names of a workspace and those of the file system a mirror lies on (`core/naming`).

Everything above the disk, the scanner and the watcher speaks of true paths only. Where the file system takes every
name, which is nearly everywhere, nothing here costs anything. Where it folds names it is asked itself which are one:
of such twins the one that lies there keeps its name, and another that comes gets a mapped one.
"""

import contextlib
import errno
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from relayfile.core import naming
from relayfile.core.naming import Rules
from relayfile.mirror import kernel
from relayfile.model import MAX_SEGMENT_BYTES

_RESERVED: Final = '"*:<>?|' + "".join(map(chr, range(1, 32)))
_HIGHEST: Final = ("\U0010ffff", "\uffff", "\x7f")
_IN_PROBES: Final = {"\U0010ffff": "\U0001f600", "\uffff": "\u2192", "\x7f": ""}
_NOT_TAKEN: Final = frozenset({errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.ENOENT})


class Naming:
    """The names of one file system.

    `elsewhere` are the mapped names that a scan met, by true path. What was listed is remembered for one pass, and
    looked at again where it cannot be so.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.plain = rules == Rules()
        self.elsewhere: dict[str, str] = {}
        self._whole: dict[str, str] = {}
        self._listed: dict[tuple[int, int], frozenset[str]] = {}

    def begin(self) -> None:
        """A pass begins: what others did since the last one is seen."""
        self._listed.clear()

    def local(self, name: str, folder: int) -> str:
        """The name of the segment `name` in `folder`: under which it lies there, or would if it came."""
        if self.plain or not name:
            return name
        if naming.needs(name, self.rules):
            return self._mapped(name)
        if not self.rules.folds:
            return name
        there = self._names_in(folder)
        if name in there:
            return name
        elsewhere = self._mapped(name)
        if elsewhere in there:
            return elsewhere
        if not _lies(name, folder) or name in self._names_in(folder, anew=True):
            return name
        return elsewhere  # a twin has the name

    def meant(self, local: str, *, beside: frozenset[str] = frozenset()) -> str | None:
        """The segment that `local`, which lies beside those others, stands for.

        None: only a list could tell, or another file stands for it already.
        """
        name = naming.meant(local, self.rules)
        if name is None:
            return self._whole.get(local)
        return None if name != local and name in beside else name

    def path_meant(self, local: str) -> str | None:
        """As `meant`, of a path."""
        if self.plain:
            return local
        parts = [self.meant(part) for part in local.split("/")]
        return "/".join(part for part in parts if part is not None) if None not in parts else None

    def note(self, path: str, local: str | None) -> None:
        """The file or folder at `path` is called `local` here, or is not here."""
        if self.plain:
            return
        if local is not None and local != path.rpartition("/")[2]:
            self.elsewhere[path] = local
        elif self.elsewhere:
            gone = [path, *(one for one in self.elsewhere if local is None and one.startswith(f"{path}/"))]
            for one in gone:
                self.elsewhere.pop(one, None)

    def learn(self, names: Iterable[str]) -> None:
        """What these segments were cut to, if they were, will be known."""
        for name in names:
            self._mapped(name)

    def give_back(self, folder: int) -> None:
        """Mapped names in `folder` whose own have become free are these again: of several, the first."""
        if not self.rules.folds:
            return
        for local in sorted(self._names_in(folder, anew=True)):
            name = self.meant(local)
            if name is None or name == local or naming.needs(name, self.rules) or _lies(name, folder):
                continue
            with contextlib.suppress(OSError):  # it went, or a twin came: as it was
                kernel.move_new(folder, local, folder, name)
        self._listed.clear()

    def _mapped(self, name: str) -> str:
        local = naming.mapped(name, self.rules)
        if naming.meant(local, self.rules) is None:
            self._whole[local] = name
        return local

    def _names_in(self, folder: int, *, anew: bool = False) -> frozenset[str]:
        found = os.fstat(folder)
        key = (found.st_dev, found.st_ino)
        if anew or key not in self._listed:
            self._listed[key] = frozenset(os.listdir(folder))
        return self._listed[key]


def probe(folder: int) -> Rules:
    """What the file system that holds `folder` asks of its names, tried out there; nothing of it is left.

    Raises:
        OSError: it cannot be tried now, because the disk is full or worse.
    """
    try:
        most_bytes = min(MAX_SEGMENT_BYTES, os.fpathconf(folder, "PC_NAME_MAX"))
    except OSError:
        most_bytes = MAX_SEGMENT_BYTES
    mine = f"probe-{os.getpid()}"
    rules = Rules(most_bytes=most_bytes, folds=_folds(f"{mine}-e\u0301", folder) or _folds(mine, folder))
    if _keeps(f"aux.{mine}-{_RESERVED}\U0001f600 .", folder) and _keeps(f"{mine}- ", folder):
        return rules
    highest = next(one for one in _HIGHEST if one == "\x7f" or _keeps(f"{mine}-{_IN_PROBES[one]}-", folder))
    return replace(
        rules,
        highest=highest,
        reserved=frozenset(letter for letter in _RESERVED if not _keeps(f"{mine}-{letter}-", folder)),
        ends=_keeps(f"{mine}-.", folder) and _keeps(f"{mine}- ", folder),
        devices=_keeps(f"aux.{mine}", folder),
    )


def _keeps(name: str, folder: int) -> bool:
    """Whether a file of this name can be made, and has exactly this name then."""
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder))
    except OSError as error:
        if error.errno in _NOT_TAKEN:
            return False
        raise
    try:
        return name in os.listdir(folder)
    finally:
        os.unlink(name, dir_fd=folder)


def _folds(name: str, folder: int) -> bool:
    """Whether a file of this name is found under another that differs in case or in normal form only."""
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder))
    except OSError as error:
        if error.errno in _NOT_TAKEN:
            return False
        raise
    try:
        others = {name.upper(), unicodedata.normalize("NFC", name)} - {name}
        return any(_lies(other, folder) for other in others)
    finally:
        os.unlink(name, dir_fd=folder)


def _lies(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
