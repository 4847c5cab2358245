"""The scripted authority of `fake_authority`, with daemon credentials: real proofs, checked by another library.

Knobs: `offers`, `refuses` (an `error` word for each enrolment), `nonce` (what a proof must carry; a test may turn
it), `doubts` (no proof is believed). What was enrolled and renewed is kept.
"""

import hashlib
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from joserfc import jws, jwt
from joserfc.jwk import ECKey

from fake_authority import METADATA, Authority, Said, _Door
from relayfile.wire.auth import GRANT_EXCHANGE, TYPE_ACCESS, TYPE_REFRESH


@dataclass
class DaemonFamily:
    name: str
    key: str
    workspace: str
    mirror: str
    subject: str
    enrolled_at: float = field(default_factory=time.time)
    ended: str | None = None
    renewals: int = 0


class DaemonAuthority(Authority):
    def __init__(self, **choices):
        super().__init__(**choices)
        self.offers = True
        self.refuses: str | None = None
        self.doubts = False
        self.nonce = "n1"
        self.life_s = 90 * 86_400.0
        self.daemons: list[DaemonFamily] = []
        self.answers: Counter[str] = Counter()
        self.spent: set[str] = set()
        self._server.RequestHandlerClass = _DaemonDoor

    def thumbprint(self, header):
        """The proof's key, if the proof holds for the token endpoint, carries the nonce, and was not seen before."""
        proof = jwt.decode(header, ECKey.import_key(self._jwk(header)), algorithms=["ES256"])
        claims = proof.claims
        assert proof.header["typ"] == "dpop+jwt"
        assert (claims["htm"], claims["htu"]) == ("POST", f"{self.url}/oauth/token")
        assert "d" not in proof.header["jwk"], "the private half left the machine"
        assert claims["jti"] not in self.spent
        self.spent.add(claims["jti"])
        return None if claims.get("nonce") != self.nonce else ECKey.import_key(proof.header["jwk"]).thumbprint()

    def _jwk(self, header):
        return jws.extract_compact(header.encode()).headers()["jwk"]

    def enrol(self, form, key):
        if self.refuses is not None:
            return self._said("refused", {"error": self.refuses, "error_description": "not for you"}, 400)
        assert form["subject_token_type"] == TYPE_ACCESS
        assert form["requested_token_type"] == TYPE_REFRESH
        subject = form["subject_token"].removeprefix("cld_at_").split(".")[0]
        if not self.families[subject].alive:
            return self._said("dead subject", {"error": "invalid_request", "error_reason": "token_revoked"}, 400)
        self.daemons.append(DaemonFamily(secrets.token_hex(8), key, form["workspace"], form["mirror"], subject))
        return self._pair("enrolled", self.daemons[-1])

    def renew_daemon(self, form, key):
        name = form["refresh_token"].removeprefix("cld_rt_").split(".")[0]
        family = next(one for one in self.daemons if one.name == name)
        if key != family.key:
            return self._said("unproven", {"error": "invalid_dpop_proof"}, 400)
        if family.ended:
            told = {"error": "invalid_grant", "error_reason": family.ended, "ended_by": "ada", "ended_from": "box7"}
            return self._said("refused", told, 400)
        family.renewals += 1
        return self._pair("renewed", family)

    def _pair(self, what, family):
        absolute = family.enrolled_at + self.life_s
        return self._said(
            what,
            {
                "access_token": f"cld_at_{family.name}.1.{secrets.token_hex(4)}",
                "expires_in": self.access_ttl_s,
                "refresh_token": f"cld_rt_{family.name}.1.{hashlib.sha256(family.name.encode()).hexdigest()[:43]}",
                "refresh_token_expires_in": 86_400 * 30.0,
                "absolute_expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(absolute)),
                "scope": "fs:read fs:write",
                "family": family.name,
                "generation": 1,
                "api_url": self.url,
                "account": "ac_1",
                "username": "ada",
                "issued_token_type": TYPE_REFRESH,
            },
            200,
        )

    def _said(self, what, body, status):
        self.answers[what] += 1
        return body, status


class _DaemonDoor(_Door):
    def do_GET(self):  # noqa: N802 - as http.server calls it
        authority = self.server.authority
        if self.path == "/.well-known/oauth-authorization-server" and authority.offers and authority.oauth:
            authority.requests[self.path] += 1
            grants = [*METADATA["grant_types_supported"], GRANT_EXCHANGE]
            self.say_json(
                {**METADATA, "grant_types_supported": grants, "dpop_signing_alg_values_supported": ["ES256"]}
            )
            return
        super().do_GET()

    def oauth(self, body):
        authority = self.server.authority
        form = {name: values[0] for name, values in parse_qs(body).items()}
        proof = self.headers["DPoP"]
        if proof is None:
            return super().oauth(body)
        if authority.doubts:
            return authority._said("doubted", {"error": "invalid_dpop_proof"}, 400)
        key = authority.thumbprint(proof)
        if key is None:
            return authority._said("nonce", {"error": "use_dpop_nonce"}, 400)
        enrols = form["grant_type"] == GRANT_EXCHANGE
        return authority.enrol(form, key) if enrols else authority.renew_daemon(form, key)

    def say(self, said):
        if self.headers["DPoP"] is not None:
            said = Said(said.status, said.body, said.content_type, {"DPoP-Nonce": self.server.authority.nonce})
        super().say(said)
