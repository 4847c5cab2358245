"""`relayfile logs`."""

import argparse
import os
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.errors import NotFound

DESCRIPTION = """\
What the daemon of a mirror wrote, oldest first: starts, catch-ups, refused paths, faults and what it did about
them. There is never a token in it. Without DIR: as with `stop`."""
EXAMPLES = """\
  relayfile logs ./acme
  relayfile logs ./acme -f           go on until Ctrl-C
  relayfile logs ./acme --lines 20"""

_LOOK_EVERY_S = 0.2


def arguments(parser: Parser) -> None:
    """`logs [DIR] [-f]`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")
    parser.add_argument("--follow", "-f", action="store_true", help="wait for more, until Ctrl-C")
    parser.add_argument("--lines", "-n", type=int, default=1000, metavar="N", help="the last N lines; default 1000")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The end of the log is on stdout."""
    record = mirrors.the_one(context.home, asked.directory)
    path = context.home.mirror(record.id) / "log"
    try:
        log: BinaryIO = path.open("rb")
    except FileNotFoundError:
        raise NotFound(
            f"the mirror {record.directory} has written no log yet.",
            code="no_log",
            hint=f"`relayfile mount {record.directory}` starts it",
        ) from None
    try:
        context.output.raw(b"".join(deque(log, maxlen=max(0, asked.lines))))
        while asked.follow:
            time.sleep(_LOOK_EVERY_S)
            context.output.raw(log.read())
            log = _after_rotation(log, path, context)
    finally:
        log.close()
    return 0


def _after_rotation(log: BinaryIO, path: Path, context: Context) -> BinaryIO:
    """The file that is written now; where that is another one, what was still added to the old one is shown first."""
    try:
        if path.stat().st_ino == os.fstat(log.fileno()).st_ino:
            return log
        newer = path.open("rb")
    except FileNotFoundError:  # between the two renames of a rotation
        return log
    context.output.raw(log.read())
    log.close()
    return newer
