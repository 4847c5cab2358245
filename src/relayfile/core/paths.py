"""Names: which paths a mirror leaves out, which some file system takes for one, how a conflict copy is called."""

import datetime as dt
import re
import unicodedata
from typing import Final

from relayfile.model import MAX_PATH_BYTES, MAX_SEGMENT_BYTES, Digest, TreePath

_PRIVATE: Final = ".relay"
_CLOSING: Final = ".relayfile-secrets"
"""The name of `credentials/home`, which is above this layer; a test holds the two together."""
_COPY_NAME: Final = re.compile(
    r"(?P<stem>.+) \(conflict [^ ()]+ \d{4}-\d\d-\d\d [0-9a-f]{8}\)(?P<ending>\.[^.]*)?", re.DOTALL
)
_VERSION_CONTROL: Final = frozenset({".git", ".hg", ".svn", ".bzr", "_darcs", ".jj"})
_INSTALLED: Final = "node_modules"
_UNSEEN: Final = dict.fromkeys(
    letter
    for first, last in (
        *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
        *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
    )
    for letter in range(first, last + 1)
)
"""Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties, which `unicodedata` does not have."""
_EVERYWHERE: Final = frozenset({*_VERSION_CONTROL, _INSTALLED})


def left_out(path: str) -> str | None:
    """Why `path` is mirrored neither way (R44), or None. The scanner, the watcher and the planner all ask here."""
    if is_own(path):
        return f"mirrors keep {_PRIVATE} and {_CLOSING} for themselves"
    segments = path.split("/")
    if not _EVERYWHERE.isdisjoint(segments):
        name = next(segment for segment in segments if segment in _EVERYWHERE)
        return f"{name} is not mirrored"
    if _is_temporary(segments[-1]):
        return "an editor's temporary file"
    return None


def left_out_folder(path: str) -> bool:
    """Whether nothing below the folder `path` is ever mirrored, so that nobody need look into it."""
    name = path.rpartition("/")[2]
    return name in _EVERYWHERE or is_own(name)


def is_own(path: str) -> bool:
    """Whether `path` means something to mirrors: it is, or lies in, a `.relay`, or it closes its folder to them.

    At any depth, and in whatever letters, because a file system may fold them: what others write must not be able to
    change what a mirror does.
    """
    folded = path.casefold() if path.isascii() else fold_key(path)
    return _PRIVATE in folded and not {_PRIVATE, _CLOSING}.isdisjoint(folded.split("/"))


def _is_temporary(name: str) -> bool:
    """Whether an editor writes `name` only to rename or drop it (3-protocol 4.7)."""
    return (
        name.endswith((".swp", ".swx", ".tmp", "~"))
        or name.startswith((".#", ".tmp-"))
        or (name.startswith("#") and name.endswith("#") and len(name) > 1)
        or name == "4913"  # vim asks with this name whether it may write in a folder
    )


def fold_key(path: str) -> str:
    """What two paths have in common that some folding file system cannot tell apart (R25).

    Such file systems also skip letters that are not to be seen, so that `.re\u200clay` would be a `.relay`.
    """
    seen = path if path.isascii() else path.translate(_UNSEEN)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).casefold())


def conflict_copy(path: TreePath, host: str, at_s: float, digest: Digest) -> TreePath:
    """The name beside `path` for local content that lost its place (R31): `stem (conflict HOST DATE DIGEST8).ext`.

    The same content on the same day gets the same name, so a repeat after a crash makes no second copy. `at_s` is
    unix seconds; the date is in UTC.
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:  # no dot, or only a leading one
        stem, dot, extension = name, "", ""
    day = dt.datetime.fromtimestamp(at_s, dt.UTC).date().isoformat()
    mark = f" (conflict {_plain(host)} {day} {digest.hex()[:8]})"
    room = min(MAX_SEGMENT_BYTES, MAX_PATH_BYTES - len((folder + slash).encode())) - len(mark.encode())
    if len((stem + dot + extension).encode()) > room:
        extension = _cut(extension, 40)
        stem = _cut(stem, room - len((dot + extension).encode()))
    return TreePath.parse(f"{folder}{slash}{stem}{mark}{dot}{extension}")


def before_conflict(copy: TreePath) -> TreePath:
    """The path whose content `copy`, a conflict copy, holds, as far as its name tells; other paths are themselves."""
    folder, slash, name = copy.rpartition("/")
    found = _COPY_NAME.fullmatch(name)
    return TreePath(f"{folder}{slash}{found['stem']}{found['ending'] or ''}") if found else copy


def _plain(host: str) -> str:
    """`host` as part of a file name: nothing that a path or a shell would trip over, and not long."""
    kept = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in host.partition(".")[0])
    return _cut(kept, 60) or "host"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[: max(0, most_bytes)].decode(errors="ignore")
