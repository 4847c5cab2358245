"""`relayfile logs`."""

import argparse
import json
import os
import re
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser, whole_number
from relayfile.errors import NotFound

DESCRIPTION = """\
What the daemon of a mirror wrote, oldest first: starts, catch-ups, refused paths, faults and what it did about
them. There is never a token in it. Without DIR: as with `stop`.
With --json one object a line: at, level, logger, message. A line that says only a message, as those of a traceback
do, has null for the rest."""
EXAMPLES = """\
  relayfile logs ./acme
  relayfile logs ./acme -f           go on until Ctrl-C
  relayfile logs ./acme --lines 20
  relayfile logs ./acme --json | jq -r 'select(.level == "WARNING").message'"""

_LOOK_EVERY_S = 0.2
_LINE = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>[A-Z]+) (?P<logger>[\w.]+): (?P<message>.*)")


def arguments(parser: Parser) -> None:
    """`logs [DIR] [-f]`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")
    parser.add_argument("--follow", "-f", action="store_true", help="wait for more, until Ctrl-C")
    parser.add_argument(
        "--lines", "-n", type=whole_number(0), default=1000, metavar="N", help="the last N lines; default 1000"
    )


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
        _show(context, b"".join(deque(log, maxlen=asked.lines)))
        while asked.follow:
            time.sleep(_LOOK_EVERY_S)
            _show(context, _whole_lines(log))
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
    _show(context, log.read())
    log.close()
    return newer


def _whole_lines(log: BinaryIO) -> bytes:
    """The lines that were not read yet; one that is still being written waits for its end."""
    read = log.read()
    rest = len(read) - (read.rfind(b"\n") + 1)
    log.seek(-rest, os.SEEK_CUR)
    return read[: len(read) - rest]


def _show(context: Context, lines: bytes) -> None:
    if not context.output.as_json:
        context.output.raw(lines)
        return
    objects = (json.dumps(_parsed(line), ensure_ascii=False) for line in lines.decode(errors="replace").splitlines())
    context.output.raw("".join(f"{one}\n" for one in objects).encode())


def _parsed(line: str) -> dict[str, str | None]:
    """A line of the log (as `mirror/daemon` forms it) for programs."""
    if found := _LINE.fullmatch(line):
        return found.groupdict()
    return {"at": None, "level": None, "logger": None, "message": line}
