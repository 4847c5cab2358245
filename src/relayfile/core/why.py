"""What will happen to a path next, and what keeps it from happening, in words. Pure: `merge.decide` decides."""

from dataclasses import dataclass

from relayfile.core import merge
from relayfile.core.merge import Decided, Trees


@dataclass(frozen=True, slots=True)
class Hindrance:
    """A direction of the path was refused for this reason; unless `lasting`, it is tried again by itself."""

    reason: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What beside the three versions bears on a path.

    `left_out`: why nothing here is ever looked at. `sent`: an edit of it is on its way, unanswered. `unread`:
    something lies there, with content that is not known. `down`, `up`: what was refused of each direction. `held`:
    the side ("local", "remote") whose deletions wait for a person. `open`: the workspace is still being observed.
    """

    left_out: str | None = None
    sent: bool = False
    unread: bool = False
    down: Hindrance | None = None
    up: Hindrance | None = None
    held: frozenset[str] = frozenset()
    open: bool = False


def next_step(trees: Trees, about: Circumstances) -> str:
    """What will be done about the path next, or why nothing will."""
    if about.left_out is not None:
        return f"it is left out: {about.left_out}"
    if about.unread:
        return "look at the file here again: it was being written"
    if about.sent:
        return "wait for the server's answer to the edit that was sent"
    action = merge.decide(trees.base, trees.local, trees.remote)
    words = _planned(action, trees)
    upwards = isinstance(action, merge.Upload | merge.RemoveRemote)
    refused = about.up if upwards else about.down
    if isinstance(action, merge.Keep):
        return words
    if refused is not None:
        if refused.lasting:
            return f"it is left out: {refused.reason}"
        return f"{words}; refused for now, and tried again by itself: {refused.reason}"
    removal = {merge.RemoveLocal: "local", merge.RemoveRemote: "remote"}.get(type(action))
    if removal in about.held:
        return f"{words}; held back until a person decides: `relayfile resume`"
    return f"{words}, once the whole workspace has been observed" if upwards and about.open else words


def _planned(action: Decided, trees: Trees) -> str:
    match action:
        case merge.Keep():
            nowhere = trees.local is None
            return f"nothing to do: {'neither side has it' if nowhere else 'both sides are equal'}"
        case merge.Adopt():
            return "note that both sides hold the same"
        case merge.Download(version):
            return f"take rev_{version.revision} from the server"
        case merge.RemoveLocal():
            return "remove the file here: the workspace has it no more"
        case merge.Upload(over):
            return f"send it to the server, over rev_{over}" if over else "send it to the server as a new file"
        case merge.RemoveRemote(over):
            return f"delete it on the server, over rev_{over}: it was deleted here"
        case merge.KeepBoth(theirs):
            there = f"rev_{theirs.revision}"
            return f"both were edited: merge by lines, or take {there} and set the file here aside as a conflict copy"
