"""`relayfile tree`."""

import argparse
import itertools
from collections.abc import Iterator

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser, whole_number
from relayfile.cli.output import size
from relayfile.cli.terminal import printable
from relayfile.client import api
from relayfile.errors import NotFound
from relayfile.wire.data import TreeEntry, mode_shown

DESCRIPTION = """\
List the paths of a workspace, in order; it follows pages, so a listing is always whole. Folders end with a slash.
Without WORKSPACE: the one chosen with `relayfile workspace use`. Exits 1 when nothing lies at PATH or below it; a
workspace without files is no failure."""
EXAMPLES = """\
  relayfile tree acme
  relayfile tree acme /notes --depth 1
  relayfile tree acme --long                 mode, size, revision, path
  relayfile tree acme --json | jq -r '.[] | select(.size > 1000000).path'"""

_DEEPEST = 10_000


def arguments(parser: Parser) -> None:
    """`tree [WORKSPACE] [PATH]`."""
    parser.add_argument("workspace", nargs="?", metavar="WORKSPACE", help="a name or an id")
    parser.add_argument("path", nargs="?", metavar="PATH", help="only what lies below it; default /")
    parser.add_argument(
        "--depth", type=whole_number(1), default=_DEEPEST, metavar="N", help="at most N levels below PATH"
    )
    parser.add_argument("--long", "-l", action="store_true", help="mode, size and revision beside each path")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The listing is on stdout."""
    workspace, path = asked.workspace, asked.path or "/"
    if workspace is not None and workspace.startswith("/") and asked.path is None:
        workspace, path = None, workspace
    with connect.to_workspace(context, workspace) as there:
        found = _something(entries(there, path, asked.depth), there, path)
        if context.output.as_json:
            context.output.data([as_fields(entry) for entry in found], "")
            return 0
        for entry in found:
            print(_line(entry, long=asked.long))
    return 0


def entries(there: connect.Workspace, path: str, depth: int = _DEEPEST) -> Iterator[TreeEntry]:
    """Every file and folder below `path`, page after page."""
    cursor = None
    while True:
        page = there.call(api.tree_page(there.id, path, depth=depth, cursor=cursor))
        yield from page.entries
        cursor = page.next_cursor
        if not cursor:
            return


def _something(found: Iterator[TreeEntry], there: connect.Workspace, path: str) -> Iterator[TreeEntry]:
    """What was found below `path`.

    Raises:
        NotFound: nothing, and `path` is not the whole workspace.
    """
    first = next(found, None)
    if first is not None:
        return itertools.chain([first], found)
    if path.strip("/"):
        raise NotFound(
            f"nothing lies below {path} in {there.name!r}.",
            hint=f"`relayfile tree {there.name}` lists what is there, `relayfile read` shows a file",
        )
    return found


def as_fields(entry: TreeEntry) -> dict[str, object]:
    """One entry for programs."""
    if entry.type == "dir":
        return {"path": entry.path, "type": "dir"}
    return {
        "path": entry.path,
        "type": "file",
        "revision": entry.revision,
        "size": entry.size,
        "digest": entry.content_hash,
        "mode": mode_shown(entry),
        "updatedAt": entry.updated_at,
    }


def _line(entry: TreeEntry, *, long: bool) -> str:
    shown = printable(entry.path) + ("/" if entry.type == "dir" else "")
    if not long:
        return shown
    if entry.type == "dir":
        return f"{'dir':>6} {'':>9} {'':>12}  {shown}"
    return f"{mode_shown(entry):>6} {size(entry.size):>9} {entry.revision:>12}  {shown}"
