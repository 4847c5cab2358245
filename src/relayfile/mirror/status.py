"""The one public picture of a mirror: as an object for programs, as text for people, and of a mirror that is stopped.

`relayfile status` loads this module for stopped mirrors, so it imports nothing heavy: no asyncio, no HTTP.
"""

import json
import os
from collections.abc import Mapping
from typing import Final, cast

from relayfile import __version__, errors
from relayfile.credentials.home import Home
from relayfile.mirror import registry
from relayfile.mirror.event import Event
from relayfile.mirror.picture import Cause, Picture, Progress
from relayfile.mirror.registry import Record
from relayfile.wire import control
from relayfile.wire.control import Fragment

ROOT_GONE: Final = "root_replaced"
LAST: Final = "last.json"
"""In the mirror's folder: the last fragment its daemon drew, for the time after it."""
_COLOURS: Final = {
    "live": "32",
    "bootstrapping": "36",
    "catching-up": "36",
    "pending": "36",
    "conflict": "33",
    "offline": "33",
    "paused": "33",
    "stopped": "33",
}
_RED: Final = "31"
_WORKING: Final = frozenset({"bootstrapping", "catching-up", "pending"})
_NOT_KEPT_SHOWN: Final = 5
_NAMES_SHOWN: Final = 3


def fragment(
    record: Record,
    picture: Picture,
    login: Mapping[str, object],
    *,
    pid: int | None,
    notices: tuple[str, ...] = (),
) -> Fragment:
    """The mirror as its daemon sees it now."""
    return Fragment(
        mirror=record.id,
        workspace=record.workspace,
        workspace_name=record.workspace_name,
        directory=record.directory,
        api_url=record.api_url,
        state=picture.state,
        cause=_cause(picture.cause),
        paused=picture.paused,
        read_only=record.read_only,
        bandwidth=control.Bandwidth(up=record.up_rate or None, down=record.down_rate or None),
        connection=picture.connection,
        head=picture.head,
        observed=picture.observed,
        applied=picture.applied,
        equal=picture.equal,
        proven_at=control.timestamp(picture.proven_at),
        pending_edits=picture.pending_edits,
        conflicts=picture.conflicts,
        held_deletions=picture.held_deletions,
        not_kept=[control.NotKept(path=path, reason=reason) for path, reason in picture.not_kept],
        not_kept_count=picture.not_kept_count,
        local_names=[control.LocalName(path=path, local_name=local) for path, local in picture.local_names],
        engine_starts=picture.engine_starts,
        cycles=picture.cycles,
        cycles_cancelled=picture.cycles_cancelled,
        mismatches=picture.mismatches,
        mismatched_at=control.timestamp(picture.mismatched_at),
        traffic=control.Traffic(
            fetched=picture.traffic.fetched,
            fetched_bytes=picture.traffic.fetched_bytes,
            reused=picture.traffic.reused,
            damaged=picture.traffic.damaged,
        ),
        last_error=None if picture.last_error is None else picture.last_error.sentence,
        progress=progress(picture.progress),
        notices=list(notices),
        login=login,
        pid=pid,
        version=__version__,
    )


def stopped(home: Home, record: Record, login: Mapping[str, object] | None = None) -> Fragment:
    """The mirror while no daemon keeps it: what its last daemon knew, and nothing claimed to be current."""
    empty = fragment(
        record, Picture(state="stopped", connection="none"), login or {"profile": record.profile}, pid=None
    )
    try:
        known = json.loads((home.mirrors / record.id / LAST).read_text("utf-8"))
        last: dict[str, object] = {name: known.get(name, value) for name, value in empty.items()}
    except (OSError, ValueError, AttributeError):
        last = dict(empty)
    last |= {
        "state": "stopped",
        "cause": _why_stopped(last, record),
        "directory": record.directory,
        "connection": "none",
        "paused": record.paused,
        "read_only": record.read_only,
        "bandwidth": empty["bandwidth"],
        "equal": None,
        "progress": None,
        "notices": [],
        "pid": None,
        "version": __version__,
        "login": empty["login"],
    }
    return cast("Fragment", last)


def workspace_is_gone(home: Home, record: Record) -> bool:
    """Whether the mirror's daemon was told, when it last drew its picture, that its workspace was deleted."""
    try:
        cause = json.loads((home.mirrors / record.id / LAST).read_text("utf-8"))["cause"]
        return cause is not None and cause["code"] == "workspace_deleted"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def ending(raised: BaseException | None) -> control.Cause | None:
    """Why a daemon ends, for `stopped`; None: somebody asked it to."""
    if (error := errors.within(raised)) is None:
        return None
    return control.Cause(code=error.code, message=" · ".join(filter(None, (error.message, error.hint))))


def save_last(home: Home, seen: Fragment) -> None:
    """`stopped` will answer from `seen`. Written often and not synced: it is a convenience, never truth."""
    folder = home.mirrors / seen["mirror"]
    part = folder / f"{LAST}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(seen).encode())
    finally:
        os.close(descriptor)
    part.replace(folder / LAST)


def text(seen: Fragment, *, width: int = 80, colour: bool = False) -> str:
    """The mirror for people, in a few lines; the first says what it is, the second how it stands and why."""
    lines = [_bold(f"{seen['workspace_name']}  {seen['directory']}", colour=colour), f"  {_standing(seen, colour)}"]
    if (cause := seen["cause"]) and cause["code"] != "pending_edits":  # the counts below say that
        lines.append(f"  {cause['message']}")
    if seen["paused"] and seen["state"] != "paused":
        lines.append(f"  paused: nothing is placed and nothing sent until `relayfile resume {seen['directory']}`")
    if seen["read_only"]:
        lines.append("  read-only: local edits stay here and are not sent")
    rates = (("up", seen["bandwidth"]["up"]), ("down", seen["bandwidth"]["down"]))
    if limits := [f"{rate / 1e6:,.2f} MB/s {way}" for way, rate in rates if rate]:
        lines.append(f"  contents are kept to {', '.join(limits)}")
    if (doing := seen["progress"]) and seen["state"] in _WORKING and doing["files_total"] > 1:
        lines.append(f"  {_doing(doing)}")
    if counts := _counts(seen):
        lines.append(f"  {counts}")
    lines += _mismatches(seen)
    lines += [f"  not kept here: {one['path']} ({one['reason']})" for one in seen["not_kept"][:_NOT_KEPT_SHOWN]]
    if (more := seen["not_kept_count"] - min(len(seen["not_kept"]), _NOT_KEPT_SHOWN)) > 0:
        lines.append(f"  not kept here: {more:,} more, see `relayfile status --json`")
    lines += [f"  called {one['local_name']} here: {one['path']}" for one in seen["local_names"][:_NAMES_SHOWN]]
    if (more := len(seen["local_names"]) - _NAMES_SHOWN) > 0:
        lines.append(f"  called otherwise here: {more:,} more, see `relayfile status --json`")
    lines += [f"  {notice}" for notice in seen["notices"]]
    if login := seen["login"].get("text"):
        lines.append(f"  login: {login}")
    return "".join(f"{_cut(line, width, colour=colour)}\n" for line in lines)


def progress(done: Progress) -> control.Progress:
    """How far it is, for programs."""
    return control.Progress(
        files_done=done.files_done,
        files_total=done.files_total,
        bytes_done=done.bytes_done,
        bytes_total=done.bytes_total,
        rate=round(done.rate, 1),
    )


def event(told: Event) -> control.Event:
    """One event, for programs."""
    return control.Event(
        at=control.timestamp(told.at_s),
        event=told.kind,
        path=None if told.path is None else told.path.wire,
        revision=None if told.revision is None else f"rev_{told.revision}",
        state=told.state,
        cause=_cause(told.cause),
        count=told.count,
    )


def _why_stopped(last: Mapping[str, object], record: Record) -> control.Cause:
    mend = f"run `relayfile mount {record.directory}`"
    why = last["cause"] if isinstance(last["cause"], dict) else None
    if registry.in_place(record):
        why = None if why is not None and why.get("code") == ROOT_GONE else why  # it was put back
    elif why is None or why.get("code") != ROOT_GONE:
        return control.Cause(code=ROOT_GONE, message=f"no daemon keeps it: {_root_gone(record)}")
    if last["pid"] is not None:
        return control.Cause(
            code="ended_unexpectedly", message=f"no daemon keeps it: the last one ended without a word · {mend}"
        )
    if why is not None:
        return control.Cause(code=str(why.get("code")), message=f"no daemon keeps it: {why.get('message')}")
    return control.Cause(code="stopped", message=f"no daemon keeps it · {mend}")


def _root_gone(record: Record) -> str:
    return (
        f"{record.directory} is no longer the directory that was mounted: it is gone, or another one lies there; "
        f"nothing was changed on either side · put it back, or `relayfile mount {record.workspace_name} "
        f"{record.directory}` fills it anew; if it was moved, `relayfile mount DIR` goes on at its new place"
    )


def _cause(cause: Cause | None) -> control.Cause | None:
    return None if cause is None else control.Cause(code=cause.code, message=cause.sentence)


def _standing(seen: Fragment, colour: bool) -> str:
    state = seen["state"]
    word = f"\x1b[{_COLOURS.get(state, _RED)}m{state}\x1b[0m" if colour else state
    if seen["equal"] and seen["proven_at"]:
        proven = f"equal to evt_{seen['observed']}, proven {_clock_time(seen['proven_at'])}"
    elif seen["equal"] is False:
        proven = f"not equal to evt_{seen['observed']}"
    elif seen["applied"] < seen["head"]:
        proven = f"at evt_{seen['applied']} of evt_{seen['head']}"
    else:
        proven = f"at evt_{seen['applied']}, not proven equal now"
    if kept_out := seen["not_kept_count"]:
        proven += f" ({kept_out:,} {_plural('path', kept_out)} not kept here)"
    return f"{word} · {proven}"


def _clock_time(moment: str) -> str:
    """The time of day, where this machine is."""
    from datetime import datetime  # noqa: PLC0415 - only a daemon comes here, and it has it already

    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")


def _doing(done: control.Progress) -> str:
    line = f"{done['files_done']:,} of {done['files_total']:,} files"
    if done["bytes_total"]:
        line += f", {done['bytes_done'] / 1e6:,.1f} of {done['bytes_total'] / 1e6:,.1f} MB"
    return line + (f", {done['rate']:,.0f} files/s" if done["rate"] else "")


def _counts(seen: Fragment) -> str:
    counts = [
        (seen["pending_edits"], "edit", "still to be sent"),
        (seen["conflicts"], "conflict", "kept as copies" if seen["conflicts"] != 1 else "kept as a copy"),
        (seen["held_deletions"], "deletion", "held back"),
    ]
    return ", ".join(f"{count} {_plural(noun, count)} {what}" for count, noun, what in counts if count)


def _mismatches(seen: Fragment) -> list[str]:
    if not (count := seen["mismatches"]):
        return []
    times = "once" if count == 1 else f"{count} times"
    return [f"  the digests of both sides differed {times}, last at {seen['mismatched_at']}: please report it"]


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _bold(line: str, *, colour: bool) -> str:
    return f"\x1b[1m{line}\x1b[0m" if colour else line


def _cut(line: str, width: int, *, colour: bool) -> str:
    """A line no longer than the terminal is wide; what tells how to mend things is never cut."""
    if colour or width < 20 or len(line) <= width or "`" in line:
        return line
    return line[: width - 1] + "…"
