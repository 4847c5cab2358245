"""`relayfile restore`."""

import argparse
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import moment, plural, size
from relayfile.errors import NotFound, RelayfileError, Unavailable, UsageError
from relayfile.mirror.registry import Record
from relayfile.wire import control

DESCRIPTION = """\
What a mirror took off this disk because the workspace replaced or deleted it is kept for seven days (see `relayfile
mount --keep-trash`). Without PATH, or with a mirror's directory: list it, oldest first. With PATH, a file here or a
path from the top of the workspace: bring it back, as an edit like any other, which is sent.
  a file     the content that was taken last, or the one that --at or --id names
  a folder   every file below it that the workspace deleted, where nothing lies now; with --at every file as it was
             then, also in place of what is there now
Nothing is overwritten: what lies at PATH now goes into the trash itself, and only if the server has it; `--id` or
`--at` brings it back again. Repeating a command is harmless. TIME is a moment (2025-01-31T09:00:00Z, or in local time
2025-01-31T09:00) or how long ago (30m, 2h, 3d).

Exit codes: 0 it is there, 1 nothing is kept by that name, 2 correct the command, 75 an edit lies there that is not
sent yet, or the disk refused, or no daemon runs; it says which."""
EXAMPLES = """\
  relayfile restore                          what is kept of the mirror of the working directory
  relayfile restore plan.md                  as it was before it was replaced or deleted
  relayfile restore plan.md --to old-plan.md
  relayfile restore docs --since 1h          a folder that somebody deleted an hour ago
  relayfile restore --all --at 2025-01-31T09:00
                                             everything that changed since, as it was then"""

_NEXT = {
    "unsent": "`relayfile pull` sends it; or `--to NEWPATH`",
    "paused": "`relayfile resume` lets it go on; then repeat the command",
    "there": "name another with `--to`",
}
_AGAIN = "repeat the command"
_LISTED_WITHIN_S = 60.0
_PORTION_WITHIN_S = 300.0
_SHOWN = 8


def arguments(parser: Parser) -> None:
    """`restore [PATH]`."""
    parser.add_argument("path", nargs="?", metavar="PATH", help="what is to come back; or a mirror's directory")
    parser.add_argument("--list", action="store_true", help="only list what is kept, of PATH or below it")
    parser.add_argument("--all", action="store_true", help="of everything: PATH is a mirror's directory, or left out")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--at", metavar="TIME", help="what lay there at that moment")
    which.add_argument("--id", metavar="ID", help="the content that the list names so")
    parser.add_argument("--since", metavar="TIME", help="only what was taken since then")
    parser.add_argument("--to", metavar="NEWPATH", help="bring it to another path, where nothing lies")


def run(asked: argparse.Namespace, context: Context) -> int:
    """It is listed, or back."""
    record, path = _meant(asked, context)
    words = {} if path is None else {"path": path}
    now_s = time.time()
    for name, text in (("at_s", asked.at), ("since_s", asked.since)):
        if text is not None:
            words[name] = repr(unix_s(text, now_s))
    if asked.id is not None:
        words["id"] = asked.id
    if asked.list or not (path or asked.all or asked.id):
        return _list(context, record, words)
    if asked.to is not None:
        other, words["to"] = mirrors.meant(context.home, asked.to)
        if other.id != record.id:
            raise UsageError(f"{asked.to} lies in another mirror than what is kept. Nothing was changed.")
    return _restore(context, record, words, path or asked.id or record.directory)


def _meant(asked: argparse.Namespace, context: Context) -> tuple[Record, str | None]:
    """The mirror; and the path in it, unless all of it is meant."""
    if asked.path is None or mirrors.rooted_at(context.home, asked.path):
        return mirrors.the_one(context.home, asked.path), None
    if asked.all:
        return mirrors.at(context.home, asked.path), None
    record, path = mirrors.meant(context.home, asked.path.rstrip("/") or "/")
    return record, path if path != "/" else None


def unix_s(text: str, now_s: float) -> float:
    """The moment that `text` means: RFC 3339, local time where it names no zone; or how long before now.

    Raises:
        UsageError: it is neither.
    """
    from relayfile.server.config import duration_s

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return now_s - duration_s(text)
    except UsageError:
        example = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise UsageError(
            f"{text!r} is no moment. Nothing was changed.", hint=f"such as {example}, or 2h for two hours ago"
        ) from None


def _list(context: Context, record: Record, words: dict[str, str]) -> int:
    answer = mirrors.ask(context.home, record, "GET", f"{control.TRASH}?{urlencode(words)}", _LISTED_WITHIN_S)
    found: list[control.Kept] = json.loads(answer.body())
    fields = [{"directory": record.directory, "mirror": record.id, **one} for one in found]
    context.output.table(fields, ("WHEN", "WHY", "SIZE", "ID", "PATH"), [_row(one) for one in found])
    if found:
        context.output.say(f"{plural(len(found), 'content')} kept. next: `relayfile restore PATH` brings one back")
    else:
        context.output.say(f"{record.directory}: nothing is kept{' of that' if words else ''}")
    return 0


def _row(one: control.Kept) -> list[str]:
    taken_s = datetime.fromisoformat(one["taken_at"]).timestamp() if one["taken_at"] else None
    why = f"{one['why'].replace('_', ' ')}{' by ' + one['by'] if one['by'] else ''}"
    return [moment(taken_s), why, size(one["size"]), one["id"], one["path"] or f"?/{one['name']}"]


def _restore(context: Context, record: Record, words: dict[str, str], named: str) -> int:
    target = f"{control.RESTORE}?{urlencode(words)}"
    answer = mirrors.ask(context.home, record, "POST", target, _PORTION_WITHIN_S)
    *lines, last = [json.loads(line) for line in answer.lines()]
    ended: control.Ended = last
    told: list[control.Restored] = lines
    if not told and ended["exit"] == 0:
        raise _none(context, record, words, named)
    if not told:
        kind = UsageError if ended["exit"] == UsageError("").exit_code else Unavailable
        raise kind(ended["message"], hint="`--to NEWPATH`" if kind is UsageError else _AGAIN)
    fields: list[dict[str, Any]] = [{"directory": record.directory, **one} for one in told]
    left = [one for one in told if one["code"] is not None]
    if left and len(told) == 1:
        raise _failure(record, told[0])
    for one in left:
        context.output.say(f"{one['path']}: {one['message']}; it was left")
    back = len(told) - len(left)
    context.output.say(
        f"{told[0]['path']} is back" if len(told) == 1 else f"{plural(back, 'file')} of {len(told)} back"
    )
    context.output.data(fields, "")
    return ended["exit"]


def _none(context: Context, record: Record, words: dict[str, str], named: str) -> NotFound:
    answer = mirrors.ask(context.home, record, "GET", control.TRASH, _LISTED_WITHIN_S)
    kept = dict.fromkeys(one["path"] or one["name"] for one in reversed(json.loads(answer.body())))
    shown = ", ".join([*kept][:_SHOWN]) + (", …" if len(kept) > _SHOWN else "")
    limits = " of that time" if words.keys() & {"at_s", "since_s"} else ""
    return NotFound(
        f"nothing{limits} is kept of {named} in {record.directory}. Nothing was changed.",
        code="not_kept",
        hint=f"`relayfile restore` lists what is: {shown}" if kept else "nothing at all is kept now",
    )


def _failure(record: Record, one: control.Restored) -> RelayfileError:
    message = f"{one['path']} in {record.directory}: {one['message']}. Nothing was changed there."
    if one["code"] == "there":
        return UsageError(message, code="there", hint=_NEXT["there"])
    return Unavailable(message, code=one["code"] or "refused", hint=_NEXT.get(one["code"] or "", _AGAIN))
