"""The requests of relayfile, described, and how their answers are read. No I/O: a transport carries them (R15).

Each function returns a `Request[T]`; handing it to a transport's `call` gives a `T` or raises one of
`relayfile.errors`. Paths in answers are left as the wire has them.
"""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from relayfile.client.answers import Answer, decoded, nothing, revision
from relayfile.model import SYMLINK, Cursor, Digest, Mode, TreePath
from relayfile.wire import data, delta
from relayfile.wire.auth import AuditRow, ProcessRow, ServerMetadata, SessionRow, SignedOut, WhoAmI, WorkspaceRow
from relayfile.wire.machine_tokens import TokenMade, TokenRequest, TokenRow

T = TypeVar("T")

IDENTITY_KIND: Final = "relayfile"
IDENTITY_TTL_S: Final = 604_800


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One request and how its answer is read. `path` is quoted already and begins with `/`.

    `anonymous` requests carry no token. `repeatable` ones may be sent again when it is not known whether the server
    acted on them: they only read, or carry an idempotency key.
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False
    repeatable: bool = True

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path


_JSON: Final = (("Content-Type", "application/json"),)
_LIST_OF_WORKSPACES: Final = decoded(list[WorkspaceRow])
_LIST_OF_SESSIONS: Final = decoded(list[SessionRow])
_LIST_OF_EVENTS: Final = decoded(list[AuditRow])
_LIST_OF_PROCESSES: Final = decoded(list[ProcessRow])
_LIST_OF_TOKENS: Final = decoded(list[TokenRow])
_TOKENS: Final = "/api/v1/auth/tokens"


def _workspace(workspace: str, route: str) -> str:
    return f"/v1/workspaces/{quote(workspace, safe='')}/{route}"


def health() -> Request[data.Health]:
    """Whether a relayfile server answers there, and its features."""
    return Request("GET", "/health", decoded(data.Health), anonymous=True)


def metadata() -> Request[ServerMetadata]:
    """What sign-in the server offers."""
    return Request("GET", "/.well-known/oauth-authorization-server", decoded(ServerMetadata), anonymous=True)


def whoami() -> Request[WhoAmI]:
    """Who the token stands for."""
    return Request("GET", "/api/v1/auth/whoami", decoded(WhoAmI))


def workspaces() -> Request[list[WorkspaceRow]]:
    """My workspaces."""
    return Request("GET", "/api/v1/workspaces", _LIST_OF_WORKSPACES)


def create_workspace(name: str) -> Request[WorkspaceRow]:
    """A new workspace of mine."""
    body = json.dumps({"name": name}).encode()
    return Request("POST", "/api/v1/workspaces", decoded(WorkspaceRow), body=body, headers=_JSON, repeatable=False)


def delete_workspace(workspace: str) -> Request[None]:
    """The workspace is deleted; its id is never used again."""
    return Request("DELETE", f"/api/v1/workspaces/{quote(workspace, safe='')}", nothing, repeatable=False)


def sessions() -> Request[list[SessionRow]]:
    """Who holds a credential of mine."""
    return Request("GET", "/api/v1/auth/sessions", _LIST_OF_SESSIONS)


def revoke_session(session: str) -> Request[None]:
    """That sign-in is ended, with what it enrolled."""
    return Request("DELETE", f"/api/v1/auth/sessions/{quote(session, safe='')}", nothing, repeatable=False)


def sign_out_everywhere() -> Request[SignedOut]:
    """Every credential of my account is ended, that of this request too; machine tokens stay."""
    return Request("DELETE", "/api/v1/auth/sessions", decoded(SignedOut), (("all", "1"),), repeatable=False)


def session_processes(session: str) -> Request[list[ProcessRow]]:
    """Which processes got tokens of that sign-in, and of what it enrolled; the latest first."""
    return Request("GET", f"/api/v1/auth/sessions/{quote(session, safe='')}/processes", _LIST_OF_PROCESSES)


def auth_events(after: int = 0, limit: int = 1000) -> Request[list[AuditRow]]:
    """Token events after number `after`, oldest first."""
    query = (("after", str(after)), ("limit", str(limit)))
    return Request("GET", "/api/v1/auth/events", _LIST_OF_EVENTS, query)


def machine_tokens(*, ended: bool = False) -> Request[list[TokenRow]]:
    """My machine tokens, the newest first; with `ended` also those that are over."""
    return Request("GET", _TOKENS, _LIST_OF_TOKENS, (("all", "1"),) if ended else ())


def make_machine_token(
    name: str, scopes: Sequence[str], *, ttl_s: float, workspace: str | None = None
) -> Request[TokenMade]:
    """A new machine token of mine. Its answer is the only one that ever holds it."""
    body = msgspec.json.encode(TokenRequest(name, list(scopes), ttl_s, workspace))
    return Request("POST", _TOKENS, decoded(TokenMade), body=body, headers=_JSON, repeatable=False)


def revoke_machine_token(token: str) -> Request[None]:
    """The machine token with this id is good for nothing any more."""
    return Request("DELETE", f"{_TOKENS}/{quote(token, safe='')}", nothing, repeatable=False)


def tree_page(
    workspace: str, path: str = "/", *, depth: int = 100, cursor: str | None = None
) -> Request[data.TreePage]:
    """One page of what lies below `path`."""
    query = [("path", path), ("depth", str(depth))]
    if cursor is not None:
        query.append(("cursor", cursor))
    return Request("GET", _workspace(workspace, "fs/tree"), decoded(data.TreePage), tuple(query))


def read_file(workspace: str, path: TreePath) -> Request[data.FileRead]:
    """One file with its content; `content_bytes` gives its bytes."""
    return Request("GET", _workspace(workspace, "fs/file"), decoded(data.FileRead), (("path", path.wire),))


def write_file(
    workspace: str, path: TreePath, body: bytes, *, over: int | None, key: str, mode: Mode | None = None
) -> Request[int]:
    """The file holds `body`; its new revision. `over` None overwrites whatever is there, 0 only creates.

    A regular file travels as raw bytes; a symbolic link, which v1's raw form cannot say, as JSON.
    """
    match = _match(over)
    query, route = (("path", path.wire),), _workspace(workspace, "fs/file")
    if mode == SYMLINK:
        target = body.decode("utf-8", "strict")
        request = data.WriteRequest(
            content=target,
            type="symlink",
            target=target,
            content_type=data.SYMLINK_CONTENT_TYPE,
            content_identity=_identity(key),
        )
        return Request("PUT", route, revision, query, data.encode(request), (*_JSON, ("If-Match", match)))
    headers = (*_raw_headers(match, key, mode), ("X-Relayfile-Encoding", "utf-8" if is_text(body) else "base64"))
    return Request("PUT", route, revision, query, body, headers)


def write_large(workspace: str, path: TreePath, size: int, *, over: int, key: str, mode: Mode) -> Request[int]:
    """As `write_file`, of a file of `size` bytes: for a transport's `send`. The server tells text itself."""
    headers = (*_raw_headers(_match(over), key, mode), ("Content-Length", str(size)))
    return Request("PUT", _workspace(workspace, "fs/file"), revision, (("path", path.wire),), None, headers)


def _raw_headers(match: str, key: str, mode: Mode | None) -> tuple[tuple[str, str], ...]:
    headers = [
        ("Content-Type", data.BINARY_CONTENT_TYPE),
        ("If-Match", match),
        ("X-Relayfile-Content-Identity", msgspec.json.encode(_identity(key)).decode()),
    ]
    return (*headers, ("X-Relayfile-Mode", mode)) if mode is not None else tuple(headers)


def _match(over: int | None) -> str:
    return "*" if over is None else "0" if over == 0 else f"rev_{over}"


def delete_file(workspace: str, path: TreePath, *, over: int | None) -> Request[int]:
    """The file is gone; the position at which it went."""
    match = "*" if over is None else f"rev_{over}"
    query = (("path", path.wire),)
    return Request(
        "DELETE", _workspace(workspace, "fs/file"), revision, query, headers=(("If-Match", match),), repeatable=False
    )


def bulk(workspace: str, files: Sequence[data.BulkFile]) -> Request[data.BulkAnswer]:
    """Many writes and removals; each has its own result. Repeatable because each carries its key."""
    body = data.encode(data.BulkRequest(files=list(files)))
    return Request("POST", _workspace(workspace, "fs/bulk"), decoded(data.BulkAnswer), body=body, headers=_JSON)


def bulk_read(workspace: str, paths: Sequence[TreePath]) -> Request[data.BulkReadAnswer]:
    """Many files with their content, one entry a path, in order."""
    body = data.encode(data.BulkReadRequest(paths=[path.wire for path in paths]))
    read = decoded(data.BulkReadAnswer)
    return Request("POST", _workspace(workspace, "fs/bulk-read"), read, body=body, headers=_JSON)


def digest(workspace: str) -> Request[data.DigestAnswer]:
    """The tree digest of what I may read, at the head."""
    return Request("GET", _workspace(workspace, "fs/digest"), decoded(data.DigestAnswer))


def events(
    workspace: str, *, cursor: str | None = None, limit: int = 200, newest_first: bool = False
) -> Request[data.EventsPage]:
    """A page of the v1 event log."""
    query = [("limit", str(limit)), ("direction", "desc" if newest_first else "asc")]
    if cursor is not None:
        query.append(("cursor", cursor))
    return Request("GET", _workspace(workspace, "fs/events"), decoded(data.EventsPage), tuple(query))


def delta_stream(workspace: str, cursor: Cursor, start: int | None, inline_bytes: int) -> Request[None]:
    """The delta feed as frames: for a transport's `frames`."""
    query = [("since", str(cursor.position)), ("inline_bytes", str(inline_bytes))]
    if cursor.position > 0 and cursor.epoch:
        query.append(("epoch", cursor.epoch))
    if start is not None and cursor.position > 0:
        query.append(("start", str(start)))
    return Request(
        "GET", _workspace(workspace, "fs/delta"), nothing, tuple(query), headers=(("Accept", delta.CONTENT_TYPE),)
    )


def blobs_stream(workspace: str, digests: Sequence[Digest]) -> Request[None]:
    """Bodies by digest as frames: for a transport's `frames`."""
    body = data.encode(data.BlobsRequest(digests=[one.hex() for one in digests]))
    headers = (*_JSON, ("Accept", delta.CONTENT_TYPE))
    return Request("POST", _workspace(workspace, "fs/blobs"), nothing, body=body, headers=headers)


def blob(workspace: str, digest: Digest, start: int) -> Request[None]:
    """One body from byte `start` on, or all of it: for a transport's `pieces`."""
    headers = [("Accept", data.BINARY_CONTENT_TYPE), ("Accept-Encoding", "identity")]
    if start:
        headers += [("Range", f"bytes={start}-"), ("If-Range", f'"{digest.hex()}"')]
    return Request("GET", _workspace(workspace, f"fs/blob/{digest.hex()}"), nothing, headers=tuple(headers))


def live_path(workspace: str) -> str:
    """The path of the live socket."""
    return _workspace(workspace, "fs/ws")


def bulk_file(path: TreePath, body: bytes | None, mode: Mode, *, over: int, key: str) -> data.BulkFile:
    """One entry of a bulk: `body` at `path` over revision `over` (0: only if absent); None removes it."""
    match = "0" if over == 0 else f"rev_{over}"
    identity = _identity(key)
    if body is None:
        return data.BulkFile(path=path.wire, op="delete", if_match=match, content_identity=identity)
    if mode == SYMLINK:
        target = body.decode("utf-8", "strict")
        return data.BulkFile(
            path=path.wire,
            content=target,
            content_type=data.SYMLINK_CONTENT_TYPE,
            type="symlink",
            target=target,
            if_match=match,
            content_identity=identity,
        )
    content, encoding = content_text(body)
    return data.BulkFile(
        path=path.wire,
        content=content,
        encoding=encoding,
        mode=int(mode, 8),
        if_match=match,
        content_identity=identity,
    )


def content_text(body: bytes) -> tuple[str, str]:
    """`body` as it stands in JSON, and its encoding: text where it is text, else base64."""
    try:
        return body.decode("utf-8", "strict"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), "base64"


def is_text(body: bytes) -> bool:
    """Whether `body` is valid UTF-8."""
    try:
        body.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return True


def _identity(key: str) -> data.Identity:
    return data.Identity(kind=IDENTITY_KIND, key=key, ttl_seconds=IDENTITY_TTL_S)
