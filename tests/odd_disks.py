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

from relayfile.mirror import kernel


@dataclass(frozen=True)
class Odd:
    """The rules of one such file system. `strips`: dots and spaces at the end are dropped without a word."""

    folds: bool = False
    reserved: str = ""
    most_bytes: int = 255
    strips: bool = False
    devices: bool = True
    highest: str = "\U0010ffff"

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
_listdir = os.listdir


@contextlib.contextmanager
def lying_on(rules: Odd):
    """While this is open, what is reached by descriptor lies on a file system with these rules."""
    before = {name: getattr(os, name) for name in ("open", "stat", "mkdir", "rmdir", "unlink", "readlink", "utime")}
    before |= {name: getattr(os, name) for name in ("rename", "link", "symlink", "fpathconf")}
    moves = {name: getattr(kernel, name) for name in ("exchange", "_renamed")}

    def named(real, *, new):
        @functools.wraps(real)
        def call(name, *args, dir_fd=None, **more):
            if dir_fd is None:
                return real(name, *args, **more)
            made = new or (real is before["open"] and args and args[0] & os.O_CREAT)
            raw = isinstance(name, bytes)
            spelled = rules.spelled(os.fsdecode(name) if raw else name, dir_fd, new=bool(made))
            return real(os.fsencode(spelled) if raw else spelled, *args, dir_fd=dir_fd, **more)

        return call

    def two(real):
        @functools.wraps(real)
        def call(name, other, *, src_dir_fd=None, dst_dir_fd=None, **more):
            return real(
                rules.spelled(name, src_dir_fd),
                rules.spelled(other, dst_dir_fd, new=True),
                src_dir_fd=src_dir_fd,
                dst_dir_fd=dst_dir_fd,
                **more,
            )

        return call

    def symlink(target, name, target_is_directory=False, *, dir_fd=None):
        spelled = os.fsencode(rules.spelled(os.fsdecode(name), dir_fd, new=True))
        return before["symlink"](target, spelled, target_is_directory, dir_fd=dir_fd)

    def moved(folder, name, other_folder, other_name, flag):
        name, other_name = rules.spelled(name, folder), rules.spelled(other_name, other_folder, new=True)
        return moves["_renamed"](folder, name, other_folder, other_name, flag)

    try:
        for name in ("open", "stat", "rmdir", "unlink", "readlink", "utime"):
            setattr(os, name, named(before[name], new=False))
        os.mkdir = named(before["mkdir"], new=True)
        os.rename, os.link, os.symlink = two(before["rename"]), two(before["link"]), symlink
        os.fpathconf = lambda *_: rules.most_bytes
        kernel._renamed = moved
        yield
    finally:
        for name, real in before.items():
            setattr(os, name, real)
        kernel._renamed = moves["_renamed"]
