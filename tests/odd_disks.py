"""File systems with other rules for names than Linux has, simulated below `os`: no kernel here can mount one.

Every call that names something by the descriptor of its folder is answered as such a file system would: names that
differ in case or normal form only are one, and keep the spelling they came with; what cannot be a name is refused.
Renaming and exchanging go through the same rules. What watches (inotify) sees the real names.
"""

import contextlib
import errno
import functools
import os
import unicodedata
from dataclasses import dataclass
from unittest.mock import patch

from relayfile.mirror import kernel


@dataclass(frozen=True)
class Odd:
    """The rules of one such file system. `strips`: dots and spaces at the end are dropped without a word; without
    `modes` every file is executable, whatever one says.
    """

    folds: bool = False
    reserved: str = ""
    most_bytes: int = 255
    strips: bool = False
    devices: bool = True
    highest: str = "\U0010ffff"
    modes: bool = True

    def key(self, name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold()) if self.folds else name

    def spelled(self, name, folder, *, new=False):
        """What `name` is called in `folder`."""
        if not isinstance(name, str) or folder is None or "/" in name or name in {".", ".."}:
            return name
        if len(os.fsencode(name)) > self.most_bytes:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if self.strips:
            name = name.rstrip(". ") or name
        if self.folds:
            there = _listdir(folder)
            if name not in there:
                name = next((one for one in there if self.key(one) == self.key(name)), name)
        odd = not set(name).isdisjoint(self.reserved) or any(letter > self.highest for letter in name)
        if odd or (not self.devices and name.casefold().partition(".")[0] in {"aux", "con", "nul", "prn"}):
            if new:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return name


VFAT = Odd(
    folds=True, reserved='"*:<>?|' + "".join(map(chr, range(1, 32))), strips=True, devices=False, highest="\uffff"
)
FOLDING = Odd(folds=True)
SHORT = Odd(most_bytes=143)


class _Calls:
    """The system calls as this file system answers them, by the real ones."""

    def __init__(self, rules: Odd) -> None:
        self.rules = rules

    def one(self, real, *, new=False):
        """Of one name in a folder."""

        @functools.wraps(real)
        def call(name, *args, dir_fd=None, **more):
            if dir_fd is None:
                return real(name, *args, **more)
            spelled = self.rules.spelled(os.fsdecode(name), dir_fd, new=new)
            return real(os.fsencode(spelled) if isinstance(name, bytes) else spelled, *args, dir_fd=dir_fd, **more)

        return call

    def two(self, real):
        """Of a name that becomes another."""

        @functools.wraps(real)
        def call(name, other, *, src_dir_fd=None, dst_dir_fd=None, **more):
            name, other = self.rules.spelled(name, src_dir_fd), self.rules.spelled(other, dst_dir_fd, new=True)
            return real(name, other, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **more)

        return call

    def open(self, name, flags, *args, **more):
        new = bool(flags & os.O_CREAT)
        descriptor = self.one(_REAL["open"], new=new)(name, flags, *args, **more)
        if new and not self.rules.modes:
            _REAL["fchmod"](descriptor, 0o755)
        return descriptor

    def fchmod(self, descriptor, mode):
        if self.rules.modes:
            _REAL["fchmod"](descriptor, mode)

    def symlink(self, target, name, target_is_directory=False, *, dir_fd=None):
        spelled = os.fsencode(self.rules.spelled(os.fsdecode(name), dir_fd, new=True))
        return _REAL["symlink"](target, spelled, target_is_directory, dir_fd=dir_fd)

    def renamed(self, folder, name, other_folder, other_name, flag):
        name = self.rules.spelled(name, folder)
        return _RENAMED(folder, name, other_folder, self.rules.spelled(other_name, other_folder, new=True), flag)


_LOOKED_UP = ("stat", "rmdir", "unlink", "readlink", "utime")
_REAL = {name: getattr(os, name) for name in (*_LOOKED_UP, "open", "mkdir", "rename", "link", "symlink", "fchmod")}
_RENAMED = kernel._renamed
_listdir = os.listdir


@contextlib.contextmanager
def lying_on(rules: Odd):
    """While this is open, what is reached by descriptor lies on a file system with these rules."""
    calls = _Calls(rules)
    patches = {name: calls.one(_REAL[name]) for name in _LOOKED_UP}
    patches |= {name: calls.two(_REAL[name]) for name in ("rename", "link")}
    patches |= {"open": calls.open, "mkdir": calls.one(_REAL["mkdir"], new=True), "symlink": calls.symlink}
    patches |= {"fchmod": calls.fchmod, "fpathconf": lambda *_: rules.most_bytes}
    with patch.multiple(os, **patches), patch.object(kernel, "_renamed", calls.renamed):
        yield
