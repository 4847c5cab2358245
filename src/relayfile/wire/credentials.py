"""The credential file and what stands beside it: bytes to values and back (4-sessions B.1, R9).

The six names of v1 are shared with other programs; the rest is ours and counts only while `rtFp` names the refresh
token beside it and `sum` covers both. Names that are nobody's of ours are kept as they are found.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from relayfile.errors import Damaged, Misconfigured
from relayfile.model import Grant, Secret

SCHEMA: Final = 2
V1_NAMES: Final = (
    "apiUrl",
    "accessToken",
    "refreshToken",
    "accessTokenExpiresAt",
    "refreshTokenExpiresAt",
    "updatedAt",
)
OUR_NAMES: Final = (
    "schemaVersion",
    "account",
    "scope",
    "family",
    "generation",
    "absoluteExpiresAt",
    "rtFp",
    "obtainedAtBoot",
    "serverDate",
    "renewedAfterRejection",
    "sum",
)


class Obtained(msgspec.Struct, frozen=True):
    """When an answer came, on the clock that counts through sleep and that nobody sets.

    `boot` names the boot it counts from. `sent` is before the request left, `received` after its answer came:
    between them the server's own count began.
    """

    boot: str
    sent: float
    received: float
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A grant as it is kept: the tokens, and what is known of them. Of a foreign writer's only the tokens are."""

    grant: Grant
    scope: str | None = None
    obtained: Obtained | None = None
    server_date: str | None = None
    after_rejection: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What a credential file holds: a login or none, and names that other programs put there."""

    pair: Pair | None
    others: Mapping[str, Any]


def fingerprint(token: Secret | None) -> str:
    """The name of a refresh token in files, messages and logs: 16 hex digits of its SHA-256. Empty for none."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()[:16] if token else ""


def encode(content: Content) -> bytes:
    """The credential file."""
    fields: dict[str, Any] = dict(content.others)
    if (pair := content.pair) is not None:
        fields |= _fields(pair)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def decode(raw: bytes) -> Content:
    """What the bytes of a credential file say. No token at all is a file without a login.

    Raises:
        Damaged: it is no credential file, or a half-written one.
        Misconfigured: code `credentials_newer`: a newer relayfile wrote it.
    """
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise Damaged("it is JSON, but no object", code="credentials_damaged") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged("it is empty" if not raw.strip() else "it is not JSON", code="credentials_damaged") from error
    schema = fields.get("schemaVersion")
    if isinstance(schema, int | float) and schema > SCHEMA:
        raise Misconfigured(
            f"the credential file has schema {schema}; this relayfile understands {SCHEMA}",
            code="credentials_newer",
            hint="upgrade relayfile",
        )
    others = {name: value for name, value in fields.items() if name not in V1_NAMES and name not in OUR_NAMES}
    if not any(name in fields for name in ("accessToken", "refreshToken", "rtFp")):
        return Content(None, others)
    return Content(_pair(fields), others)


def _fields(pair: Pair) -> dict[str, Any]:
    grant = pair.grant
    fields: dict[str, Any] = {
        "apiUrl": grant.api_url,
        "accessToken": grant.access_token.reveal(),
        "refreshToken": grant.refresh_token.reveal() if grant.refresh_token else None,
        "accessTokenExpiresAt": moment(grant.access_expires_at),
        "refreshTokenExpiresAt": moment(grant.refresh_expires_at),
        "updatedAt": moment(grant.issued_at),
        "schemaVersion": SCHEMA,
        "account": grant.account,
        "scope": pair.scope,
        "family": grant.family,
        "generation": grant.generation,
        "absoluteExpiresAt": moment(grant.absolute_expires_at),
        "rtFp": fingerprint(grant.refresh_token),
        "obtainedAtBoot": msgspec.to_builtins(pair.obtained),
        "serverDate": pair.server_date,
        "renewedAfterRejection": pair.after_rejection or None,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    return fields | {"sum": _sum(fields)}


def _sum(fields: Mapping[str, Any]) -> str:
    ours = {name: fields[name] for name in (*V1_NAMES, *OUR_NAMES) if name in fields and name != "sum"}
    return hashlib.sha256(msgspec.json.encode(ours, order="sorted")).hexdigest()[:32]


class _V1(msgspec.Struct, rename="camel"):
    access_token: str
    api_url: str
    refresh_token: str | None = None
    access_token_expires_at: str | float | None = None
    refresh_token_expires_at: str | float | None = None
    updated_at: str | float | None = None


class _Ours(msgspec.Struct, rename="camel"):
    rt_fp: str
    sum: str
    account: str | None = None
    scope: str | None = None
    family: str | None = None
    generation: int | None = None
    absolute_expires_at: str | None = None
    obtained_at_boot: Obtained | None = None
    server_date: str | None = None
    renewed_after_rejection: bool = False


def _pair(fields: Mapping[str, Any]) -> Pair:
    try:
        v1 = msgspec.convert(fields, _V1)
    except msgspec.ValidationError as error:
        raise Damaged("it lacks a token or its server", code="credentials_damaged") from error
    if not v1.access_token or not v1.api_url:
        raise Damaged("it has an empty token or no server", code="credentials_damaged")
    refresh = Secret(v1.refresh_token) if v1.refresh_token else None
    ours = _ours(fields, fingerprint(refresh))
    grant = Grant(
        api_url=v1.api_url,
        access_token=Secret(v1.access_token),
        access_expires_at=seconds(v1.access_token_expires_at),
        refresh_token=refresh,
        refresh_expires_at=seconds(v1.refresh_token_expires_at),
        issued_at=seconds(v1.updated_at),
        family=ours.family if ours else None,
        generation=ours.generation if ours else None,
        account=ours.account if ours else None,
        absolute_expires_at=seconds(ours.absolute_expires_at) if ours else None,
    )
    if ours is None:
        return Pair(grant)
    return Pair(grant, ours.scope, ours.obtained_at_boot, ours.server_date, ours.renewed_after_rejection)


def _ours(fields: Mapping[str, Any], fp: str) -> _Ours | None:
    """Our own names, if they were written together with this refresh token (R9)."""
    try:
        ours = msgspec.convert(fields, _Ours)
    except msgspec.ValidationError:
        return None
    return ours if ours.rt_fp == fp and ours.sum == _sum(fields) else None


def moment(at: float | None) -> str | None:
    """Unix seconds as v1 writes them: RFC 3339, UTC, milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str | float | None) -> float | None:
    """Unix seconds out of what writers put there: RFC 3339, or a number of seconds or milliseconds; else None."""
    if isinstance(text, int | float):
        return float(text) / 1000 if text > 1e11 else float(text)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Intent(msgspec.Struct, frozen=True, rename="camel"):
    """The nonce with which the refresh token named `rtFp` is, and always will be, presented (I2)."""

    rt_fp: str
    nonce: str
    created_at: str | None = None
    family: str | None = None
    generation: int | None = None


class Ending(msgspec.Struct, frozen=True, rename="camel"):
    """Why a refresh token is never presented again (I5)."""

    rt_fp: str
    error: str
    at: float
    reason: str | None = None
    by: str | None = None


class Tombstone(msgspec.Struct, frozen=True, rename="camel"):
    """A login that its person ended: nothing of it is ever put back (I4)."""

    rt_fp: str
    at: float
    family: str | None = None


class Endings(msgspec.Struct, frozen=True):
    """`cloud-credentials.verdict`."""

    verdicts: tuple[Ending, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()


class Trouble(msgspec.Struct, frozen=True, rename="camel"):
    """`cloud-credentials.trouble`: why the last renewal that failed did. For people; nothing is decided by it."""

    rt_fp: str
    at: float
    kind: str
    cause: str


class _History(msgspec.Struct, frozen=True):
    consumed: tuple[str, ...] = ()
    newest: dict[str, Any] | None = None


class _Stash(msgspec.Struct, frozen=True, rename="camel"):
    consumed: str
    pair: dict[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """`cloud-credentials.history`: fingerprints of exchanged refresh tokens, oldest first, and our newest pair."""

    consumed: tuple[str, ...] = ()
    newest: Pair | None = None


def encode_history(history: History) -> bytes:
    """The history file."""
    newest = _fields(history.newest) if history.newest else None
    return msgspec.json.encode(_History(history.consumed, newest)) + b"\n"


def decode_history(raw: bytes) -> History:
    """The history a file holds; an unreadable one is no history (it only ever makes us more careful)."""
    try:
        kept = msgspec.json.decode(raw, type=_History)
        return History(kept.consumed, _pair(kept.newest) if kept.newest else None)
    except (msgspec.MsgspecError, UnicodeDecodeError, Damaged):
        return History()


def encode_stash(consumed: str, pair: Pair) -> bytes:
    """A stash: the successor of the refresh token named `consumed`."""
    return msgspec.json.encode(_Stash(consumed, _fields(pair))) + b"\n"


def decode_stash(raw: bytes, consumed: str) -> Pair | None:
    """The successor of `consumed`, if this stash holds it whole."""
    try:
        kept = msgspec.json.decode(raw, type=_Stash)
        pair = _pair(kept.pair)
    except (msgspec.MsgspecError, UnicodeDecodeError, Damaged):
        return None
    whole = pair.obtained is not None and kept.consumed == consumed
    return pair if whole else None
