"""`POST fs/merge` (3-protocol B 1.12): two edits of one base become one, or every place where they clash is told.

v1 trusts a base only while a short memory holds its hash. The log holds every revision, so here each base can be
checked, and a retried request is answered from its idempotency key.
"""

import asyncio
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from relayfile.core import lines
from relayfile.errors import RelayfileError, Unavailable, UsageError
from relayfile.model import SYMLINK, Digest, TreePath
from relayfile.server import contents
from relayfile.server.bearer import Access
from relayfile.server.door import Door
from relayfile.server.files import Writer, json, key_of, no_file, path_asked
from relayfile.server.requestlog import correlation_of
from relayfile.server.store import feed, idempotency
from relayfile.server.store import files as store
from relayfile.server.store.bodies import BlobFolder
from relayfile.server.store.feed import DELETED, Log
from relayfile.server.store.files import Absent, Conflict, Content, KeyReused, Stored, Write
from relayfile.server.store.idempotency import Key
from relayfile.server.views import READ, WRITE
from relayfile.wire import data
from relayfile.wire.merges import MergeAnswer, MergeConflict, MergeRequest

LINES: Final = "three-way-lines-v1"
GO_FUNCTIONS: Final = "go-top-level-functions-v1"
MAX_SIDE_BYTES: Final = 512 * 1024
MAX_SIDE_LINES: Final = 3_000
_ATTEMPTS: Final = 4
"""How often the merge begins again because its path changed while it was made."""

_merge_request = msgspec.json.Decoder(MergeRequest)


@dataclass(frozen=True, slots=True)
class _Sides:
    """What is merged with the request's own text, and the revision that `theirs` is."""

    base: str
    theirs: str
    against: int


@dataclass(frozen=True, slots=True)
class Merges:
    """The route of merges."""

    door: Door
    writer: Writer

    async def merge(self, request: Request) -> Response:
        """`POST fs/merge`: the path holds both edits now, or nothing was written and 409 or 422 says why."""
        access = await self.door.enter(request, WRITE)
        path = path_asked(request)
        access.require(WRITE, path)
        access.require(READ, path)  # a conflict shows what the other side wrote
        asked = await self.door.json(request, _merge_request)
        _require_eligible(asked)
        mine = asked.content.encode()
        key = key_of(asked.content_identity, access, path, Digest(sha256(mine).digest()))
        for _ in range(_ATTEMPTS):
            sides = await self._sides(access, path, asked, key)
            if isinstance(sides, MergeAnswer):
                return json(sides)
            merged = await asyncio.to_thread(lines.merge, sides.base, asked.content, sides.theirs)
            if not isinstance(merged, str):
                raise _clash(path, sides.against, merged)
            body = merged.encode()
            content = Content(Digest(sha256(body).digest()), len(body), body, None, asked.content_type)
            write = Write(path, content, sides.against, key)
            (outcome,) = await self.writer.commit(access, [write], correlation_of(request.scope))
            if isinstance(outcome, RelayfileError):
                raise outcome
            if isinstance(outcome, Stored):
                return json(_answer(asked, outcome.position, sides.against))
            assert isinstance(outcome, Conflict | Absent | KeyReused)  # another write came between: look again
        raise Unavailable("the path keeps changing while it is merged; nothing was written", code="workspace_busy")

    async def _sides(
        self, access: Access, path: TreePath, asked: MergeRequest, key: Key | None
    ) -> _Sides | MergeAnswer:
        """What to merge; or the earlier answer to the same request."""

        def query(connection: apsw.Connection) -> _Sides | MergeAnswer:
            view = self.writer.views.of(connection, access)
            view.require(READ, path)
            view.require(WRITE, path)
            if key is not None and (earlier := idempotency.earlier(connection, view.log.id, key, time.time_ns())):
                return _repeated(connection, view.log, path, asked, earlier)
            state = store.state_of(connection, view.log, path)
            if state is None or not state.live:
                raise no_file(path)
            base = _base(connection, self.writer.blobs, view.log, path, asked)
            if state.mode == SYMLINK or state.size > MAX_SIDE_BYTES:
                raise _ineligible("the file is a link or too large")
            theirs = contents.as_text(contents.body_of(connection, self.writer.blobs, state))
            if state.encoding == "base64" or theirs is None:
                raise _ineligible("the file is not text")
            _require_size(theirs, "the file")
            return _Sides(base, theirs, state.position)

        return await self.writer.database.read(query)


def _require_eligible(asked: MergeRequest) -> None:
    if asked.strategy == GO_FUNCTIONS:
        raise _ineligible(f"{GO_FUNCTIONS} is not served here; {LINES} is")
    if asked.strategy != LINES:
        raise UsageError(f"no such merge strategy: {asked.strategy[:60]!r}", hint=LINES)
    _require_size(asked.content, "content")


def _require_size(text: str, what: str) -> None:
    if len(text.encode()) > MAX_SIDE_BYTES or text.count("\n") > MAX_SIDE_LINES:
        raise _ineligible(f"{what} has more than {MAX_SIDE_BYTES} bytes or {MAX_SIDE_LINES} lines")


def _base(connection: apsw.Connection, blobs: BlobFolder, log: Log, path: TreePath, asked: MergeRequest) -> str:
    """The text both sides started from: what the log has at that revision, which must be what the client says."""
    revision = data.if_match(asked.base_revision) or 0
    event = feed.event_at(connection, log, revision)
    if event is None or event.path != path or event.kind == DELETED or event.size > MAX_SIDE_BYTES:
        raise _no_base(f"{asked.base_revision[:40]} is no revision of {path.wire} that a merge could start from")
    body = contents.event_body(connection, blobs, event)
    text = contents.as_text(body)
    if text is None or (asked.base_content is not None and asked.base_content.encode() != body):
        raise _no_base(f"{path.wire} had other content at {asked.base_revision[:40]}")
    _require_size(text, "the base")
    return text


def _repeated(
    connection: apsw.Connection, log: Log, path: TreePath, asked: MergeRequest, earlier: tuple[int, bool]
) -> MergeAnswer:
    position, same = earlier
    if not same:
        raise UsageError(
            "this idempotency key was used for another path or content; nothing was written",
            code="identity_reused",
            status=422,
        )
    return _answer(asked, position, feed.revision_before(connection, log, path, position))


def _answer(asked: MergeRequest, position: int, against: int) -> MergeAnswer:
    return MergeAnswer(
        target_revision=f"rev_{position}",
        strategy=asked.strategy,
        base_revision=asked.base_revision,
        merged_against_revision=f"rev_{against}",
    )


def _clash(path: TreePath, current: int, clashes: list[lines.Clash]) -> UsageError:
    told = [
        MergeConflict(
            unit=f"lines {clash.first}-{clash.last}",
            reason="concurrently changed",
            base=clash.base,
            mine=clash.mine,
            theirs=clash.theirs,
        )
        for clash in clashes
    ]
    return UsageError(
        f"both sides changed the same lines of {path.wire}; nothing was written",
        code="merge_conflict",
        status=409,
        details={"currentRevision": f"rev_{current}", "conflicts": told},
    )


def _no_base(reason: str) -> UsageError:
    return UsageError(f"{reason}; nothing was written", code="merge_base_unavailable", status=409)


def _ineligible(reason: str) -> UsageError:
    return UsageError(
        f"this cannot be merged: {reason}", code="merge_ineligible", status=422, details={"reason": reason}
    )
