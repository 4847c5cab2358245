"""Every exception the package raises, told apart by what the receiver does next.

    RelayfileError
    ├── UsageError         correct the command or the request        HTTP 400  exit  2
    ├── LoginRequired      sign in again                             HTTP 401  exit  4
    ├── Forbidden          ask for access                            HTTP 403  exit 77
    ├── NotFound           nothing is there                          HTTP 404  exit  1
    ├── RevisionMismatch   plan again with what is there now         HTTP 409  exit  1
    ├── CursorExpired      observe again from 0, keeping base        HTTP 410  exit 75
    ├── Unavailable        wait and repeat: the only retried class   HTTP 503  exit 75
    ├── Halted             a person chooses; `status` says what                exit  6
    ├── LeaseHeld          use the process that holds it                       exit  7
    ├── Misconfigured      mend this machine                                   exit 78
    ├── Damaged            stop using that data                      HTTP 500  exit 70
    └── ProtocolMismatch   upgrade one side, or wrong server         HTTP 400  exit 76

`code` is the machine's word (stable, snake_case; on the wire it is the `code` of the error body), the message
says what happened and what was not harmed, `hint` what to do next. Nothing in the package decides by the text of
a message. A token is never part of one.
"""

from collections.abc import Mapping
from typing import ClassVar


class RelayfileError(Exception):
    """One failure, with everything a person or a program needs to go on.

    `details` are further facts for programs (on the wire: extra top-level fields of the error body).
    """

    exit_code: ClassVar[int] = 70
    http_status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.status = status or self.http_status
        self.details = dict(details or {})


class UsageError(RelayfileError):
    """The command or the request cannot mean anything; repeating it unchanged cannot help."""

    exit_code = 2
    http_status = 400
    default_code = "bad_request"


class LoginRequired(RelayfileError):  # noqa: N818 - named for what to do next
    """No usable sign-in; a person (or a new machine token) is needed."""

    exit_code = 4
    http_status = 401
    default_code = "login_required"


class Forbidden(RelayfileError):  # noqa: N818
    """Signed in, but not allowed to do this."""

    exit_code = 77
    http_status = 403
    default_code = "forbidden"


class NotFound(RelayfileError):  # noqa: N818
    """Nothing by that name that this caller may see."""

    exit_code = 1
    http_status = 404
    default_code = "not_found"


class RevisionMismatch(RelayfileError):  # noqa: N818
    """The path changed since it was read. Nothing was written. `current` is its revision now, 0 when absent."""

    exit_code = 1
    http_status = 409
    default_code = "revision_conflict"

    def __init__(self, message: str, *, current: int, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message, details=details)
        self.current = current


class CursorExpired(RelayfileError):  # noqa: N818
    """The log can no longer be read from that cursor (R17); observe again from 0. Code or `view_changed` (R22)."""

    exit_code = 75
    http_status = 410
    default_code = "cursor_expired"


class Unavailable(RelayfileError):  # noqa: N818
    """It did not work now and may work later. `retry_after_s` is what the other side asked for, if it did."""

    exit_code = 75
    http_status = 503
    default_code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, status=status, details=details)
        self.retry_after_s = retry_after_s


class Halted(RelayfileError):  # noqa: N818
    """Stopped for safety until a person decides. Nothing was deleted or overwritten."""

    exit_code = 6
    default_code = "halted"


class LeaseHeld(RelayfileError):  # noqa: N818
    """Another process owns this mirror or this data folder. `pid` when it is known."""

    exit_code = 7
    default_code = "lease_held"

    def __init__(self, message: str, *, pid: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class Misconfigured(RelayfileError):  # noqa: N818
    """This machine must be mended first: unwritable, no locks, wrong owner, impossible place."""

    exit_code = 78
    default_code = "misconfigured"


class Damaged(RelayfileError):  # noqa: N818
    """Stored data does not fit its digest or its schema; it is left as it is and not used."""

    exit_code = 70
    http_status = 500
    default_code = "damaged"


class ProtocolMismatch(RelayfileError):  # noqa: N818
    """The other side does not speak this protocol: too old, too new, or not relayfile at all."""

    exit_code = 76
    http_status = 400
    default_code = "protocol_mismatch"


def within(raised: BaseException | None) -> RelayfileError | None:
    """The first error of ours in what was raised: itself, or the first one found in a group of errors."""
    if isinstance(raised, BaseExceptionGroup):
        return next(filter(None, map(within, raised.exceptions)), None)
    return raised if isinstance(raised, RelayfileError) else None
