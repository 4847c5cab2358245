"""What travels on a mirror's control socket: HTTP/1 over a unix socket that only its owner may open.

    GET  /status?format=text|json&width=N&color=0|1   this mirror's fragment, as text or as one JSON object
    GET  /health                                      {"ok": true, "pid": N, "mirror": ID}
    POST /pull                                        NDJSON: Progress lines, then one Ended line
    POST /verify?deep=0|1&mend=0|1                    NDJSON: Progress lines, then one Verdict or Ended line
    GET  /why?path=PATH&format=text|json              the Account of one path of the workspace
    POST /wait?position=N[&path=PATH]&deadline_s=S    as /pull: everything up to evt_N, or PATH at rev_N or later
    GET  /watch[?path=PATH…]                          NDJSON: Event lines, and empty ones while nothing happens
    POST /stop                                        {"stopping": true}; the process ends soon after
    POST /pause                                       {"paused": true}; nothing is placed or sent from then on
    POST /resume                                      {"paused": false}; it goes on
    POST /resume?deletes=accept|restore               {"deletes": …}; what the delete brake holds is decided (R30)
    GET  /conflicts                                   JSON array of Conflict, oldest first
    POST /resolve?copy=PATH&keep=mine|theirs|both     Resolved; what a person decided about that conflict copy
    GET  /trash?path=PATH&since_s=S&…                 JSON array of Kept, oldest first
    POST /restore?path=PATH&at_s=S&id=ID&to=PATH…     NDJSON: a Restored line for each path, then one Ended line
    POST /readmit                                     {"readmitted": true}; a refused credential may be had anew (R10)

Field names are stable: scripts read them (R35). A time is RFC 3339 in UTC, an absent one is null.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from relayfile import model

_DIGEST_SHOWN: Final = 12
HEALTH: Final = "/health"
STATUS: Final = "/status"
PULL: Final = "/pull"
WHY: Final = "/why"
VERIFY: Final = "/verify"
WAIT: Final = "/wait"
WATCH: Final = "/watch"
STOP: Final = "/stop"
PAUSE: Final = "/pause"
RESUME: Final = "/resume"
CONFLICTS: Final = "/conflicts"
RESOLVE: Final = "/resolve"
TRASH: Final = "/trash"
RESTORE: Final = "/restore"
READMIT: Final = "/readmit"


def timestamp(at_s: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC, to the millisecond."""
    if at_s is None:
        return None
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_s))}.{int(at_s % 1 * 1000):03d}Z"


class Cause(TypedDict):
    """Why the state is what it is: one code and one sentence."""

    code: str
    message: str


class Progress(TypedDict):
    """How far a bootstrap, a catch-up or a pull has come. `rate` is files a second."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    rate: float


class Ended(TypedDict):
    """The last line of a pull or a wait: the exit code of the command that asked, and one sentence."""

    exit: int
    message: str


class Content(TypedDict):
    """What lies at a path: its size, mode, and digest (hex; null while it is being written)."""

    size: int
    digest: str | None
    mode: str


class Conflict(TypedDict):
    """One edit that was set aside: `mine` lies at `copy`, `theirs` took `path` with `revision` (null: not known)."""

    path: str
    copy: str
    made_at: str | None
    revision: str | None
    mine: Content
    theirs: Content | None


class Resolved(TypedDict):
    """What came of a decision. `code` is null when it is resolved, else one word for why not; `message` says it."""

    code: str | None
    message: str


class Kept(TypedDict):
    """Content in the trash. `path` is null where only the end of it, `name`, is known; `revision` is the one under
    which the server has it, `by` the one that took its place; `why` is a word of `core.trash.Why`.
    """

    id: str
    path: str | None
    name: str
    taken_at: str | None
    why: str
    revision: str | None
    by: str | None
    digest: str | None
    size: int
    mode: str


class Restored(TypedDict):
    """What came of one content that was wanted back at `path`; as Resolved."""

    path: str
    id: str
    code: str | None
    message: str


class Event(TypedDict):
    """A line of a watch. `path` and `revision` of a change; `state` of a new state; `count` of events left out."""

    at: str | None
    event: str
    path: str | None
    revision: str | None
    state: str | None
    cause: Cause | None
    count: int | None


class NotKept(TypedDict):
    """A path of the workspace that this mirror leaves out, and why (R19)."""

    path: str
    reason: str


class LocalName(TypedDict):
    """A path whose last name cannot be had on the file system of this mirror, and what it is called there."""

    path: str
    local_name: str


class Version(TypedDict):
    """One version of a path. The file on the disk has no revision; one whose content is not known has no digest."""

    revision: int | None
    digest: str | None
    size: int
    mode: str


def version(known: model.Version | None) -> Version | None:
    """A version of the mirror's trees, as it travels."""
    if known is None:
        return None
    digest = known.digest.hex() if known.digest else None
    return Version(revision=known.revision or None, digest=digest, size=known.size, mode=known.mode)


def line(known: Version | None, nothing: str = "nothing") -> str:
    """A version for people."""
    if known is None:
        return nothing
    revision = f"rev_{known['revision']}  " if known["revision"] else ""
    digest = known["digest"][:_DIGEST_SHOWN] if known["digest"] else "content not known"
    return f"{revision}{digest}  {known['size']:,} bytes  {known['mode']}"


class Difference(TypedDict):
    """A path that does not hold the same on the disk and on the server; null: nothing there, or nothing readable."""

    path: str
    why: str
    disk: Version | None
    server: Version | None


class Verdict(Ended):
    """The last line of a verification. `equal_to` is a position, and null unless everything is equal; `files_read` is
    null unless every file was read again; `sum_mended`: the sum that the mirror keeps was wrong.
    """

    equal_to: int | None
    files_read: int | None
    bytes_read: int
    mended: int
    sum_mended: bool
    differences: Sequence[Difference]
    differences_count: int


class Refusal(TypedDict):
    """A direction of a path, `down` or `up`, that cannot be done: never, if `lasting`, or for a while."""

    side: str
    code: str
    reason: str
    lasting: bool


class Sent(TypedDict):
    """An edit on its way over revision `over`; `version` null deletes."""

    over: int
    version: Version | None


class Decision(TypedDict):
    """What was done about a path: one word for programs, one sentence for people."""

    at: str
    did: str
    revision: int | None
    message: str


class Account(TypedDict):
    """All that a mirror knows of one path; `relayfile why --json` prints it, and its decisions newest first."""

    path: str
    local_name: str | None
    base: Version | None
    local: Version | None
    remote: Version | None
    modified_at: str | None
    deleted_revision: int | None
    refused: Sequence[Refusal]
    sent: Sent | None
    placing: Version | None
    decisions: Sequence[Decision]
    files_below: int
    next: str


class Traffic(TypedDict):
    """As `picture.Traffic`."""

    fetched: int
    fetched_bytes: int
    reused: int
    damaged: int


class Bandwidth(TypedDict):
    """The most bytes of contents a second in each direction; null: no limit."""

    up: int | None
    down: int | None


class Fragment(TypedDict):
    """One mirror in `status --json`. `login` is the sign-in behind it, in the words of `core.session.as_fields`."""

    mirror: str
    workspace: str
    workspace_name: str
    directory: str
    api_url: str
    state: str
    cause: Cause | None
    paused: bool
    read_only: bool
    bandwidth: Bandwidth
    connection: str
    head: int
    observed: int
    applied: int
    equal: bool | None
    proven_at: str | None
    pending_edits: int
    conflicts: int
    held_deletions: int
    not_kept: Sequence[NotKept]
    not_kept_count: int
    local_names: Sequence[LocalName]
    engine_starts: int
    cycles: int
    cycles_cancelled: int
    mismatches: int
    mismatched_at: str | None
    traffic: Traffic
    last_error: str | None
    progress: Progress | None
    notices: Sequence[str]
    login: Mapping[str, object]
    pid: int | None
    version: str
