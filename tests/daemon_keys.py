"""Keys of daemons for tests, and proofs of them, made with the bare primitives: a witness of its own (RFC 9449)."""

import base64
import json
import secrets
import time
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from people import Person
from plain_http import Answer

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
REFRESH = "urn:ietf:params:oauth:token-type:refresh_token"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class DaemonKey:
    """A P-256 key, and what a daemon does with it at a token endpoint."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        self.jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(numbers.x.to_bytes(32)),
            "y": b64(numbers.y.to_bytes(32)),
        }
        self.nonce: str | None = None

    @property
    def thumbprint(self) -> str:
        """RFC 7638: the required members, in order, without spaces."""
        members = {name: self.jwk[name] for name in ("crv", "kty", "x", "y")}
        return b64(sha256(json.dumps(members, separators=(",", ":")).encode()).digest())

    def proof(self, url: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A proof for `POST url`; `header` and `claims` change what it says, None leaves a claim out."""
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk} | (header or {})
        said = {"jti": secrets.token_hex(8), "htm": "POST", "htu": url, "iat": int(time.time()), "nonce": self.nonce}
        said |= claims
        said = {name: value for name, value in said.items() if value is not None}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(said).encode())}"
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{b64(r.to_bytes(32) + s.to_bytes(32))}"

    def ask(self, person: Person, form: dict[str, str], *, proof: str | None = None, **claims: Any) -> Answer:
        """The token endpoint's answer to this form with a proof; a nonce it asks for is sent at once."""
        url = f"{person.http.url}/oauth/token"
        for again in (False, True):
            sent = self.proof(url, **claims) if proof is None else proof
            answer = _sent(person, form, sent)
            self.nonce = answer.headers.get("dpop-nonce", self.nonce)
            asked_for_nonce = answer.status == 400 and answer.json["error"] == "use_dpop_nonce"
            if again or proof is not None or "nonce" in claims or not asked_for_nonce:
                return answer
        raise AssertionError("unreachable")

    def enrol(self, person: Person, workspace: str, mirror: str = "m1", /, **fields: str) -> Answer:
        """A credential of its own, from the person's sign-in."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": person.grant.get("access_token", ""),
            "subject_token_type": ACCESS,
            "requested_token_type": REFRESH,
            "workspace": workspace,
            "mirror": mirror,
        }
        return self.ask(person, form | fields)

    def renew(self, person: Person, refresh_token: str, **rest: Any) -> Answer:
        """The next access token."""
        return self.ask(person, {"grant_type": "refresh_token", "refresh_token": refresh_token}, **rest)


def _sent(person: Person, form: dict[str, str], proof: str) -> Answer:
    fields = {"client_id": "relayfile-cli", **form}
    return person.http.ask(
        "POST", "/oauth/token", form={k: v for k, v in fields.items() if v}, headers={"DPoP": proof} if proof else {}
    )
