"""System calls that Python has no name for: resolve beneath a folder, exchange two names, sync a file system.

Each raises `OSError` like the functions of `os`. `Unsupported` says that this kernel or this file system cannot do
it at all, so that the caller takes its other way.
"""

import ctypes
import errno
import fcntl
import functools
import os
import sys
from typing import Final

_AT_FDCWD: Final = -100
_FICLONE: Final = 0x40049409
_SYS_OPENAT2: Final = 437  # the same number on every architecture of Linux
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_MAC: Final = sys.platform == "darwin"
_NOREPLACE, _EXCHANGE = (4, 2) if _MAC else (1, 2)
_CANNOT: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_RACES: Final = 64

_libc = ctypes.CDLL(None, use_errno=True)
_rename = getattr(_libc, "renameatx_np" if _MAC else "renameat2", None)
if _rename is not None:
    _rename.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_syncfs = getattr(_libc, "syncfs", None)


class Unsupported(OSError):  # noqa: N818 - what the kernel said, not what we did
    """This kernel or this file system has no such operation; nothing was done."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def exchange(folder: int, name: str, other_folder: int, other_name: str) -> None:
    """The two names have changed places, in one step that no other process can see half done."""
    _renamed(folder, name, other_folder, other_name, _EXCHANGE)


def move_new(folder: int, name: str, new_folder: int, new_name: str) -> None:
    """`name` is now `new_name`, which did not exist before.

    Raises:
        FileExistsError: it did; nothing was done.
    """
    try:
        _renamed(folder, name, new_folder, new_name, _NOREPLACE)
    except Unsupported:
        # a second name is also refused where one exists already; a file has both names for a moment
        os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder, follow_symlinks=False)
        os.unlink(name, dir_fd=folder)


def _renamed(folder: int, name: str, new_folder: int, new_name: str, flag: int) -> None:
    if _rename is None:
        raise Unsupported(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _rename(folder, os.fsencode(name), new_folder, os.fsencode(new_name), flag) == 0:
        return
    number = ctypes.get_errno()
    kind = Unsupported if number in _CANNOT else OSError
    raise kind(number, os.strerror(number), name, None, new_name)


def reflink(source: int, to: int) -> bool:
    """The empty file `to` shares the content of `source`; False: this file system cannot do that."""
    try:
        fcntl.ioctl(to, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT | {errno.ENOTTY, errno.EXDEV}:
            return False
        raise
    return True


def sync_file_system(descriptor: int) -> None:
    """Everything written so far to the file system that holds `descriptor` survives power loss."""
    if _syncfs is None:
        os.sync()
    elif _syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def open_beneath(root: int, path: str, flags: int) -> int:
    """A descriptor of `path` below `root`, reached through no symbolic link, not even as its last part.

    Raises:
        OSError: ELOOP where a part is a symbolic link, ENOTDIR where it is a file, ENOENT where it is nothing.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    if not path:
        return os.open(".", flags, dir_fd=root)
    if _has_openat2():
        return _openat2(root, path, flags)
    return _open_by_parts(root, path, flags)


def _openat2(root: int, path: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    raw = os.fsencode(path)
    for _ in range(_RACES):
        opened: int = _libc.syscall(_SYS_OPENAT2, root, raw, ctypes.byref(how), ctypes.sizeof(how))
        if opened >= 0:
            return opened
        number = ctypes.get_errno()
        if number not in {errno.EAGAIN, errno.EINTR}:  # EAGAIN: a rename somewhere, the kernel cannot tell
            break
    raise OSError(number, os.strerror(number), path)


def _open_by_parts(root: int, path: str, flags: int) -> int:
    *folders, last = path.split("/")
    at = os.dup(root)
    try:
        for folder in folders:
            below = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        return os.open(last, flags, dir_fd=at)
    finally:
        os.close(at)


@functools.cache
def _has_openat2() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        os.close(_openat2(_AT_FDCWD, ".", os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:  # an old kernel, or a sandbox that forbids what it does not know
        return False
    return True
