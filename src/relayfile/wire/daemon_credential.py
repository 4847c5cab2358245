"""The file a daemon credential is kept in, `mirrors/<id>/credential.json`, and what a client reads of its server.

The file is a credential file like the shared one (`wire/credentials`), with one more name in it: `enrolment`, which
says whose key it is bound to, for what, by whose sign-in, and whether the server has refused it.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from relayfile.errors import Damaged
from relayfile.wire.credentials import Content, Pair, decode, encode

EXPIRED: Final = "expired"
_NAME: Final = "enrolment"


class Refusal(msgspec.Struct, frozen=True, rename="camel"):
    """The server's word that the credential is over, and by whose hand if it was told.

    `beside` is the sign-in of the shared file at that moment.
    """

    error: str
    at: float
    reason: str | None = None
    by: str | None = None
    beside: str | None = None


class Enrolment(msgspec.Struct, frozen=True, rename="camel"):
    """How a daemon came by its credential. `key` is its thumbprint, `by` the family that vouched, times unix seconds.

    `again_at` is when it begins to ask for a successor, `ends_at` when nothing can prolong it any more.
    """

    workspace: str
    mirror: str
    key: str
    at: float
    again_at: float | None = None
    ends_at: float | None = None
    by: str | None = None
    refusal: Refusal | None = None

    def over(self, refusal: Refusal) -> "Enrolment":
        """The same, refused."""
        return msgspec.structs.replace(self, refusal=refusal)


class Offer(msgspec.Struct, frozen=True):
    """The part of the server's metadata that tells whether it gives credentials to daemons."""

    grant_types_supported: list[str] = []
    dpop_signing_alg_values_supported: list[str] = []


@dataclass(frozen=True, slots=True)
class Held:
    """A daemon credential as it is kept."""

    pair: Pair
    enrolment: Enrolment


def encode_held(held: Held) -> bytes:
    """The file."""
    return encode(Content(held.pair, {_NAME: msgspec.to_builtins(held.enrolment)}))


def decode_held(raw: bytes) -> Held:
    """What the file says.

    Raises:
        Damaged: it is no daemon credential, or not as it was written.
        Misconfigured: code `credentials_newer`: a newer relayfile wrote it.
    """
    content = decode(raw)
    # Only what we wrote together counts here: nobody else writes this file.
    if content.pair is None or content.pair.grant.family is None or content.pair.grant.refresh_token is None:
        raise Damaged("it is no whole credential", code="credentials_damaged")
    fields: dict[str, Any] = dict(content.others)
    try:
        return Held(content.pair, msgspec.convert(fields.get(_NAME), Enrolment))
    except msgspec.ValidationError as error:
        raise Damaged("it does not say what it is for", code="credentials_damaged") from error
