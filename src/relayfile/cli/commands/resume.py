"""`relayfile resume`."""

import argparse
import json

from relayfile.cli import mirrors
from relayfile.cli.commands import pause
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.wire import control

DESCRIPTION = """\
Let a paused mirror go on: what the workspace got meanwhile is placed, the local edits are sent.

With an option: decide what a halted mirror may not decide alone. When unusually many files disappear at once on one
side, the mirror holds the deletions back and goes on with everything else; `relayfile status` shows how many wait.
Without DIR: the mirror of the working directory, or the only one."""
EXAMPLES = """\
  relayfile resume ./acme                        after `relayfile pause`
  relayfile resume ./acme --accept-deletes       they were meant: delete on the other side too
  relayfile resume ./acme --restore              they were not: bring the files back"""


def arguments(parser: Parser) -> None:
    """`resume [DIR] [--accept-deletes | --restore]`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--accept-deletes", action="store_true", help="carry the held deletions out")
    decision.add_argument("--restore", action="store_true", help="undo them: the files come back")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The mirror goes on, or its daemon knows the decision and acts on it."""
    record = mirrors.the_one(context.home, asked.directory)
    if not (asked.accept_deletes or asked.restore):
        pause.remember(context, record, paused=False)
        return 0
    if not mirrors.fragment(context.home, record)["held_deletions"]:
        context.output.say(f"{record.directory}: no deletion is held back. Nothing was changed")
        context.output.data({"directory": record.directory, "mirror": record.id, "deletes": None}, "")
        return 0
    decision = "accept" if asked.accept_deletes else "restore"
    answer = mirrors.ask(context.home, record, "POST", f"{control.RESUME}?deletes={decision}")
    told = json.loads(answer.body())
    context.output.say(
        f"{record.directory}: the held deletions are {'carried out' if asked.accept_deletes else 'undone'} "
        "(`relayfile status` shows when it is done)"
    )
    context.output.data({"directory": record.directory, "mirror": record.id, **told}, "")
    return 0
