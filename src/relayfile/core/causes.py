"""Why a sign-in ended, or could not be renewed, in people's words. Pure.

What the machines say (a reason word of the server, a kind of failure) comes in; nothing is decided by what goes out.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What kept a request from an answer that counts."""

    DNS = "dns"
    TLS = "tls"
    NO_TLS = "no_tls"
    CLOCK = "clock"
    UNREACHABLE = "unreachable"
    LOST = "answer_lost"
    WRONG_SERVICE = "wrong_service"
    SERVER = "server"


_LABELS: Final[Mapping[str, str]] = {
    Kind.DNS: "DNS: the name of the server cannot be resolved",
    Kind.TLS: "TLS: the certificate is not trusted",
    Kind.NO_TLS: "TLS: none is spoken there; try the address with http://",
    Kind.CLOCK: "TLS: the certificate is not valid at the time this machine's clock shows",
    Kind.UNREACHABLE: "server unreachable",
    Kind.LOST: "the answer was lost; the same request will be repeated, safely",
    Kind.WRONG_SERVICE: "wrong service: what answers there is not relayfile",
    Kind.SERVER: "the server could not do it now",
}

_ENDED: Final[Mapping[str, str]] = {
    "reuse_detected": (
        "reuse detected: a refresh token that had been exchanged was presented again, so the server ended the "
        "sign-in; it was copied, or another program shares it"
    ),
    "expired": "expired: it was not used for too long, or is as old as a sign-in may become",
    "revoked": "revoked, by `relayfile auth revoke`",
    "signed_out_everywhere": "signed out everywhere, by `relayfile logout --everywhere`",
    "logged_out": "signed out by another process",
    "not_saved": "given up, because the machine that signed in could not save it",
    "replaced": "replaced by a later sign-in",
    "superseded": "another program renewed it, and what it got is not in this file",
    "already exchanged": "the file holds a token that was already exchanged; the one it became is nowhere here",
    "no refresh token": "the file holds no refresh token",
    "unknown": "the server does not know it: it is another server, or another database",
    "unissued": "the server does not know it: it is another database, or an older copy of it",
    "malformed": "the server does not know it: it is another server, or another database",
    "invalid_client": "the server does not accept this client",
    "unauthorized_client": "the server does not accept this client",
}

NOTABLE_SKEW_S: Final = 5.0
"""What an answer's whole-second date and its way here may pretend is less than this."""


def ended(reason: str | None) -> str:
    """Why the server ended a sign-in. A reason that is a sentence already (`revoked by ada from box7`) stays."""
    if not reason:
        return "ended, and the server did not say why"
    return _ENDED.get(reason, reason)


def failed(kind: str, cause: str) -> str:
    """Why a request had no answer that counts; `cause` are the details."""
    label = _LABELS.get(kind)
    if label is None or cause.startswith(label):
        return cause
    return f"{label} ({cause})" if cause else label


def clock(ahead_s: float | None) -> str | None:
    """How this machine's clock stands to the server's; None when it agrees, or nothing is known."""
    if ahead_s is None or abs(ahead_s) < NOTABLE_SKEW_S:
        return None
    return f"clock off by {abs(ahead_s):.0f} s ({'ahead of' if ahead_s > 0 else 'behind'} the server's)"
