"""`relayfile diff`."""

import argparse
import os
import stat
from pathlib import Path

from relayfile.cli import conflicts
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.terminal import printable
from relayfile.core import difference

DESCRIPTION = """\
What differs between the two sides of a conflict, as a unified diff: `-` is theirs, which lies at the path, `+` is
mine, which lies in the copy. PATH names either, as a file here or from the top of the workspace (/notes/plan.md).
What is no text, or longer than 4 MiB, is told by its sizes; a symbolic link by its target.

Exit codes: 0 both sides are equal, 1 they differ, or PATH is no conflict (stdout is empty then, and stderr says
so), 75 no daemon runs."""
EXAMPLES = """\
  relayfile diff plan.md
  relayfile diff "plan (conflict host 2025-01-31 0123abcd).md"
  relayfile diff plan.md --json          [{"path":…,"copy":…,"equal":false,"diff":…}]"""

_DIFFER = 1


def arguments(parser: Parser) -> None:
    """`diff PATH`."""
    parser.add_argument("path", metavar="PATH", help="the path of a conflict, or its copy")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The difference is on stdout, for each copy of the path."""
    record, found = conflicts.named(context.home, asked.path)
    root = Path(record.directory)
    told = []
    for one in found:
        theirs, mine = _side(root, one["path"]), _side(root, one["copy"])
        said = _difference(theirs, mine, printable(one["path"][1:]), printable(one["copy"][1:]))
        told.append({"path": one["path"], "copy": one["copy"], "equal": not said, "diff": said})
    context.output.data(told, "".join(str(one["diff"]) for one in told))
    return 0 if all(one["equal"] for one in told) else _DIFFER


def _difference(theirs: tuple[bytes, str] | None, mine: tuple[bytes, str] | None, path: str, copy: str) -> str:
    old, old_mode = theirs or (b"", "")
    new, new_mode = mine or (b"", "")
    names = (f"a/{path}" if theirs else "/dev/null", f"b/{copy}" if mine else "/dev/null")
    said = difference.unified(old, new, *names)
    if old_mode == new_mode:
        return said
    return f"mode {old_mode or 'absent'} of {path}, {new_mode or 'absent'} of {copy}\n{said}"


def _side(root: Path, path: str) -> tuple[bytes, str] | None:
    """What lies there now, and its mode; a link as a line that names its target. None: nothing that could differ."""
    place = root / path[1:]
    try:
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            return b"symbolic link to " + os.fsencode(place.readlink()) + b"\n", "120000"
        if not stat.S_ISREG(found.st_mode):
            return None
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - descriptor
            return file.read(), "755" if found.st_mode & 0o111 else "644"
    except FileNotFoundError:
        return None
