"""`relayfile wait`."""

import argparse
import re
from urllib.parse import urlencode

from relayfile.cli import mirrors
from relayfile.cli.commands import pull
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.errors import UsageError
from relayfile.model import TreePath
from relayfile.wire import control

DESCRIPTION = """\
Wait until a mirror holds on its disk everything up to a position of the log, or one path at a revision or later: so
one program waits for what another has written. `write --json` says the revision that it made; rev_N is made at evt_N.
It returns as soon as it is so, at once where it is so already. PATH is named from the top of the workspace.
Without DIR: the mirror of the working directory, or the only one.

Exit codes: 0 it is here, 1 the path is not there (deleted since, or never written), 4 sign in first, 6 this mirror
does not keep the path, or a person must decide, 75 not within the timeout, or the mirror is stopped."""
EXAMPLES = """\
  relayfile wait --until evt_5120 ./acme
  relayfile wait --until /plan.md@rev_5120 --timeout 30s && make
  relayfile wait --until evt_5120 --json         {"directory":…,"mirror":…,"until":…,"exit":0,"message":…}"""

_EVENT = re.compile(r"evt_(\d{1,18})", re.ASCII)
_REVISION = re.compile(r"(.+)@rev_(\d{1,18})", re.ASCII | re.DOTALL)


def arguments(parser: Parser) -> None:
    """`wait --until WHAT [DIR] [--timeout TIME]`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")
    parser.add_argument("--until", required=True, metavar="WHAT", help="evt_N, or PATH@rev_N")
    parser.add_argument("--timeout", metavar="TIME", help="at most so long: 500ms, 30s, 10m; default a day")


def run(asked: argparse.Namespace, context: Context) -> int:
    """What was waited for is on the disk, or it was said why not."""
    words = _wanted(asked.until)
    if asked.timeout is not None:
        from relayfile.server.config import duration_s

        words["deadline_s"] = f"{duration_s(asked.timeout):f}"
    record = mirrors.the_one(context.home, asked.directory)
    ended = pull.until_ended(context, record, f"{control.WAIT}?{urlencode(words)}")
    context.output.say(f"{record.directory}: {ended['message']}")
    context.output.data({"directory": record.directory, "mirror": record.id, "until": asked.until, **ended}, "")
    return int(ended["exit"])


def _wanted(text: str) -> dict[str, str]:
    if found := _EVENT.fullmatch(text):
        return {"position": found[1]}
    if found := _REVISION.fullmatch(text):
        return {"path": TreePath.parse(found[1]), "position": found[2]}
    raise UsageError(
        f"--until {text!r} is neither evt_N nor PATH@rev_N. Nothing was waited for.",
        hint="such as evt_5120, or /plan.md@rev_5120",
    )
