"""`relayfile read` (`cat`)."""

import argparse
import base64

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.client import api
from relayfile.model import TreePath
from relayfile.wire.data import FileRead, mode_shown

DESCRIPTION = """\
Write the content of one path to stdout, byte for byte. Without WORKSPACE: the one chosen with
`relayfile workspace use`."""
EXAMPLES = """\
  relayfile read acme /notes/today.md
  relayfile cat acme /logo.png > logo.png
  relayfile read acme /notes/today.md --json      revision, digest, type and content"""


def arguments(parser: Parser) -> None:
    """`read [WORKSPACE] PATH`."""
    parser.add_argument("workspace", nargs="?", metavar="WORKSPACE", help="a name or an id")
    parser.add_argument("path", metavar="PATH", help="such as /notes/today.md")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The content is on stdout."""
    path = TreePath.parse(asked.path)
    with connect.to_workspace(context, asked.workspace) as there:
        found = there.call(api.read_file(there.id, path))
    if not context.output.as_json:
        context.output.raw(_bytes(found))
        return 0
    fields = {
        "path": found.path,
        "revision": found.revision,
        "digest": found.content_hash,
        "size": found.size,
        "mode": mode_shown(found),
        "contentType": found.content_type,
        "encoding": found.encoding or "utf-8",
        "content": found.content,
        "lastEditedAt": found.last_edited_at,
    }
    context.output.data(fields, "")
    return 0


def _bytes(found: FileRead) -> bytes:
    return base64.b64decode(found.content) if found.encoding == "base64" else found.content.encode()
