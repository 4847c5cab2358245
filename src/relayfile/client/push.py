"""Edits to the server, many a request; bodies from the server by digest.

Every push carries a precondition and an idempotency key, so that repeating one after a lost answer is harmless.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias

from relayfile.client import api
from relayfile.client.answers import GONE_CODES
from relayfile.client.transport_async import AsyncClient
from relayfile.errors import NotFound, RevisionMismatch, Unavailable, UsageError
from relayfile.model import SYMLINK, Digest, Mode, TreePath
from relayfile.wire import data, delta, live

MAX_FILES: Final = 200
MAX_BYTES: Final = 8 * 1024 * 1024
LARGE_BYTES: Final = 4 * 1024 * 1024
_CONFLICTS: Final = frozenset({"conflict", "revision_conflict", "precondition_failed"})
_TRANSIENT: Final = frozenset({"internal_error", "unavailable", "busy"})


class TornError(Exception):
    """A file changed while it was sent."""


@dataclass(frozen=True, slots=True)
class Large:
    """A body that is sent piece by piece, and is never whole in memory.

    `pieces` begins anew each time. It raises `TornError` in place of the last piece when they are not that body.
    """

    size: int
    pieces: Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Push:
    """One edit. `over` is the revision it replaces, 0: only if the path is absent. `body` None deletes.

    A symbolic link has mode `120000` and its target as body (R18).
    """

    path: TreePath
    key: str
    over: int
    body: bytes | Large | None
    mode: Mode = "644"


@dataclass(frozen=True, slots=True)
class Stored:
    """The server has it; `revision` is what the path has now (0: the server did not say)."""

    path: TreePath
    revision: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The path is not at `over` any more; nothing was written. `current` is its revision, 0 absent, None untold."""

    path: TreePath
    current: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server will not take this edit, however often it is sent."""

    path: TreePath
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Torn:
    """The file changed while it was sent; nothing was written."""

    path: TreePath


Outcome: TypeAlias = Stored | Conflict | Refused | Torn


async def push(client: AsyncClient, workspace: str, pushes: Sequence[Push]) -> list[Outcome]:
    """What became of each push, in the order given.

    Raises:
        Unavailable: transient trouble. Some may have been stored; sending the same list again is harmless.
        NotFound: the workspace is gone.
        Forbidden: this sign-in may not write at all.
    Once: by the key of each push.
    """
    outcomes: list[Outcome] = []
    for chunk in _chunks(pushes):
        outcomes += await _sent(client, workspace, chunk)
    return outcomes


def _chunks(pushes: Sequence[Push]) -> Iterator[list[Push]]:
    """Runs that fit one request, in order: by number, by bytes, each path once; a large body is a run of its own."""
    chunk: list[Push] = []
    size, paths = 0, set[TreePath]()
    for one in pushes:
        weight = _weight(one)
        if chunk and (
            len(chunk) >= MAX_FILES
            or size + weight > MAX_BYTES
            or one.path in paths
            or weight > LARGE_BYTES
            or isinstance(chunk[-1].body, Large)
            or isinstance(one.body, Large)
        ):
            yield chunk
            chunk, size, paths = [], 0, set()
        chunk.append(one)
        size += weight
        paths.add(one.path)
    if chunk:
        yield chunk


def size_of(body: bytes | Large | None) -> int:
    """How many bytes it has."""
    return body.size if isinstance(body, Large) else len(body or b"")


def _weight(one: Push) -> int:
    """About what a push takes in JSON."""
    return 400 + len(one.path) + 4 * size_of(one.body) // 3


async def _sent(client: AsyncClient, workspace: str, chunk: list[Push]) -> list[Outcome]:
    if len(chunk) == 1 and _travels_alone(chunk[0]):
        return [await _put(client, workspace, chunk[0])]
    files = [_bulk_file(one) for one in chunk]
    try:
        answer = await client.call(api.bulk(workspace, files))
    except UsageError as error:
        if error.status != 413:
            raise
        if len(chunk) == 1:
            # JSON may take six bytes for one; raw bytes take one.
            return [await _put(client, workspace, chunk[0])]
        half = len(chunk) // 2
        return [*await _sent(client, workspace, chunk[:half]), *await _sent(client, workspace, chunk[half:])]
    return _outcomes(chunk, answer)


def _travels_alone(one: Push) -> bool:
    if isinstance(one.body, Large):
        return True
    return one.body is not None and one.mode != SYMLINK and _weight(one) > LARGE_BYTES


def _bulk_file(one: Push) -> data.BulkFile:
    assert not isinstance(one.body, Large), "it travels alone"
    return api.bulk_file(one.path, one.body, one.mode, over=one.over, key=one.key)


async def _put(client: AsyncClient, workspace: str, one: Push) -> Outcome:
    """One body as raw bytes."""
    assert one.body is not None
    try:
        if isinstance(one.body, Large):
            request = api.write_large(workspace, one.path, one.body.size, over=one.over, key=one.key, mode=one.mode)
            return Stored(one.path, await client.send(request, one.body.pieces))
        request = api.write_file(workspace, one.path, one.body, over=one.over, key=one.key, mode=one.mode)
        return Stored(one.path, await client.call(request))
    except TornError:
        return Torn(one.path)
    except RevisionMismatch as error:
        return Conflict(one.path, error.current)
    except NotFound as error:
        if error.code in GONE_CODES:
            raise
        return Conflict(one.path, 0)
    except UsageError as error:
        return Refused(one.path, error.code, error.message)


def _outcomes(chunk: list[Push], answer: data.BulkAnswer) -> list[Outcome]:
    """What a bulk answered, push by push.

    Raises:
        Unavailable: the server could not store one of them now, or said nothing of it.
    """
    stored = {one.path: one for one in answer.results}
    failed = {one.path: one for one in answer.errors}
    outcomes: list[Outcome] = []
    for one in chunk:
        if (result := stored.get(one.path.wire)) is not None:
            outcomes.append(Stored(one.path, live.position(result.revision)))
            continue
        error = failed.get(one.path.wire)
        if error is None or error.code in _TRANSIENT:
            raise Unavailable("the server could not store everything now", code=error.code if error else "unanswered")
        if error.code in _CONFLICTS:
            outcomes.append(Conflict(one.path, live.position(error.current_revision or "rev_0")))
        elif error.code == "not_found":
            outcomes.append(Conflict(one.path, 0))
        else:
            outcomes.append(Refused(one.path, error.code, error.message))
    return outcomes


async def blobs(
    client: AsyncClient, workspace: str, digests: Sequence[Digest]
) -> AsyncGenerator[tuple[Digest, bytes | None], None]:
    """Each distinct digest once, in any order, with its body; None where the server has none for this reader (R23),
    or none that fits a frame.

    Every body has been checked against its digest.

    Raises:
        Unavailable: transient trouble, or a body that does not fit its digest; what came before it counts.
        NotFound: the workspace is gone.
    """
    wanted = list(dict.fromkeys(digests))
    for first in range(0, len(wanted), data.MAX_BLOBS):
        ended = False
        request = api.blobs_stream(workspace, wanted[first : first + data.MAX_BLOBS])
        async with aclosing(client.frames(request)) as stream:
            async for frames in stream:
                for frame in frames:
                    if isinstance(frame, delta.Blob):
                        digest = Digest(frame.digest)
                        yield digest, _checked(digest, frame.body)
                    ended = ended or isinstance(frame, delta.End)
        if not ended:
            raise Unavailable("the stream of bodies was cut", code="cut_stream")


def _checked(digest: Digest, body: bytes | None) -> bytes | None:
    if body is not None and hashlib.sha256(body).digest() != digest:
        raise Unavailable("a body arrived that does not fit its digest; it was not used", code="damaged_body")
    return body
