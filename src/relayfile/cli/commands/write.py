"""`relayfile write` (`put`)."""

import argparse
import sys
import uuid
from pathlib import Path

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import size
from relayfile.client import api
from relayfile.errors import RevisionMismatch, UsageError
from relayfile.model import EXECUTABLE, Mode, TreePath
from relayfile.wire import data

DESCRIPTION = """\
Store content at one path: that of FILE, or of stdin. When it returns 0 the server has it, durably. With --if-match
it is written only over that revision; otherwise over whatever is there."""
EXAMPLES = """\
  date | relayfile write acme /notes/now.txt
  relayfile put acme /bin/tool ./tool             keeps its execute bit
  relayfile write acme /notes/plan.md plan.md --if-match rev_41
  relayfile write acme /new.txt --if-match 0 < new.txt
                                                  only if nothing is there yet"""


def arguments(parser: Parser) -> None:
    """`write WORKSPACE PATH [FILE]`."""
    parser.add_argument("workspace", metavar="WORKSPACE", help="a name or an id")
    parser.add_argument("path", metavar="PATH", help="such as /notes/today.md")
    parser.add_argument("file", nargs="?", metavar="FILE", help="default, and -: stdin")
    parser.add_argument("--if-match", metavar="REV", help="rev_N, or 0: only if the path is absent")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The server holds the content; its revision was said."""
    path = TreePath.parse(asked.path)
    over = data.if_match(asked.if_match) if asked.if_match is not None else None
    body, mode = _content(asked.file)
    with connect.to_workspace(context, asked.workspace) as there:
        key = uuid.uuid4().hex
        try:
            revision = there.call(api.write_file(there.id, path, body, over=over, key=key, mode=mode))
        except RevisionMismatch as error:
            raise changed(path, error) from error
    context.output.say(f"{path.wire}: {size(len(body))} stored as rev_{revision}")
    context.output.data({"path": path.wire, "revision": f"rev_{revision}", "size": len(body)}, "")
    return 0


def changed(path: TreePath, error: RevisionMismatch) -> RevisionMismatch:
    """The refusal of a precondition, as a person needs it told."""
    now = f"is at rev_{error.current} now" if error.current else "is not there (any more)"
    told = RevisionMismatch(
        f"{path.wire} {now}, not at the revision you named. Nothing was changed.", current=error.current
    )
    told.hint = (
        f"`relayfile read WORKSPACE {path.wire}` shows what is there; then repeat with --if-match rev_{error.current}"
    )
    return told


def _content(file: str | None) -> tuple[bytes, Mode | None]:
    """What to store; a mode only where an executable file says so, else the path keeps its own."""
    if file is None or file == "-":
        return sys.stdin.buffer.read(), None
    path = Path(file)
    if path.is_dir():
        raise UsageError(
            f"{file} is a directory. Nothing was written.",
            code="is_a_directory",
            hint="`relayfile seed WORKSPACE DIR`",
        )
    if not path.exists():
        raise UsageError(
            f"there is no file {file}. Nothing was sent.",
            code="no_such_file",
            hint="name a file that exists, or leave it out to store what comes on stdin",
        )
    return path.read_bytes(), EXECUTABLE if path.stat().st_mode & 0o111 else None
