"""`relayfile resolve`."""

import argparse
import json
from urllib.parse import quote

from relayfile.cli import conflicts, mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import plural
from relayfile.errors import NotFound, Unavailable, UsageError
from relayfile.mirror.registry import Record
from relayfile.wire import control
from relayfile.wire.control import Conflict

DESCRIPTION = """\
Settle a conflict. PATH names it by the path or by the copy, as a file here or from the top of the workspace.
  mine     the copy's content and mode go to the path, as an edit like any other, and the copy goes
  theirs   the copy goes
  both     the copy stays, and is an ordinary file
A merge made by hand at the path is kept with `theirs`. What is replaced or removed can be had back
(`relayfile restore`), and its earlier versions are on the server. An edit that the server does not have is never
replaced.

Exit codes: 0 settled, 1 PATH is no conflict (it names those there are), 2 say which of several copies is meant,
75 repeat it: it was being written, or the disk refused, or no daemon runs. Repeating it is harmless."""
EXAMPLES = """\
  relayfile resolve plan.md --keep mine
  relayfile resolve "plan (conflict host 2025-01-31 0123abcd).md" --keep both
  relayfile resolve --all --keep theirs          every conflict of the mirror of the working directory
  relayfile resolve --all ./acme --keep mine"""

_SAID = {
    "mine": "mine is at the path, the copy is gone",
    "theirs": "theirs stays at the path, the copy is gone",
    "both": "both stay, the copy is an ordinary file",
}
_NEXT = {
    "unsent": "`relayfile pull` sends it; then repeat the command",
    "paused": "`relayfile resume` lets it go on; then repeat the command",
    "no_path": "rename the copy, or `--keep both`",
}
_AGAIN = "repeat the command; `relayfile conflicts` shows what is there"
_DONE_WITHIN_S = 60.0
_NOT_ALL = 75


def arguments(parser: Parser) -> None:
    """`resolve PATH --keep mine|theirs|both`, or `resolve --all [DIR]`."""
    parser.add_argument("path", nargs="?", metavar="PATH", help="the path of a conflict, or its copy")
    parser.add_argument("--keep", choices=("mine", "theirs", "both"), required=True, help="which side stays")
    parser.add_argument("--all", action="store_true", help="every conflict of a mirror: of PATH, or the only one")


def run(asked: argparse.Namespace, context: Context) -> int:
    """Each conflict that was named is settled, or it was said why not."""
    if asked.all:
        record = mirrors.the_one(context.home, asked.path)
        found = conflicts.of(context.home, record)
    elif asked.path is None:
        raise UsageError(
            "name a path or a copy, or use --all. Nothing was changed.", hint="see `relayfile conflicts`"
        )
    else:
        record, found = conflicts.named(context.home, asked.path)
    if asked.keep == "mine":
        _only_one_each(found)
    told = []
    for one in found:
        answer = _settled(context, record, one, asked.keep)
        told.append({"directory": record.directory, "path": one["path"], "copy": one["copy"], **answer})
        if answer["code"] is None:
            context.output.say(f"{one['path']}: {_SAID[asked.keep]}")
        elif len(found) == 1:
            raise _failure(record, one, answer)
        else:
            error = _failure(record, one, answer)
            context.output.say(f"{error.message}\n  next: {error.hint}")
    if not found:
        context.output.say(f"{record.directory}: no conflict. Nothing was changed")
    left = sum(1 for one in told if one["code"] is not None)
    if left:
        context.output.say(f"{plural(left, 'conflict')} of {len(found)} left open")
    context.output.data(told, "")
    return _NOT_ALL if left else 0


def _settled(context: Context, record: Record, one: Conflict, keep: str) -> control.Resolved:
    target = f"{control.RESOLVE}?copy={quote(one['copy'], safe='/')}&keep={keep}"
    answer = mirrors.ask(context.home, record, "POST", target, _DONE_WITHIN_S)
    told: control.Resolved = json.loads(answer.body())
    return told


def _failure(record: Record, one: Conflict, answer: control.Resolved) -> NotFound | Unavailable:
    message = f"{one['path']} in {record.directory}: {answer['message']}. Nothing was lost."
    if answer["code"] == "no_conflict":
        return NotFound(message, code="no_conflict", hint="`relayfile conflicts` lists those there are")
    return Unavailable(message, code=answer["code"], hint=_NEXT.get(answer["code"] or "", _AGAIN))


def _only_one_each(found: list[Conflict]) -> None:
    """No path has two copies that would both go to it.

    Raises:
        UsageError: one has; names them.
    """
    copies: dict[str, list[str]] = {}
    for one in found:
        copies.setdefault(one["path"], []).append(one["copy"])
    for path, several in copies.items():
        if len(several) > 1:
            raise UsageError(
                f"{path} has {len(several)} copies of mine: say which to keep. Nothing was changed.",
                code="which_copy",
                hint=f"name one of: {', '.join(several)}",
            )
