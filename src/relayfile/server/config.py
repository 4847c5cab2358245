"""Every setting of the server: frozen values in groups, read once where the process begins.

Nothing else in the server reads the environment or the command line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from relayfile.core.admission import SUBJECT, Rules
from relayfile.errors import UsageError

MIB: Final = 1_048_576
_UNITS_S: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_DURATION_HINT: Final = "write a number and a unit, such as 30s, 30m, 12h or 90d"
_LEAST_LIFE_S: Final = 0.1
_LONGEST_DAYS: Final = 3_660
_TOMBSTONE_DAYS: Final = 36_500
_ACCOUNT: Final = re.compile(r"[^\W_][\w.@+-]{0,63}")


def duration_s(text: str) -> float:
    """The seconds that `text` means: `3s`, `30m`, `90d`, `1.5h`, `250ms`, or a bare number of seconds.

    Raises:
        UsageError: it is none of these.
    """
    if (seconds := _seconds(text)) is None:
        raise UsageError(f"not a duration: {text!r}", hint=_DURATION_HINT)
    return seconds


def lifetime_s(option: str, text: str, *, or_none: bool = False) -> float:
    """The seconds that `text` gives the lifetime `option`: 100 ms to ten years, or with `or_none` also 0.

    Raises:
        UsageError: it is none, or none that tokens or the tables of the server could hold.
    """
    seconds = _seconds(text)
    if seconds is None or not (0 if or_none else _LEAST_LIFE_S) <= seconds <= _LONGEST_DAYS * _UNITS_S["d"]:
        allowed = f"{'0s' if or_none else '100ms'} to {_LONGEST_DAYS}d"
        raise UsageError(
            f"{option} must be {allowed}, not {text[:40]!r}. Nothing was started.",
            hint=_DURATION_HINT,
            code="lifetime",
        )
    return seconds


def _seconds(text: str) -> float | None:
    found = _DURATION.fullmatch(text.strip().lower())
    return float(found[1]) * _UNITS_S[found[2]] if found else None


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the server listens. `port` 0 lets the system choose one.

    `public_url` is how clients reach it when that is not `http://host:port` (a proxy, another name);
    `ready_file`, when given, holds the actual address once the server really listens.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    ready_file: Path | None = None


def host_and_port(text: str) -> tuple[str, int]:
    """The two halves of `HOST:PORT`, `[V6]:PORT` or `:PORT` (every interface).

    Raises:
        UsageError: no port, or one that is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UsageError(f"not an address to listen at: {text!r}", hint="write HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - the caller asked for every interface


def public_url(text: str) -> str:
    """`text` as the address that clients and browsers are told.

    Raises:
        UsageError: nobody could ask there.
    """
    if _address(text) is None:
        shown = text.rpartition("@")[2]  # what stands before it may be a password
        raise UsageError(
            f"--public-url must be https://HOST or http://HOST:PORT, and a path if need be, not {shown[:120]!r}. "
            "Nothing was started.",
            hint="write it as a browser there shows it",
            code="public_url",
        )
    return text


def _address(text: str) -> SplitResult | None:
    """The parts of an http or https address without a user, a query or a fragment; None: it is no such address."""
    if not text.isprintable() or any(mark in text for mark in " ?#"):  # urlsplit would drop a line break unseen
        return None
    try:
        where = urlsplit(text)
        _ = where.port
    except ValueError:
        return None
    return where if where.scheme in {"https", "http"} and where.hostname and "@" not in where.netloc else None


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that an unattended first start creates; ignored, with a notice, when accounts exist (R45)."""

    name: str | None = None
    password_file: Path | None = None


def owner_name(text: str) -> str:
    """`text` as the name of the first account: one that an option, a table and a log can hold as it is.

    Raises:
        UsageError: it is none.
    """
    if not _ACCOUNT.fullmatch(text):
        raise UsageError(
            f"--owner must be 1 to 64 letters, digits and . _ - @ +, beginning with a letter or digit, "
            f"not {text[:80]!r}. Nothing was started.",
            hint="leave --owner out to use your user name",
            code="owner_name",
        )
    return text


@dataclass(frozen=True, slots=True)
class OpenIdConnect:
    """The provider that people may sign in through, and who of them may come in.

    `name` is what the button says; `client_secret_file` is None for a public client (PKCE is used either way).
    """

    issuer: str
    client_id: str
    client_secret_file: Path | None
    name: str
    rules: Rules


def issuer(text: str) -> str:
    """`text` as the address of a provider: exactly as it names itself, so nothing is tidied.

    Raises:
        UsageError: it is none, or whoever is on the way could answer in its place.
    """
    if (where := _address(text)) is None:
        raise UsageError(f"not the address of a provider: {text!r}", hint="write it as the provider does: https://…")
    if where.scheme == "http" and where.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise UsageError(
            f"{text} is not https: whoever is on the way could say who people are. Nothing was started.",
            code="insecure_issuer",
        )
    return text


def admission(domains: Iterable[str], people: Iterable[str]) -> Rules:
    """Who may come in: e-mail domains, and `NAME=EMAIL` or `NAME=sub:SUBJECT`.

    Raises:
        UsageError: one of them is neither, a name is given twice, or nobody could come in at all.
    """
    named: dict[str, str] = {}
    for text in people:
        name, equals, whom = (part.strip() for part in text.partition("="))
        is_subject = whom.startswith(SUBJECT) and len(whom) > len(SUBJECT)
        if not equals or not name or not (is_subject or _is_email(whom)) or name.casefold() in named:
            raise UsageError(
                f"not an account and its person, or an account named twice: {text!r}",
                hint="write NAME=EMAIL or NAME=sub:SUBJECT, one for each account",
            )
        named[name.casefold()] = whom if is_subject else whom.casefold()
    folded = frozenset(domain.strip().removeprefix("@").casefold() for domain in domains)
    if wrong := [domain for domain in folded if not _is_email(f"x@{domain}")]:
        raise UsageError(f"not an e-mail domain: {wrong[0]!r}")
    if not folded and not named:
        raise UsageError(
            "nobody could sign in through that provider. Nothing was started.",
            hint="add --oidc-domain DOMAIN or --oidc-account NAME=EMAIL",
            code="nobody_admitted",
        )
    return Rules(folded, named)


def _is_email(text: str) -> bool:
    name, at, domain = text.rpartition("@")
    return bool(at and name and domain) and text.isprintable() and not any(c in text for c in ' *,;<>"')


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long each token lives, in seconds (R7). `refresh_overlap_s` 0 behaves like a strict cloud (R2)."""

    access_ttl_s: float = 1_800.0
    refresh_ttl_s: float = 30 * 86_400.0
    absolute_ttl_s: float = 90 * 86_400.0
    refresh_overlap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest JSON body and the largest streamed file, in bytes, and how long tombstones are kept (R24).

    `prune_tombstones_days` None keeps them for ever.
    """

    body_bytes: int = 16 * MIB
    file_bytes: int = 1_024 * MIB
    prune_tombstones_days: float | None = None


def tombstone_days(days: float) -> float:
    """`days` as the time that deletions are remembered.

    Raises:
        UsageError: it is less than nothing, no number, or longer than the clock of the log reaches.
    """
    if not 0 <= days <= _TOMBSTONE_DAYS:
        raise UsageError(
            f"--prune-tombstones must be 0 to {_TOMBSTONE_DAYS} days, not {days:g}. Nothing was started.",
            hint="leave it out to keep them for ever",
            code="prune_tombstones",
        )
    return days


@dataclass(frozen=True, slots=True)
class Logs:
    """Where the access log goes, one JSON object a line: DATA/access.log, or stderr, or nowhere."""

    access: bool = True
    to_stderr: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What one server process runs with. `data` holds everything it must not lose; `keys` is DATA/keys by default."""

    data: Path
    keys: Path | None = None
    listen: Listen = field(default_factory=Listen)
    owner: Owner = field(default_factory=Owner)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    limits: Limits = field(default_factory=Limits)
    logs: Logs = field(default_factory=Logs)
    openid: OpenIdConnect | None = None

    @property
    def keys_dir(self) -> Path:
        """The folder of the server's keys."""
        return self.keys or self.data / "keys"
