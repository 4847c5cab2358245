"""`relayfile pull`."""

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.errors import RelayfileError, Unavailable
from relayfile.mirror import registry
from relayfile.mirror.registry import Record
from relayfile.wire import control

DESCRIPTION = """\
Sync now and wait: on return the mirror holds everything the workspace held when the command began, and every local
edit made before it began is stored on the server. Without DIR: every mirror of this machine.

Exit codes: 0 current, 4 sign in first, 6 a person must decide (`relayfile status` says what), 75 it could not be
reached now (the mirror itself goes on trying) or is stopped; more rarely 1 DIR is no mirror, 70 stored data is
damaged, 76 the server is another version, 77 not allowed, 78 mend this machine. Of several mirrors: the gravest."""
EXAMPLES = """\
  relayfile pull                     all mirrors, with a progress bar on a terminal
  relayfile pull ./acme && make      build what the others wrote
  relayfile pull --json              [{"directory":…,"exit":0,"message":…,"hint":…}]"""

_GRAVEST_FIRST = (78, 70, 76, 77, 4, 6, 75)


def arguments(parser: Parser) -> None:
    """`pull [DIR…]`."""
    parser.add_argument("directories", nargs="*", metavar="DIR", help="mirrors' directories")


def run(asked: argparse.Namespace, context: Context) -> int:
    """Each mirror has either become current or said why not."""
    ended = []
    for row in each_ended(context, asked.directories, control.PULL):
        hint = row["hint"]
        context.output.say(f"{row['directory']}: {row['message']}" + (f"\n  next: {hint}" if hint else ""))
        ended.append(row)
    context.output.data(ended, "")
    return gravest({row["exit"] for row in ended})


def each_ended(context: Context, directories: Sequence[str], target: str) -> Iterator[dict[str, Any]]:
    """Of each mirror that is meant: which it is, the last line of its daemon, and what to do next, if it failed.

    Raises:
        NotFound: there is no such mirror.
        RelayfileError: the only one failed, as `until_ended`.
    """
    chosen = mirrors.chosen(context.home, directories)
    if not chosen:
        raise mirrors.no_mirror()
    for record in chosen:
        hint = None
        try:
            last = until_ended(context, record, target)
        except RelayfileError as error:
            if len(chosen) == 1:
                raise
            last, hint = {"exit": error.exit_code, "message": error.message}, error.hint
        yield {"directory": record.directory, "mirror": record.id, **last, "hint": hint}


def gravest(codes: set[int]) -> int:
    """The exit code of a command that ended with these for its mirrors."""
    return next((code for code in _GRAVEST_FIRST if code in codes), max(codes))


def until_current(context: Context, record: Record) -> control.Ended:
    """How the pull of one mirror ended. Raises as `until_ended`."""
    last = until_ended(context, record, control.PULL)
    return control.Ended(exit=last["exit"], message=last["message"])


def until_ended(context: Context, record: Record, target: str) -> dict[str, Any]:
    """The last line of what one mirror was asked for; its progress was shown.

    Raises:
        Unavailable: code `mirror_stopped`, or `daemon_silent`: the daemon went away meanwhile.
        Halted: code `root_replaced`: so did its directory.
    """
    answer = mirrors.ask(context.home, record, "POST", target, None)
    with context.output.progress(record.workspace_name) as bar:
        for line in answer.lines():
            told = json.loads(line)
            if "exit" in told:
                answer.close()
                return dict(told)
            bar.at(told["files_done"], told["files_total"], told["bytes_done"], told["bytes_total"])
    if not registry.in_place(record):
        raise mirrors.stopped(context.home, record)
    raise Unavailable(
        f"the daemon of {record.directory} ended while it was asked. Nothing it did is lost.",
        code="daemon_silent",
        hint=f"`relayfile status` shows it, `relayfile mount {record.directory}` starts it again",
    )
