"""Reading and writing files over HTTP: one, many in one request, or one as a raw stream (A6, B 1.3-1.5).

Every write is one call of `Writer.commit`, whatever door it came through.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from relayfile.errors import NotFound, RelayfileError, RevisionMismatch, UsageError
from relayfile.model import Digest, TreePath
from relayfile.server import contents
from relayfile.server.bearer import Access
from relayfile.server.door import Door, within
from relayfile.server.hub import Hub
from relayfile.server.problems import too_large
from relayfile.server.requestlog import correlation_of
from relayfile.server.store import files as store
from relayfile.server.store.bodies import IN_DATABASE_BYTES, BlobFolder, Incoming
from relayfile.server.store.database import Database
from relayfile.server.store.files import Absent, Conflict, Content, KeyReused, Outcome, Stored, Write
from relayfile.server.store.idempotency import Key
from relayfile.server.views import READ, WRITE, Views
from relayfile.wire import data
from relayfile.wire.data import BulkError, BulkFile, BulkReadFailure, BulkResult, Identity

_PREVIEW_BYTES: Final = 4_000
_IN_THREAD_BYTES: Final = 1_048_576
_AT_ONCE: Final = 1_000
"""So many files of a bulk are one commit: some 50 ms, in which nobody else can write."""
_NOTHING: Final = Digest(b"")
_WHAT_IS_THERE: Final = "`relayfile tree WORKSPACE` lists what is there"

_write_request = msgspec.json.Decoder(data.WriteRequest)
_bulk_request = msgspec.json.Decoder(data.BulkRequest)
_bulk_read_request = msgspec.json.Decoder(data.BulkReadRequest)
_identity = msgspec.json.Decoder(Identity)


def json(body: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`body` as an answer."""
    return Response(data.encode(body), status, headers, "application/json")


def path_asked(request: Request) -> TreePath:
    """The path in the query.

    Raises:
        UsageError: there is none, or it is none.
    """
    if not (text := path_text(request)):
        raise UsageError("which path? Give ?path=/…")
    return TreePath.parse(text)


def path_text(request: Request, name: str = "path") -> str:
    """What the query says of a path under `name`, unchecked but for its bytes; "" for nothing.

    Raises:
        UsageError: `invalid_path`: they are not UTF-8. With a replacement in their place two names would become one.
    """
    text = request.query_params.get(name, "")
    if "\ufffd" in text:
        try:
            parse_qsl(request.url.query, errors="strict")
        except UnicodeDecodeError as error:
            raise UsageError("not a workspace path: it is not valid UTF-8", code="invalid_path") from error
    return text


def key_of(said: Identity | None, access: Access, path: TreePath, digest: Digest) -> Key | None:
    """The idempotency key of a write; None when it carries none."""
    if said is None or not said.key:
        return None
    account = access.principal.account
    return Key.of(account, said.kind, said.key, ttl_s=said.ttl_seconds, path=path, digest=digest)


@dataclass(frozen=True, slots=True)
class Writer:
    """The one way into the log, and the view that decides what may go through it."""

    database: Database
    views: Views
    hub: Hub
    blobs: BlobFolder

    async def commit(
        self, access: Access, writes: Sequence[Write], correlation: str
    ) -> list[Outcome | RelayfileError]:
        """Each write has its outcome, in order; one that is not allowed is answered by its `Forbidden`.

        Durable: what is `Stored` survives a crash. Once: by the key of each write.
        """
        for write in writes:
            content = write.content
            if content is not None and content.body is not None and content.size > IN_DATABASE_BYTES:
                await asyncio.to_thread(self.blobs.place, content.digest, content.body)

        def work(connection: apsw.Connection) -> tuple[list[Outcome | RelayfileError], int]:
            view = self.views.of(connection, access)
            answers: list[Outcome | RelayfileError] = []
            allowed: list[Write] = []
            refusals: dict[int, RelayfileError] = {}
            if view.acl or not access.scopes.everywhere(WRITE):
                for at, write in enumerate(writes):
                    try:
                        view.require(WRITE, write.path)
                        allowed.append(write)
                    except RelayfileError as error:
                        refusals[at] = error
            else:
                allowed = list(writes)
            outcomes = iter(
                store.commit(
                    connection,
                    view.log,
                    [_slim(write) for write in allowed],
                    account=access.principal.account,
                    correlation=correlation,
                    now_ns=time.time_ns(),
                )
            )
            answers = [refusals[at] if at in refusals else next(outcomes) for at in range(len(writes))]
            head = max((each.position for each in answers if isinstance(each, Stored) and each.event), default=0)
            return answers, head

        def wake(result: tuple[list[Outcome | RelayfileError], int]) -> None:
            if result[1]:
                self.hub.changed(access.workspace, result[1])

        answers, _ = await self.database.write(work, then=wake)
        return answers


def _slim(write: Write) -> Write:
    """The write as the database takes it: a large body stays where it was placed."""
    content = write.content
    if content is None or content.size <= IN_DATABASE_BYTES:
        return write
    return replace(write, content=replace(content, body=None))


@dataclass(frozen=True, slots=True)
class Files:
    """The routes of single files and of bulks."""

    door: Door
    writer: Writer

    async def read(self, request: Request) -> Response:
        """`GET fs/file`."""
        access = await self.door.enter(request, READ)
        path = path_asked(request)
        access.require(READ, path)

        def query(connection: apsw.Connection) -> data.FileRead | str:
            view = self.writer.views.of(connection, access)
            view.require(READ, path)
            state = store.state_of(connection, view.log, path)
            if state is None or not state.live:
                raise no_file(path)
            tag = f"rev_{state.position}"
            if request.headers.get("if-none-match", "").removeprefix("W/").strip('"') == tag:
                return tag
            if state.size > contents.MAX_JSON_FILE_BYTES:
                raise too_large(contents.MAX_JSON_FILE_BYTES, "a file read as JSON")
            return contents.shown(path, state, contents.body_of(connection, self.writer.blobs, state))

        found = await self.writer.database.read(query)
        if isinstance(found, str):
            return Response(status_code=304, headers={"ETag": found})
        return json(found, headers={"ETag": found.revision})

    async def put(self, request: Request) -> Response:
        """`PUT fs/file`: JSON, or the bytes themselves as `application/octet-stream`."""
        access = await self.door.enter(request, WRITE)
        path = path_asked(request)
        access.require(WRITE, path)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/octet-stream":
            with await asyncio.to_thread(self.writer.blobs.receive) as incoming:
                content = await self._received(request, incoming)
                said = request.headers.get("x-relayfile-content-identity")
                identity = _identity_of(said) if said else None
                over = data.if_match(request.headers.get("if-match", "*"))
                return await self._one(
                    request, access, Write(path, content, over, key_of(identity, access, path, content.digest))
                )
        asked = await self.door.json(request, _write_request)
        over = _precondition(request)
        content = contents.content_of(asked)
        return await self._one(
            request, access, Write(path, content, over, key_of(asked.content_identity, access, path, content.digest))
        )

    async def delete(self, request: Request) -> Response:
        """`DELETE fs/file`."""
        access = await self.door.enter(request, WRITE)
        path = path_asked(request)
        access.require(WRITE, path)
        return await self._one(request, access, Write(path, None, _precondition(request)))

    async def bulk(self, request: Request) -> Response:
        """`POST fs/bulk`: always 202; each entry is in `results` or in `errors`."""
        access = await self.door.enter(request, WRITE)
        asked = await self.door.json(request, _bulk_request)
        if not asked.files:
            raise UsageError("a bulk of no files")
        if int(request.headers.get("content-length", "0") or 0) > _IN_THREAD_BYTES:
            prepared = await asyncio.to_thread(_prepared, asked.files, access)
        else:
            prepared = _prepared(asked.files, access)
        writes = [each for each in prepared if isinstance(each, Write)]
        outcomes: list[Outcome | RelayfileError] = []
        for first in range(0, len(writes), _AT_ONCE):  # so that others' writes have their turn in between
            outcomes += await self.writer.commit(access, writes[first : first + _AT_ONCE], "")
        correlation = correlation_of(request.scope)
        if len(prepared) > _AT_ONCE:
            return await asyncio.to_thread(_bulk_answer, asked.files, prepared, outcomes, correlation)
        return _bulk_answer(asked.files, prepared, outcomes, correlation)

    async def bulk_read(self, request: Request) -> Response:
        """`POST fs/bulk-read`: one entry for each path asked for, in order."""
        access = await self.door.enter(request, READ)
        wanted = (await self.door.json(request, _bulk_read_request)).wanted()
        if not wanted or len(wanted) > data.MAX_BULK_READ_PATHS:
            raise UsageError(f"1 to {data.MAX_BULK_READ_PATHS} paths in one request, not {len(wanted)}")

        def query(connection: apsw.Connection) -> bytes:
            view = self.writer.views.of(connection, access)
            found: list[data.FileRead | BulkReadFailure] = []
            total = 0
            for text in wanted:
                try:
                    path = TreePath.parse(text)
                    view.require(READ, path)
                    state = store.state_of(connection, view.log, path)
                    if state is None or not state.live:
                        raise no_file(path)
                except RelayfileError as error:
                    reason = data.ReadError(status=error.status, code=error.code, message=error.message)
                    found.append(BulkReadFailure(path=text, error=reason))
                    continue
                total += state.size
                if total > data.MAX_BULK_READ_BYTES:
                    raise UsageError(
                        f"these files have more than {data.MAX_BULK_READ_BYTES} bytes; ask for fewer at once",
                        code="bulk_read_response_too_large",
                        status=413,
                    )
                found.append(contents.shown(path, state, contents.body_of(connection, self.writer.blobs, state)))
            return data.encode(data.BulkReadAnswer(files=found))

        return Response(await self.writer.database.read(query), media_type="application/json")

    async def _received(self, request: Request, incoming: Incoming) -> Content:
        """The content that the request's raw body is; a large one lies in the blob folder."""
        limit = self.door.file_limit_bytes
        within(limit, int(request.headers.get("content-length", "0") or 0))
        encoding = request.headers.get("x-relayfile-encoding", "").lower()
        if encoding not in {"", "utf-8", "utf8", "base64"}:
            raise UsageError(f"no such encoding: {encoding[:40]!r}", code="invalid_encoding")
        text = contents.TextCheck()
        gathered = bytearray()  # a thread for each packet would cost more than the writing
        async for chunk in request.stream():
            gathered += chunk
            if len(gathered) + incoming.size > limit:
                raise too_large(limit, "a file")
            if not encoding:
                text.feed(chunk)
            if len(gathered) >= IN_DATABASE_BYTES:
                full, gathered = bytes(gathered), bytearray()
                await asyncio.to_thread(incoming.write, full)
        if incoming.size + len(gathered) > IN_DATABASE_BYTES:
            await asyncio.to_thread(incoming.write, bytes(gathered))
        else:
            incoming.write(bytes(gathered))
        body = None
        if incoming.size > IN_DATABASE_BYTES:
            await asyncio.to_thread(incoming.keep, incoming.digest)
        else:
            body = incoming.read()
        headers = request.headers
        binary = encoding == "base64" or (not encoding and not text.end())
        mode = data.mode_of(headers.get("x-relayfile-mode"), symlink=False)
        kind = headers.get("x-relayfile-content-type", "")
        return Content(incoming.digest, incoming.size, body, mode, kind, "base64" if binary else "")

    async def _one(self, request: Request, access: Access, write: Write) -> Response:
        """The answer to a request that writes one path."""
        (outcome,) = await self.writer.commit(access, [write], correlation_of(request.scope))
        if isinstance(outcome, Stored):
            answer = data.WriteAnswer(
                op_id=f"op_{outcome.position}",
                target_revision=f"rev_{outcome.position}",
                writeback=data.Writeback(provider=data.provider(write.path)),
            )
            return json(answer, 202)
        if isinstance(outcome, Conflict):
            raise await self._conflict(access, write, outcome)
        raise _refusal(outcome, write.path.wire)

    async def _conflict(self, access: Access, write: Write, outcome: Conflict) -> RevisionMismatch:
        def preview(connection: apsw.Connection) -> str:
            view = self.writer.views.of(connection, access)
            state = store.state_of(connection, view.log, write.path)
            if state is None or not state.live or not view.shows(write.path) or state.size > IN_DATABASE_BYTES:
                return ""
            body = contents.body_of(connection, self.writer.blobs, state)
            return body[:_PREVIEW_BYTES].decode(errors="ignore")

        return RevisionMismatch(
            f"{write.path.wire} is at rev_{outcome.current}, not at rev_{write.over}; nothing was written",
            current=outcome.current,
            details={
                "expectedRevision": f"rev_{write.over}",
                "currentRevision": f"rev_{outcome.current}",
                "currentContentPreview": await self.writer.database.read(preview),
            },
        )


def _precondition(request: Request) -> int | None:
    if (text := request.headers.get("if-match")) is None:
        raise UsageError(
            "which revision does this replace? Give If-Match",
            code="precondition_failed",
            status=412,
            hint="If-Match: rev_N, 0 for only if absent, * for whatever is there",
        )
    return data.if_match(text)


def _identity_of(text: str) -> Identity:
    try:
        return _identity.decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UsageError(f"X-Relayfile-Content-Identity is not what it should be: {error}") from error


def _prepared(said: Sequence[BulkFile], access: Access) -> list[Write | RelayfileError]:
    """Each entry as a write, or why it cannot be one."""
    return [_write_of(file, access) for file in said]


def _write_of(file: BulkFile, access: Access) -> Write | RelayfileError:
    if file.op not in data.PUTS and file.op != "delete":
        return UsageError(f"no such operation: {file.op[:40]!r}", code="invalid_operation", hint="put or delete")
    try:
        path = TreePath.parse(file.path)
        precondition = file.if_match if file.if_match is not None else file.base_revision
        over = None if precondition is None else data.if_match(precondition)
        content = None if file.op == "delete" else contents.content_of(file)
    except UsageError as error:
        return error
    digest = content.digest if content else _NOTHING
    return Write(path, content, over, key_of(file.content_identity, access, path, digest))


def _bulk_answer(
    files: Sequence[BulkFile],
    prepared: Sequence[Write | RelayfileError],
    outcomes: Sequence[Outcome | RelayfileError],
    correlation: str,
) -> Response:
    """The answer to a bulk; `outcomes` are those of the writes among `prepared`, in order."""
    coming = iter(outcomes)
    results: list[BulkResult] = []
    errors: list[BulkError] = []
    for file, each in zip(files, prepared, strict=True):
        outcome = next(coming) if isinstance(each, Write) else each
        if isinstance(outcome, Stored):
            results.append(
                BulkResult(
                    path=file.path,
                    revision=f"rev_{outcome.position}",
                    content_type=outcome.content_type or file.content_type,
                    content_identity=file.content_identity,
                    writeback=data.Writeback(provider=data.provider(file.path)),
                )
            )
        else:
            errors.append(_bulk_error(file, outcome))
    answer = data.BulkAnswer(
        written=len(results),
        error_count=len(errors),
        errors=errors,
        results=results,
        correlation_id=correlation,
    )
    return json(answer, 202)


def _refusal(outcome: Outcome | RelayfileError, path: str) -> RelayfileError:
    """The error that an outcome other than `Stored` or `Conflict` is."""
    if isinstance(outcome, RelayfileError):
        return outcome
    if isinstance(outcome, KeyReused):
        return UsageError(
            "this idempotency key was used for another path or content; nothing was written",
            code="identity_reused",
            status=422,
        )
    return NotFound(f"no file {path!r}", hint=_WHAT_IS_THERE)


def no_file(path: TreePath) -> NotFound:
    """That nothing lies at `path`, and how to see what does."""
    return NotFound(f"no file {path.wire!r}", hint=_WHAT_IS_THERE)


def _bulk_error(file: BulkFile, outcome: Outcome | RelayfileError) -> BulkError:
    expected = file.if_match or file.base_revision or ""
    if isinstance(outcome, Conflict) or (isinstance(outcome, Absent) and file.op != "delete"):
        current = outcome.current if isinstance(outcome, Conflict) else 0
        return BulkError(
            path=file.path,
            code="conflict",
            message=f"the path is at rev_{current}; nothing was written",
            expected_revision=expected,
            current_revision=f"rev_{current}",
        )
    error = _refusal(outcome, file.path)
    gone = "rev_0" if isinstance(outcome, Absent) else ""
    return BulkError(
        path=file.path, code=error.code, message=error.message, expected_revision=expected, current_revision=gone
    )
