"""`relayfile conflicts`."""

import argparse
from typing import Any

from relayfile.cli import conflicts, mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import moment, plural, size
from relayfile.errors import Halted, Unavailable
from relayfile.wire.control import Conflict, Content

DESCRIPTION = """\
The conflicts that are open: edits that were set aside because another version took the path first. Theirs is at PATH,
mine in the copy beside it; both are on the server. A conflict is settled by `relayfile resolve`, or by deleting the
copy. Each machine lists the copies it made. Without DIR: every mirror of this machine.

Exit codes: 0 whether there are some or none, 75 the daemon of a mirror does not run, 6 its directory is gone."""
EXAMPLES = """\
  relayfile conflicts
  relayfile diff plan.md                        what they have and I had
  relayfile resolve plan.md --keep mine         or theirs, or both
  relayfile conflicts --json | jq -r '.[].copy'"""

_GRAVEST_FIRST = (6, 75)


def arguments(parser: Parser) -> None:
    """`conflicts [DIR…]`."""
    parser.add_argument("directories", nargs="*", metavar="DIR", help="mirrors' directories")


def run(asked: argparse.Namespace, context: Context) -> int:
    """They are on stdout."""
    chosen = mirrors.chosen(context.home, asked.directories)
    if not chosen:
        raise mirrors.no_mirror()
    fields: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    codes: set[int] = set()
    for record in chosen:
        try:
            found = conflicts.of(context.home, record)
        except (Halted, Unavailable) as error:
            if len(chosen) == 1:
                raise
            context.output.say(f"{error.message}\n  next: {error.hint}")
            codes.add(error.exit_code)
            continue
        fields += [{"directory": record.directory, "mirror": record.id, **one} for one in found]
        rows += [_row(record.directory, one) for one in found]
    context.output.table(fields, ("PATH", "REVISION", "THEIRS", "MINE", "WHEN", "COPY"), rows)
    if rows:
        context.output.say(
            f"{plural(len(rows), 'conflict')}. next: `relayfile diff PATH` shows both sides, "
            "`relayfile resolve PATH --keep mine|theirs|both` settles one"
        )
    elif not codes:
        context.output.say("no conflict")
    return next((code for code in _GRAVEST_FIRST if code in codes), 0)


def _row(directory: str, one: Conflict) -> list[str]:
    from datetime import datetime

    made_at = datetime.fromisoformat(one["made_at"]).timestamp() if one["made_at"] else None
    sides = [_side(one["theirs"]), _side(one["mine"])]
    return [f"{directory}{one['path']}", one["revision"] or "", *sides, moment(made_at), _name(one["copy"])]


def _side(content: Content | None) -> str:
    if content is None:
        return "absent"
    return f"{size(content['size'])} {(content['digest'] or 'being written')[:8]}"


def _name(path: str) -> str:
    return path.rpartition("/")[2]
