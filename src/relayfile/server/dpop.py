"""Proofs that a request comes from whoever holds a key: DPoP at the token endpoint (RFC 9449, R11).

A proof holds for one request to this server, with a nonce of ours that is at most two slots old. No clock of the
client is ever asked: a machine whose clock is years off renews like any other. Whether the proof was used before is
decided in the transaction that uses it (`store/proofs.spend`), so that nothing is used up by a request that fails.
"""

import hmac
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import Response

from relayfile.core.enrolment import forgotten_at, good_slots, slot
from relayfile.errors import UsageError
from relayfile.server.intake import Place
from relayfile.server.keys import Keys
from relayfile.server.store.proofs import KeyProof
from relayfile.wire.auth import (
    DPOP_ALGORITHM,
    DPOP_KIND,
    INVALID_DPOP_PROOF,
    USE_DPOP_NONCE,
    ProofClaims,
    ProofHeader,
)

HEADER: Final = "dpop"
NONCE_HEADER: Final = "DPoP-Nonce"
_MAX_PROOF: Final = 4_096
_MAX_JTI: Final = 256
_PORTS: Final = {"http": 80, "https": 443}
_PUBLIC: Final = frozenset({"kty", "crv", "x", "y", "kid", "use", "alg"})

Handler = Callable[[Request], Awaitable[Response]]


class Proofs:
    """Judges the `DPoP` header of requests."""

    def __init__(self, keys: Keys, place: Place) -> None:
        self._keys = keys
        self._place = place

    def presented(self, request: Request) -> KeyProof | None:
        """The proof that came with this request, if one did; it holds, but may have been used before.

        Raises:
            UsageError: code `use_dpop_nonce` (nothing else is wrong with it) or `invalid_dpop_proof`.
        """
        proofs = request.headers.getlist(HEADER)
        if not proofs:
            return None
        if len(proofs) > 1:
            raise _invalid("there are two of them")
        key, claims = _read(proofs[0])
        if claims.htm != request.method:
            raise _invalid("it is for another method")
        here = (str(request.base_url).rstrip("/"), self._place.base(request))
        if _address(claims.htu) not in {_address(base + request.url.path) for base in here}:
            raise _invalid(f"it is for another address than {here[1]}; --public-url tells the server its own")
        if not 0 < len(claims.jti) <= _MAX_JTI:
            raise _invalid(f"its jti must have 1 to {_MAX_JTI} characters")
        for number in good_slots(time.time()):
            if claims.nonce is not None and hmac.compare_digest(_raw(claims.nonce), _raw(self._nonce(number))):
                jkt = key.thumbprint()
                return KeyProof(jkt, sha256(_raw(f"{jkt}.{claims.jti}")).digest(), forgotten_at(number))
        raise UsageError(
            "the proof's nonce is missing or too old; repeat with the one in DPoP-Nonce", code=USE_DPOP_NONCE
        )

    def required(self, request: Request) -> KeyProof:
        """As `presented`; a request without a proof is refused.

        Raises:
            UsageError: code `use_dpop_nonce` or `invalid_dpop_proof`.
        """
        proof = self.presented(request)
        if proof is None:
            raise _invalid("there is none")
        return proof

    def fresh(self, handler: Handler) -> Handler:
        """`handler`, whose answers to requests with a proof carry the nonce for the next one."""

        async def answered(request: Request) -> Response:
            response = await handler(request)
            if HEADER in request.headers:
                response.headers[NONCE_HEADER] = self._nonce(slot(time.time()))
            return response

        return answered

    def _nonce(self, number: int) -> str:
        return self._keys.proof_nonce(number)


def _read(proof: str) -> tuple[ECKey, ProofClaims]:
    """The key and the claims of a proof that was signed with that very key."""
    if len(proof) > _MAX_PROOF:
        raise _invalid(f"it has more than {_MAX_PROOF} characters")
    try:
        found = jws.extract_compact(proof.encode("ascii"))
        header = msgspec.convert(found.headers(), ProofHeader)
        if set(header.jwk) - _PUBLIC:
            raise _invalid("its jwk holds more than the public half of a key")
        if (header.alg, header.typ) != (DPOP_ALGORITHM, DPOP_KIND):
            raise _invalid(f"it must be a {DPOP_KIND} signed with {DPOP_ALGORITHM}")
        parameters: dict[str, Any] = {name: header.jwk.get(name, "") for name in ("kty", "crv", "x", "y")}
        key = ECKey.import_key(parameters)
        signed = jws.deserialize_compact(proof, key, algorithms=[DPOP_ALGORITHM])
        return key, msgspec.json.decode(signed.payload, type=ProofClaims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _invalid("it cannot be read, or is not signed by its own key") from error


def _address(url: str) -> tuple[str, str, int | None, str] | None:
    """What of an address must agree: neither query nor fragment count, nor how a port is written (RFC 9449 4.3)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", port or _PORTS.get(parts.scheme), parts.path


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _invalid(why: str) -> UsageError:
    return UsageError(f"the proof of the key does not hold: {why}", code=INVALID_DPOP_PROOF)
