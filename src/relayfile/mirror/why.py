"""All that a mirror knows of one path: its three versions, what was refused and done, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from relayfile.core import paths
from relayfile.core.merge import Trees, ancestors
from relayfile.core.outbox import Entry
from relayfile.core.why import Circumstances, Hindrance, next_step
from relayfile.mirror.guard import Guard
from relayfile.mirror.past import Decision, Did
from relayfile.mirror.refusals import Refusal
from relayfile.mirror.state import State
from relayfile.mirror.trees import Node
from relayfile.model import Stat, TreePath, Version
from relayfile.wire import control

MOST_DECISIONS: Final = 20
_DONE: Final[Mapping[Did, str]] = {
    "placed": "took rev_{revision} from the server",
    "removed": "removed it here, as the workspace had at rev_{revision}",
    "set_aside": "set the file here aside as {detail}",
    "adopted": "both sides held the same, as of rev_{revision}",
    "made_way": "the file here made way for a folder of that name",
    "merged": "the edits of both sides were merged here, and go to the server",
    "moved_meanwhile": "did nothing: the file here had changed just then, and was looked at again",
    "refused_here": "could not do it here: {detail}",
    "sent": "sent the edit, which became rev_{revision}",
    "deletion_sent": "sent the deletion, which became rev_{revision}",
    "overtaken": "the server had a newer version than the edit was made over; planned again",
    "refused_there": "the server did not take it: {detail}",
    "withheld": "{detail}",
    "rotted": "found other bytes than were written here: {detail}",
    "mended": "wants the version of the server back",
    "outlived": "rev_{revision} is not in the backup that was put back: what lies here is an edit again",
}


@dataclass(frozen=True, slots=True)
class Account:
    """The path as the mirror knows it. `deleted_at` is the revision of a path that the workspace has no more."""

    trees: Trees
    stat: Stat | None
    deleted_at: int | None
    refused: list[Refusal]
    sent: Entry | None
    placing: Version | None
    past: list[tuple[float, Decision]]
    next: str
    below: int = field(default=0)
    local_name: str = ""


def account(
    state: State, guard: Guard, path: TreePath, left: Mapping[str, str], impossible: Mapping[str, str]
) -> Account:
    """What the rows say of the path. `left` and `impossible`: what cannot be looked at here, or be had anywhere."""
    node = next(iter(state.trees.nodes([path])), None) or Node(Trees(path, None, None, None), None, 0)
    refused = state.refusals.of(path)
    sent = next((entry for entry in state.intents.sent() if entry.path == path), None)
    hindrances = {one.side: Hindrance(one.reason, one.lasting) for one in refused}
    unread = node.trees.local is not None and not node.trees.local.digest
    known = next((name for name in (path, *ancestors(path)) if name in left), None)
    about = Circumstances(
        left_out=paths.left_out(path) or impossible.get(path) or (known and _named(known, path, left[known])),
        sent=sent is not None,
        unread=unread,
        down=hindrances.get("down"),
        up=hindrances.get("up"),
        held=frozenset(guard.halts),
        open=state.stream().open,
    )
    return Account(
        node.trees,
        node.stat,
        node.revision if node.trees.remote is None and node.revision else None,
        refused,
        sent,
        state.intents.placing().get(path),
        state.past.of(path, MOST_DECISIONS),
        next_step(node.trees, about),
        len(state.trees.below(path)),
    )


def fields(told: Account) -> control.Account:
    """The account for programs."""
    trees = told.trees
    return control.Account(
        path=f"/{trees.path}",
        local_name=None if told.local_name in {"", trees.path} else f"/{told.local_name}",
        base=control.version(trees.base),
        local=control.version(trees.local),
        remote=control.version(trees.remote),
        modified_at=None if told.stat is None else control.timestamp(told.stat.mtime_ns / 1e9),
        deleted_revision=told.deleted_at,
        refused=[
            control.Refusal(side=one.side, code=one.code, reason=one.reason, lasting=one.lasting)
            for one in told.refused
        ],
        sent=None
        if told.sent is None
        else control.Sent(over=told.sent.over, version=control.version(told.sent.version)),
        placing=control.version(told.placing),
        decisions=[
            control.Decision(
                at=control.timestamp(at_s) or "", did=one.did, revision=one.revision, message=sentence(one)
            )
            for at_s, one in told.past
        ],
        files_below=told.below,
        next=told.next,
    )


def text(told: control.Account) -> str:
    """The account for people."""
    remote = control.line(told["remote"])
    if told["deleted_revision"] is not None:
        remote = f"deleted at rev_{told['deleted_revision']}"
    local = control.line(told["local"]) + (f"  modified {told['modified_at']}" if told["modified_at"] else "")
    lines = [told["path"], f"  server: {remote}", f"  here:   {local}", f"  base:   {control.line(told['base'])}"]
    if told["local_name"] is not None:
        lines.append(
            f"  called {told['local_name']} here: this file system cannot hold the name, or has a twin of it"
        )
    if told["files_below"]:
        lines.append(f"  a folder here, with {told['files_below']:,} files below it: ask for one of them")
    for one in told["refused"]:
        where = "here" if one["side"] == "down" else "by the server"
        lines.append(f"  refused {where}: {one['reason']} ({'for good' if one['lasting'] else 'for now'})")
    if told["sent"] is not None:
        lines.append(f"  sent and not answered yet: {control.line(told['sent']['version'], 'a deletion')}")
    if told["placing"] is not None:
        lines.append(f"  being placed: {control.line(told['placing'])}")
    lines.append(f"  next:   {told['next']}")
    lines += [f"  {one['at']}  {one['message']}" for one in told["decisions"]]
    return "".join(f"{line}\n" for line in lines)


def sentence(done: Decision) -> str:
    """What was done, for people."""
    return _DONE[done.did].format(revision=done.revision, detail=done.detail)


def _named(known: str, path: TreePath, reason: str) -> str:
    return reason if known == path else f"{known}: {reason}"
