"""`relayfile why`."""

import argparse
import json
import os
from pathlib import Path
from urllib.parse import quote

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import Output
from relayfile.cli.terminal import printable
from relayfile.credentials.home import Home
from relayfile.errors import UsageError
from relayfile.mirror import registry
from relayfile.mirror.registry import Record
from relayfile.model import TreePath
from relayfile.wire import control

DESCRIPTION = """\
Everything a mirror knows of one path: the version of the server, the one on this disk and the last that both agreed
on (base); what was refused and why; edits on their way; what it will do next; what it last did, newest first.
PATH is a file in a mirror. A PATH that begins with / and lies in no mirror is one of the workspace, in the mirror of
the working directory or the only one. The mirror must be running."""
EXAMPLES = """\
  relayfile why docs/plan.md               in a mirror's directory
  relayfile why ~/acme/docs/plan.md        from anywhere
  relayfile why /docs/plan.md --json       {"path":…,"base":…,"local":…,"remote":…,"next":…,"decisions":[…]}"""


def arguments(parser: Parser) -> None:
    """`why PATH`."""
    parser.add_argument("path", metavar="PATH", help="a file in a mirror, or a path of its workspace")


def run(asked: argparse.Namespace, context: Context) -> int:
    """What the daemon knows of the path was printed."""
    record, path = _meant(context.home, asked.path)
    form = "json" if context.output.as_json else "text"
    answer = mirrors.ask(context.home, record, "GET", f"{control.WHY}?format={form}&path={quote(path)}").body()
    _print(context.output, record, answer)
    return 0


def _print(output: Output, record: Record, answer: bytes) -> None:
    if output.as_json:
        output.data({"directory": record.directory, "mirror": record.id, **json.loads(answer)}, "")
    else:
        output.data(None, "".join(f"{printable(line)}\n" for line in answer.decode().splitlines()))


def _meant(home: Home, asked: str) -> tuple[Record, TreePath]:
    """Which mirror, and which path of its workspace.

    Raises:
        UsageError: it is the root itself, or no path that a workspace can have.
        NotFound: it lies in no mirror.
    """
    there = Path(os.path.abspath(asked))  # noqa: PTH100 - `..` goes too, and no link is followed
    found = registry.find(home, there.parent)  # the file itself may be a link, which is mirrored as one
    if found is not None:
        inside = Path(os.path.realpath(there.parent)) / there.name
        return found, TreePath.parse(os.path.relpath(inside, os.path.realpath(found.directory)))
    if asked.startswith("/") and registry.find(home, there) is None:
        return mirrors.the_one(home, None), TreePath.parse(asked)
    mirrors.at(home, there)
    raise UsageError(
        f"{asked} is the whole mirror, not a path in it. Nothing was done.",
        code="no_path",
        hint="`relayfile status` shows the mirror; give `why` one of its files",
    )
