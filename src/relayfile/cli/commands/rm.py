"""`relayfile rm`."""

import argparse
import uuid
from collections.abc import Sequence

from relayfile.cli import connect
from relayfile.cli.commands import tree
from relayfile.cli.commands.write import changed
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import plural
from relayfile.client import api
from relayfile.errors import NotFound, RevisionMismatch, UsageError
from relayfile.model import TreePath
from relayfile.wire import data

DESCRIPTION = """\
Delete paths of a workspace. Every mirror then removes them too, except where they were edited meanwhile: an edit
beats a delete. With --recursive each file goes only if it is still at the revision that was listed."""
EXAMPLES = """\
  relayfile rm acme /notes/old.md /notes/older.md
  relayfile rm acme /notes/plan.md --if-match rev_41
  relayfile rm acme /drafts --recursive"""

_AT_ONCE = 200


def arguments(parser: Parser) -> None:
    """`rm WORKSPACE PATH…`."""
    parser.add_argument("workspace", metavar="WORKSPACE", help="a name or an id")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="such as /notes/today.md")
    parser.add_argument("--if-match", metavar="REV", help="only if the (one) path is still at rev_N")
    parser.add_argument("--recursive", "-r", action="store_true", help="folders too, with all below them")
    parser.add_argument("--yes", action="store_true", help="also / itself: everything")


def run(asked: argparse.Namespace, context: Context) -> int:
    """None of the paths is there any more; 1 when some were changed meanwhile, and kept."""
    over = data.if_match(asked.if_match) if asked.if_match is not None else None
    if over is not None and (len(asked.paths) > 1 or asked.recursive):
        raise UsageError("--if-match goes with one path. Nothing was deleted.", code="bad_arguments")
    with connect.to_workspace(context, asked.workspace) as there:
        if asked.recursive:
            return _below(there, asked.paths, context, everything=asked.yes)
        paths = [TreePath.parse(text) for text in asked.paths]
        gone = []
        for path in paths:
            try:
                position = there.call(api.delete_file(there.id, path, over=over))
            except RevisionMismatch as error:
                raise changed(path, error) from error
            context.output.say(f"{path.wire}: deleted (rev_{position})")
            gone.append({"path": path.wire, "revision": f"rev_{position}"})
    context.output.data(gone, "")
    return 0


def _below(there: connect.Workspace, wanted: Sequence[str], context: Context, *, everything: bool) -> int:
    files: dict[str, data.TreeEntry] = {}
    for text in wanted:
        folder = "/" if text in {"", "/"} else TreePath.parse(text.rstrip("/")).wire
        if folder == "/" and not everything:
            raise UsageError(
                f"this would delete every file of {there.name!r}. Nothing was deleted.",
                code="unsure",
                hint="add --yes",
            )
        files.update(_listed(there, folder))
    kept = []
    paths = sorted(files)
    for begin in range(0, len(paths), _AT_ONCE):
        part = paths[begin : begin + _AT_ONCE]
        # The same request may be sent twice after a broken connection: the key makes the second harmless.
        answer = there.call(api.bulk(there.id, [_removal(files[path]) for path in part]))
        kept += [error.path for error in answer.errors if error.code != "not_found"]
    for path in kept:
        context.output.say(f"{path}: changed meanwhile, kept")
    context.output.say(f"{plural(len(paths) - len(kept), 'file')} deleted")
    context.output.data([{"path": path} for path in paths if path not in set(kept)], "")
    return 1 if kept else 0


def _listed(there: connect.Workspace, folder: str) -> dict[str, data.TreeEntry]:
    found = {entry.path: entry for entry in tree.entries(there, folder) if entry.type != "dir"}
    if not found and folder != "/":
        found_one = there.call(api.read_file(there.id, TreePath.parse(folder)))  # raises NotFound
        entry = data.TreeEntry(path=found_one.path, type="file", revision=found_one.revision)
        found = {entry.path: entry}
    if not found:
        raise NotFound(f"{there.name!r} has no files. Nothing was deleted.", code="not_found")
    return found


def _removal(entry: data.TreeEntry) -> data.BulkFile:
    over = data.if_match(entry.revision) or 0
    return api.bulk_file(TreePath.parse(entry.path), None, data.mode_shown(entry), over=over, key=uuid.uuid4().hex)
