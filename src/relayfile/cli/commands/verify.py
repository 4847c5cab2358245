"""`relayfile verify`."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from relayfile.cli.commands.pull import each_ended, gravest
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.terminal import printable
from relayfile.wire import control

DESCRIPTION = """\
Recompute whether a mirror is equal to its workspace, in place of believing it: bring it current as `pull` does, sum
up its own rows anew, and compare with the digest that the server has for the same position. --deep also reads every
file again, whatever its times say, and so finds bytes that changed without an edit (a failing disk). Such a file is
listed and never sent; --mend takes the server's version back and keeps the other bytes as a conflict copy beside it.
Without DIR: every mirror of this machine.

Exit codes: 0 proven equal, 6 something differs (listed) or a person must decide, 4 and 75 as with `pull`."""
EXAMPLES = """\
  relayfile verify                         all mirrors, by their rows and the server's digest
  relayfile verify ./acme --deep           every byte on the disk
  relayfile verify ./acme --deep --mend    and the server's content in place of what rotted
  relayfile verify --json                  [{"directory":…,"exit":0,"equal_to":42,"differences":[],…}]"""


def arguments(parser: Parser) -> None:
    """`verify [DIR…]`."""
    parser.add_argument("directories", nargs="*", metavar="DIR", help="mirrors' directories")
    parser.add_argument("--deep", action="store_true", help="read every file again, whatever its times say")
    parser.add_argument(
        "--mend", action="store_true", help="take the server's version back where a file changed without an edit"
    )


def run(asked: argparse.Namespace, context: Context) -> int:
    """Each mirror was proven equal, or what differs is on stdout, or it said why it cannot tell."""
    target = f"{control.VERIFY}?deep={int(asked.deep)}&mend={int(asked.mend)}"
    ended = list(each_ended(context, asked.directories, target))
    context.output.data(ended, "".join(f"{printable(line)}\n" for row in ended for line in _told(row)))
    return gravest({row["exit"] for row in ended})


def _told(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row['directory']}: {row['message']}"
    if row["hint"]:
        yield f"  next: {row['hint']}"
    differences = row.get("differences", ())
    for one in differences:
        yield f"  {one['path']}: {one['why']}"
        yield f"    here:   {control.line(one['disk'])}"
        yield f"    server: {control.line(one['server'])}"
    if (more := row.get("differences_count", 0) - len(differences)) > 0:
        yield f"  and {more:,} more"
