"""Every JSON body of the data plane (v1 names): files, trees, events, queries, operations, status, errors.

Structs say what may travel; defaults that v1 leaves out are left out. Paths stay plain text here: a bulk answers
a bad path as an error of that path, so whoever decides parses it (`TreePath.parse`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from relayfile.errors import RelayfileError, Unavailable, UsageError
from relayfile.model import EXECUTABLE, REGULAR, SYMLINK, Mode
from relayfile.wire.delta import Epoch, HexDigest, Position

SYMLINK_CONTENT_TYPE: Final = "application/x-symlink"
TEXT_CONTENT_TYPE: Final = "text/markdown"
BINARY_CONTENT_TYPE: Final = "application/octet-stream"
MAX_BULK_READ_PATHS: Final = 100
MAX_BULK_READ_BYTES: Final = 32 * 1024 * 1024
MAX_BLOBS: Final = 1_000
PUTS: Final = frozenset({"", "put", "write", "upsert"})
TYPES: Final = frozenset({"", "file", "symlink"})
_FILE_TYPES: Final = frozenset({0, 0o10})
"""What may stand before the permission bits of a mode: nothing, or that it is a regular file."""

Base64: TypeAlias = Literal["", "base64"]
"""How content stands in JSON: as text, or as base64 where its bytes are no text or its writer wished so."""


class _Body(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A body whose fields are always written."""


class _SparseBody(msgspec.Struct, rename="camel", frozen=True, gc=False, omit_defaults=True):
    """A body that leaves out what says nothing."""


class Semantics(_Body, frozen=True, kw_only=True):
    """What providers say about a file. `permissions` are the rules of 3-protocol B.2."""

    properties: dict[str, str] = {}
    relations: list[str] = []
    permissions: list[str] = []
    comments: list[str] = []


class Identity(_SparseBody, frozen=True, kw_only=True):
    """The idempotency key of a write (`contentIdentity`)."""

    kind: str
    key: str
    ttl_seconds: int = 0


class Health(_Body, frozen=True, kw_only=True):
    """Answer of `GET /health`: proof that this is relayfile, and what it can do."""

    status: str
    features: list[str]
    product: str = ""
    version: str = ""


class FileRead(_SparseBody, frozen=True, kw_only=True):
    """One file with its content. `mode` is the permission bits as a number: 420 is 0644 (see `mode_shown`)."""

    path: str
    revision: str
    content_type: str
    content: str
    encoding: Base64 = ""
    provider: str
    provider_object_id: str = ""
    last_edited_at: str
    semantics: Semantics
    content_hash: str
    size: int = -1
    mode: int = 0
    type: Literal["file", "symlink"] = "file"
    target: str | None = None


class WriteRequest(_SparseBody, frozen=True, kw_only=True):
    """Body of `PUT fs/file`. An absent mode or semantics keeps what the path has."""

    content: str
    content_type: str = ""
    encoding: str = ""
    semantics: Semantics | None = None
    content_identity: Identity | None = None
    type: str = "file"
    mode: int | str | None = None
    target: str | None = None


class Writeback(_Body, frozen=True, kw_only=True):
    """v1's word on what a provider was told. Plain files have none to tell: `succeeded` at once."""

    provider: str = ""
    state: str = "succeeded"


class WriteAnswer(_Body, frozen=True, kw_only=True):
    """Answer of `PUT` and `DELETE fs/file` (202)."""

    op_id: str
    target_revision: str
    writeback: Writeback
    status: str = "queued"


class BulkFile(_SparseBody, frozen=True, kw_only=True):
    """One entry of a bulk: a put, or with `op: "delete"` a removal. No `ifMatch` overwrites blindly.

    `op` and `type` are plain text here: what is none of `PUTS`, `delete` or `TYPES` is an error of its entry alone.
    """

    path: str
    op: str = "put"
    content: str | None = None
    content_type: str = ""
    encoding: str = ""
    if_match: str | None = None
    base_revision: str | None = None
    content_identity: Identity | None = None
    semantics: Semantics | None = None
    type: str = "file"
    mode: int | str | None = None
    target: str | None = None


class BulkRequest(_Body, frozen=True, kw_only=True):
    """Body of `POST fs/bulk`."""

    files: list[BulkFile]


class BulkResult(_SparseBody, frozen=True, kw_only=True):
    """What became of one entry. No `opId`: a plain file is done when it is acknowledged."""

    path: str
    revision: str
    content_type: str = ""
    content_identity: Identity | None = None
    writeback: Writeback | None = None


class BulkError(_SparseBody, frozen=True, kw_only=True):
    """Why one entry was not written. `conflict` carries the revision the path has now (`rev_0`: absent)."""

    path: str
    code: str
    message: str
    expected_revision: str = ""
    current_revision: str = ""


class BulkAnswer(_Body, frozen=True, kw_only=True):
    """Answer of `POST fs/bulk` (always 202)."""

    written: int
    error_count: int
    errors: list[BulkError]
    results: list[BulkResult]
    correlation_id: str


class PathName(_SparseBody, frozen=True, kw_only=True):
    """One `{path}` of the longer form of a bulk read."""

    path: str


class BulkReadRequest(_SparseBody, frozen=True, kw_only=True):
    """Body of `POST fs/bulk-read`; either form."""

    paths: list[str] = []
    files: list[PathName] = []

    def wanted(self) -> list[str]:
        """Every path asked for, in the order of the request."""
        return [*self.paths, *(file.path for file in self.files)]


class ReadError(_Body, frozen=True, kw_only=True):
    """Why one path of a bulk read has no content."""

    status: int
    code: str
    message: str


class BulkReadFailure(_Body, frozen=True, kw_only=True):
    """One path of a bulk read that could not be read."""

    path: str
    error: ReadError


class BulkReadAnswer(_Body, frozen=True, kw_only=True):
    """Answer of `POST fs/bulk-read`: exactly one entry for each requested path, in its order."""

    files: list[FileRead | BulkReadFailure]


class TreeEntry(_SparseBody, frozen=True, kw_only=True):
    """One file, link or folder of a listing. A folder's revision is the word `dir`."""

    path: str
    type: Literal["file", "dir", "symlink"]
    revision: str
    content_hash: str = ""
    provider: str = ""
    provider_object_id: str = ""
    size: int = 0
    updated_at: str = ""
    property_count: int = 0
    relation_count: int = 0
    permission_count: int = 0
    comment_count: int = 0
    mode: int = 0


class TreePage(_Body, frozen=True, kw_only=True):
    """Answer of `GET fs/tree`. `totalFiles` only where the whole workspace is listed and countable."""

    path: str
    entries: list[TreeEntry]
    next_cursor: str | None = None
    total_files: int | msgspec.UnsetType = msgspec.UNSET


class TypeMetadata(_SparseBody, frozen=True, kw_only=True):
    """What kind of file a change left behind. Without it v1 clients take every change for that of a plain file."""

    type: Literal["file", "symlink"]
    mode: int
    target: str = ""

    @classmethod
    def of(cls, mode: Mode, target: str | None = None) -> "TypeMetadata":
        """That of a file of this mode; `target` is where a link points, when it is known."""
        link = mode == SYMLINK
        return cls(type="symlink" if link else "file", mode=mode_number(mode), target=(target or "") if link else "")


class EventRecord(_SparseBody, frozen=True, kw_only=True):
    """One change, as the v1 events feed tells it."""

    event_id: str
    type: str
    path: str
    revision: str
    origin: str
    correlation_id: str
    timestamp: str
    content_hash: str = ""
    provider: str = ""
    type_metadata: TypeMetadata | None = None


class EventsPage(_Body, frozen=True, kw_only=True):
    """Answer of `GET fs/events`. `nextCursor` is null at the end."""

    events: list[EventRecord]
    next_cursor: str | None = None


class DeltaItem(_SparseBody, frozen=True, kw_only=True):
    """One path of the JSON form of the delta feed."""

    path: str
    position: int
    kind: Literal["put", "delete"]
    digest: str = ""
    size: int = 0
    mode: Mode | None = None
    content_type: str = ""
    encoding: Base64 = ""


class DeltaPage(_Body, frozen=True, kw_only=True):
    """The JSON form of `GET fs/delta`. At the end `nextCursor` is null and `treeDigest` is of exactly `cursor`."""

    items: list[DeltaItem]
    epoch: str
    head: int
    cursor: int
    next_cursor: str | None = None
    tree_digest: str | msgspec.UnsetType = msgspec.UNSET


class BlobsRequest(_Body, frozen=True, kw_only=True):
    """Body of `POST fs/blobs`: digests as 64 hex digits."""

    digests: list[str]


class DigestAnswer(_Body, frozen=True, kw_only=True):
    """Answer of `GET fs/digest`: what the reader may see at exactly `position` sums to `treeDigest` (hex)."""

    epoch: Epoch
    position: Position
    tree_digest: HexDigest
    files: int


class QueryItem(_SparseBody, frozen=True, kw_only=True):
    """One file of a query."""

    path: str
    revision: str
    content_type: str
    provider: str
    provider_object_id: str = ""
    last_edited_at: str
    size: int
    properties: dict[str, str] = {}
    relations: list[str] = []
    permissions: list[str] = []
    comments: list[str] = []


class QueryPage(_Body, frozen=True, kw_only=True):
    """Answer of `GET fs/query`; the cursor is the last path."""

    items: list[QueryItem]
    next_cursor: str | None = None


class Operation(_SparseBody, frozen=True, kw_only=True):
    """v1's record of a write. Ours are finished when they are acknowledged, so each is `succeeded`."""

    op_id: str
    path: str
    revision: str
    action: Literal["file_upsert", "file_delete"]
    provider: str
    status: str
    attempt_count: int
    correlation_id: str
    created_at: str
    updated_at: str
    completed_at: str


class OpsPage(_Body, frozen=True, kw_only=True):
    """Answer of `GET ops`, newest first."""

    items: list[Operation]
    next_cursor: str | None = None


class ProviderStatus(_SparseBody, frozen=True, kw_only=True):
    """One provider (first path segment) of a workspace."""

    provider: str
    status: str


class SyncStatus(_Body, frozen=True, kw_only=True):
    """Answer of `GET sync/status`."""

    workspace_id: str
    providers: list[ProviderStatus]


class Queued(_Body, frozen=True, kw_only=True):
    """Answer of `POST sync/refresh` (202)."""

    id: str
    correlation_id: str
    status: str = "queued"


class ErrorBody(_SparseBody, frozen=True, kw_only=True):
    """What every refusal looks like (A8). `details` are written as further top-level fields, see `error_json`."""

    code: str
    message: str
    correlation_id: str
    hint: str = ""
    retry_after_seconds: float = 0
    expected_revision: str = ""
    current_revision: str = ""


_encoder = msgspec.json.Encoder()


def encode(body: msgspec.Struct) -> bytes:
    """The body as it travels: one line of JSON with its newline."""
    return _encoder.encode(body) + b"\n"


def encode_lines(bodies: Iterable[msgspec.Struct]) -> bytes:
    """The bodies as elements of a JSON array, without its brackets."""
    return b",".join(_encoder.encode(body) for body in bodies)


def moment(at_ns: int) -> str:
    """A unix time in nanoseconds, as v1 writes it: RFC 3339 in UTC, with all nine digits."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds:09d}Z"


@lru_cache(maxsize=1_024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def provider(path: str) -> str:
    """v1's provider of a path: its first folder; none for a file at the root."""
    first, slash, _ = path.lstrip("/").partition("/")
    return first if slash else ""


def error_json(error: RelayfileError, correlation_id: str) -> bytes:
    """The v1 error body that tells `error`."""
    body: dict[str, object] = {**error.details, "code": error.code, "message": error.message}
    body["correlationId"] = correlation_id
    if error.hint:
        body["hint"] = error.hint
    if isinstance(error, Unavailable) and error.retry_after_s is not None:
        body["retryAfterSeconds"] = error.retry_after_s
    return _encoder.encode(body) + b"\n"


def mode_of(mode: int | str | None, *, symlink: bool) -> Mode | None:
    """The mode that a request means: 420 and `"0644"` are a file, any execute bit is an executable; None keeps.

    Raises:
        UsageError: code `invalid_content`: a text that is no octal number, or a number that no file has.
    """
    if symlink or mode in {SYMLINK, 0o120000}:
        return SYMLINK
    if mode is None or mode == "":
        return None
    try:
        bits = int(mode, 8) if isinstance(mode, str) else mode
    except ValueError:
        bits = -1
    if bits >> 12 not in _FILE_TYPES:
        raise UsageError(
            f"not a file mode: {str(mode)[:40]!r}",
            code="invalid_content",
            hint="permission bits: 420, or as text 0644",
        )
    return _by_bits(bits)


def _by_bits(bits: int) -> Mode:
    return EXECUTABLE if bits & 0o111 else REGULAR


def mode_number(mode: Mode) -> int:
    """The mode as v1 writes it: permission bits as a number. That of a link says nothing; its `type` does."""
    return 0o777 if mode == SYMLINK else int(mode, 8)


def mode_shown(shown: FileRead | TreeEntry) -> Mode:
    """The mode that an answer tells."""
    return SYMLINK if shown.type == "symlink" else _by_bits(shown.mode)


def if_match(text: str) -> int | None:
    """The revision a precondition asks for: 0 only if absent, None (`*`) whatever is there.

    Accepts `rev_5`, `"rev_5"`, `W/"rev_5"`, `5`, `0` and `*`.

    Raises:
        UsageError: code `precondition_failed` (412): it is none of these.
    """
    plain = text.strip().removeprefix("W/").strip('"')
    if plain == "*":
        return None
    number = plain.removeprefix("rev_")
    if not (number.isascii() and number.isdigit()) or len(number) > 18:
        raise UsageError(
            f"not a precondition: {text[:40]!r}", code="precondition_failed", status=412, hint="use rev_N, 0 or *"
        )
    return int(number)
