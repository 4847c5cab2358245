"""What answers mean: bodies into values, refusals into `relayfile.errors`. No I/O.

Only a body that is relayfile's own JSON is believed about anything but "it did not work now": a proxy, a captive
portal or another program may answer any status with anything (4-sessions I9).
"""

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from relayfile.core.causes import Kind
from relayfile.errors import (
    CursorExpired,
    Forbidden,
    LoginRequired,
    NotFound,
    ProtocolMismatch,
    RelayfileError,
    RevisionMismatch,
    Unavailable,
    UsageError,
)
from relayfile.wire import live

T = TypeVar("T")

NOT_RELAYFILE: Final = "not_relayfile"
CURSOR_CODES: Final = frozenset({"cursor_expired", "view_changed"})
GONE_CODES: Final = frozenset({"workspace_deleted", "workspace_not_found"})
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_ANSWER_BYTES: Final = 96 * 1024 * 1024
"""No answer is longer; only streams are, and those are read frame by frame."""
_KNOWN: Final = frozenset({"code", "message", "correlationId", "hint", "retryAfterSeconds"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def too_long() -> ProtocolMismatch:
    """The server goes on and on."""
    return ProtocolMismatch(f"an answer of more than {MAX_ANSWER_BYTES} bytes; it was not read on", code="too_long")


def is_json(answer: Answer) -> bool:
    """Whether the answer says that it is JSON."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def retry_after_s(answer: Answer, *, now: float | None = None) -> float | None:
    """What `Retry-After` asks for, in seconds from now; None when it asks for nothing that can be understood."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if not text:
        return None
    try:
        until = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, until - (time.time() if now is None else now))


def json_object(answer: Answer) -> dict[str, Any] | None:
    """The JSON object that the body is, whatever the answer says of itself; None when it is none."""
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def not_relayfile(answer: Answer) -> Unavailable:
    """Something else than relayfile answered: a proxy, a captive portal, another program."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip() or "no type"
    return Unavailable(
        f"something that is not relayfile answered (HTTP {answer.status}, {kind})",
        code=NOT_RELAYFILE,
        hint="a proxy or a captive portal may be in the way; otherwise check the server's address",
        retry_after_s=retry_after_s(answer),
        status=answer.status,
    )


def is_no_server(error: Unavailable) -> bool:
    """Whether something answered that is not relayfile, and not a proxy's word that the server is away."""
    foreign = error.code == NOT_RELAYFILE or error.details.get("kind") == Kind.WRONG_SERVICE
    return foreign and error.status not in TRANSIENT


def failure(answer: Answer) -> RelayfileError:
    """The error that `answer`, which is no success, tells. Decided by status and code, never by its message."""
    body = json_object(answer)
    code = body.get("code", body.get("error")) if body else None
    if body is None or not isinstance(code, str):
        return not_relayfile(answer)
    message = _text(body, "message") or _text(body, "error_description") or code
    hint = _text(body, "hint")
    status = answer.status
    details = {name: value for name, value in body.items() if name not in _KNOWN}
    if code in CURSOR_CODES:
        return CursorExpired(message, code=code, hint=hint, details=details)
    if code in GONE_CODES:
        return NotFound(message, code=code, hint=hint, status=status)
    if status in TRANSIENT or (status >= 500 and status != 501):
        asked = body.get("retryAfterSeconds", body.get("retry_after_seconds"))
        wait = float(asked) if isinstance(asked, int | float) else retry_after_s(answer)
        return Unavailable(message, code=code, hint=hint, retry_after_s=wait, status=status, details=details)
    if status == 401:
        return LoginRequired(message, code=code, hint=hint)
    if status == 403:
        return Forbidden(message, code=code, hint=hint, details=details)
    if status == 404:
        return NotFound(message, code=code, hint=hint, details=details)
    if status == 409 and code in {"revision_conflict", "conflict"}:
        return RevisionMismatch(message, current=_revision(_text(body, "currentRevision")) or 0, details=details)
    if status == 501:
        return ProtocolMismatch(message, code=code, hint=hint, status=status)
    return UsageError(message, code=code, hint=hint, status=status, details=details)


def says_over(answer: Answer) -> bool:
    """Whether a 401 says that the sign-in or credential behind the token has ended, and not just the token."""
    told = json_object(answer)
    return told is not None and told.get("code") == "token_revoked"


def decoded(type_: type[T]) -> Callable[[Answer], T]:
    """A reader of answers whose body is the JSON of a `type_`."""
    decoder = msgspec.json.Decoder(type_)

    def read(answer: Answer) -> T:
        if not 200 <= answer.status < 300:
            raise failure(answer)
        if not is_json(answer):
            raise not_relayfile(answer)
        try:
            return decoder.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # The decoder names the field and the kind that was expected, never a value.
            raise ProtocolMismatch(
                f"an answer that is not what this version understands: {error}",
                hint="client and server may be of different versions",
            ) from error

    return read


def nothing(answer: Answer) -> None:
    """The reader of answers of which only success matters."""
    if not 200 <= answer.status < 300:
        raise failure(answer)


def begins_at(answer: Answer) -> int:
    """At which byte of the whole the body of a successful answer begins (RFC 9110, 14.4).

    Raises:
        ProtocolMismatch: it is a part that does not say which.
    """
    if answer.status != 206:
        return 0
    unit, _, place = answer.headers.get("content-range", "").partition(" ")
    first = place.partition("-")[0]
    if unit != "bytes" or not (first.isascii() and first.isdigit()):
        raise ProtocolMismatch("a part of a body that does not say which part it is")
    return int(first)


class _Target(msgspec.Struct, rename="camel"):
    target_revision: str


_target = decoded(_Target)


def revision(answer: Answer) -> int:
    """The reader of what a write or a removal answers: the revision it made."""
    return live.position(_target(answer).target_revision)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def _revision(text: str | None) -> int | None:
    """N of `rev_N`; None when it is none."""
    try:
        return live.position(text) if text else None
    except ProtocolMismatch:
        return None
