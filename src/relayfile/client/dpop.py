"""The key of one mirror, and proofs of holding it (RFC 9449). The only place of the client that signs.

The cryptography library costs 10 MiB and 40 ms: it is loaded by the first key that is made or read, which is in a
daemon, when it enrols or renews, and nowhere else.
"""

import base64
import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any, Final

from relayfile.errors import Damaged
from relayfile.model import Secret
from relayfile.wire.auth import DPOP_ALGORITHM, DPOP_KIND

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_COORDINATE_BYTES: Final = 32


class Key:
    """An EC P-256 key pair. Its private half never leaves the machine; where it lies is its caller's business."""

    def __init__(self, private: "EllipticCurvePrivateKey") -> None:
        self._private = private
        point = private.public_key().public_numbers()
        self._public = {
            "crv": "P-256",
            "kty": "EC",
            "x": _text(point.x.to_bytes(_COORDINATE_BYTES, "big")),
            "y": _text(point.y.to_bytes(_COORDINATE_BYTES, "big")),
        }

    @classmethod
    def new(cls) -> "Key":
        """A key that nobody has had before."""
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - see the module

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def parse(cls, pem: Secret) -> "Key":
        """The key that `pem` is.

        Raises:
            Damaged: it is none, or of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see the module
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        try:
            private = load_pem_private_key(pem.reveal().encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Damaged("it is no private key", code="key_damaged") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise Damaged("it is a key of another kind", code="key_damaged")
        return cls(private)

    def pem(self) -> Secret:
        """The key as it is kept: PKCS #8, not encrypted; the file's mode is what guards it."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the module

        raw = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Secret(raw.decode("ascii"))

    @property
    def thumbprint(self) -> str:
        """The name of the key: RFC 7638, the public half alone."""
        return _text(hashlib.sha256(_compact(self._public)).digest())

    def proof(self, method: str, url: str, *, at: float, nonce: str | None) -> str:
        """A proof, for one request at unix time `at`, that its sender holds this key.

        `nonce` is the server's own mark of time: with it the proof is good whatever this machine's clock says.
        Once: each proof has an id of its own, and is accepted once.
        """
        claims: dict[str, Any] = {"htm": method, "htu": url, "iat": int(at), "jti": secrets.token_urlsafe(16)}
        if nonce is not None:
            claims["nonce"] = nonce
        head = {"typ": DPOP_KIND, "alg": DPOP_ALGORITHM, "jwk": self._public}
        signed = f"{_text(_compact(head))}.{_text(_compact(claims))}"
        return f"{signed}.{_text(self._signature(signed.encode()))}"

    def _signature(self, message: bytes) -> bytes:
        """The two numbers of the signature side by side, as JWS has them (RFC 7518 section 3.4)."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - see the module
        from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

        r, s = utils.decode_dss_signature(self._private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")


def _compact(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
