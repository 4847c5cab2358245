"""Secrets of ours found by their form alone, whichever test made them: tokens, and keys that sign or prove.

The journey in tests/journeys/test_secrets.py knows what was secret and looks for it also encoded; here every server,
machine and command of the suite is looked at, at a price that nobody notices.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

FORMS = {
    "a refresh token": (b"cld_rt_", rb"cld_rt_[\w-]+\.[0-9]+\.[\w-]{16,}"),
    "an access token": (b"cld_at_", rb"cld_at_[\w-]{16,}"),
    "a machine token": (b"cld_mt_", rb"cld_mt_[\w-]{16,}"),
    "a signed token": (b"eyJ", rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}"),
    "a private key": (b"PRIVATE KEY-----", rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
}
"""How each is found: the bytes without which it cannot be there, which are quickly looked for, and its whole form."""

MAY_HOLD = (
    *(f"cloud-credentials.{name}" for name in ("json", "history", "stash", "intent", "damaged", "old")),
    *("????????????????.stash", "credential.json", "key.pem", "keys", "owner-signin"),
)
"""Names of the files and folders in which clients keep a login, and servers their keys; `.old` is what an old client
renames over the file."""


def seen_in(content: bytes | str) -> list[str]:
    """Which kinds of secrets `content` holds. Nothing of them is repeated."""
    raw = content.encode() if isinstance(content, str) else content
    return [what for what, (mark, form) in FORMS.items() if mark in raw and re.search(form, raw)]


def leaks(shown: Iterable[tuple[str, bytes | str]]) -> list[str]:
    """What was seen where."""
    return [f"{what} in {where}" for where, content in shown for what in seen_in(content)]


def may_hold(name: str) -> bool:
    """Whether a file or a folder of this name is a place for secrets; so is the draft that is renamed over it."""
    return any(fnmatch(name.removesuffix(".tmp"), one) for one in MAY_HOLD)


def written_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below `folder` that is no place for secrets, with its bytes."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not may_hold(name)]
        for path in (Path(here, name) for name in names if not may_hold(name)):
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield str(path), path.read_bytes()


def shown_by(pid: int) -> Iterator[tuple[str, bytes]]:
    """What a running process shows of itself: its words and its environment."""
    for what in ("cmdline", "environ"):
        with suppress(OSError):
            yield f"/proc/{pid}/{what}", Path(f"/proc/{pid}/{what}").read_bytes()
