"""`relayfile watch`."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.terminal import printable
from relayfile.credentials.home import Home
from relayfile.errors import Unavailable
from relayfile.mirror import registry
from relayfile.mirror.registry import Record
from relayfile.model import TreePath
from relayfile.wire import control

DESCRIPTION = """\
What a mirror does, one line as each thing has happened: placed and removed (here, for the workspace), uploaded and
deleted_remotely (there, for this directory), merged, conflict, refused (with the reason), and state, which comes
first. It goes on until Ctrl-C, or until the daemon ends (exit 75). Who reads too slowly never holds the mirror up:
after a few thousand waiting events the rest is left out, and a line `lost` says how many.

DIR is the mirror's directory, or a place in it: then only that place is told. Each PATH, from the top of the
workspace, is one more. Without DIR: the mirror of the working directory, or the only one."""
EXAMPLES = """\
  relayfile watch ./acme
  relayfile watch ./acme/docs                    only docs and what lies below it
  relayfile watch ./acme /docs /plan.md --json | jq -r 'select(.event == "placed").path'

With --json one object a line: at, event, path, revision, state, cause {code, message}, count (of lost)."""


def arguments(parser: Parser) -> None:
    """`watch [DIR] [PATH…]`."""
    parser.add_argument("places", nargs="*", metavar="DIR PATH", help="a mirror's directory, then paths in it")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The daemon ended; everything it told until then is on stdout.

    Raises:
        Unavailable: code `mirror_stopped`: it did.
    """
    record, below = _places(context.home, asked.places)
    target = f"{control.WATCH}?{urlencode([('path', path) for path in below])}"
    for line in mirrors.ask(context.home, record, "GET", target, None).lines():
        if line:
            told = line.decode() if context.output.as_json else _text(json.loads(line))
            context.output.raw(f"{told}\n".encode())
    raise Unavailable(
        f"the daemon of {record.directory} ended, and what it tells with it. No file is harmed by that.",
        code="mirror_stopped",
        hint=f"`relayfile status {record.directory}` says why; `relayfile mount {record.directory}` starts it again",
    )


def _places(home: Home, words: Sequence[str]) -> tuple[Record, list[str]]:
    """The mirror that is meant, and the paths in it; none: all of it."""
    record = registry.find(home, words[0]) if words else None
    if record is None:
        return mirrors.the_one(home, None), [TreePath.parse(word) for word in words]
    inside = Path(os.path.realpath(words[0])).relative_to(os.path.realpath(record.directory))
    named = [inside.as_posix()] if inside.parts else []
    return record, [TreePath.parse(word) for word in (*named, *words[1:])]


def _text(told: Mapping[str, Any]) -> str:
    """The event for people."""
    at = datetime.fromisoformat(told["at"]).astimezone().strftime("%H:%M:%S")
    what = f"{at} {told['event']:<16} "
    if told["event"] == "lost":
        return f"{what}{told['count']:,} events: they were not read in time"
    what += told["state"] or " ".join(filter(None, (told["path"], told["revision"])))
    return printable(f"{what} · {told['cause']['message']}" if told["cause"] else what)
