"""Keys and proofs, judged by a library that shares nothing with ours."""

import subprocess
import sys

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, RSAKey

from relayfile.client.dpop import Key
from relayfile.errors import Damaged
from relayfile.model import Secret


def test_a_proof_says_what_it_is_for_and_anyone_with_the_public_half_can_check_it():
    key = Key.new()
    proof = key.proof("POST", "https://cloud.example/oauth/token", at=1_700_000_000.9, nonce="n")
    public = ECKey.import_key(key.pem().reveal()).as_dict(private=False)
    read = jwt.decode(proof, ECKey.import_key(public), algorithms=["ES256"])
    assert read.header == {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": {name: public[name] for name in ("crv", "kty", "x", "y")},
    }
    jti = read.claims.pop("jti")
    assert read.claims == {
        "htm": "POST",
        "htu": "https://cloud.example/oauth/token",
        "iat": 1_700_000_000,
        "nonce": "n",
    }
    assert len(jti) >= 20
    assert key.thumbprint == ECKey.import_key(public).thumbprint()


def test_no_two_proofs_are_the_same_and_another_key_does_not_check_them():
    key = Key.new()
    proofs = [key.proof("POST", "https://one/", at=0, nonce=None) for _ in range(50)]
    read = [jwt.decode(proof, ECKey.import_key(key.pem().reveal()), algorithms=["ES256"]) for proof in proofs]
    assert len({one.claims["jti"] for one in read}) == 50
    assert "nonce" not in read[0].claims
    with pytest.raises(BadSignatureError):
        jwt.decode(proofs[0], ECKey.import_key(Key.new().pem().reveal()), algorithms=["ES256"])


def test_a_key_is_the_same_after_it_was_kept():
    key = Key.new()
    assert Key.parse(key.pem()).thumbprint == key.thumbprint
    assert Key.parse(key.pem()).pem() == key.pem()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ECKey.generate_key("P-384").as_pem(private=True).decode(),
        RSAKey.generate_key(2048).as_pem(private=True).decode(),
        ECKey.generate_key("P-256").as_pem(private=False).decode(),
    ],
    ids=["empty", "text", "torn", "another curve", "another kind", "the public half"],
)
def test_what_is_no_key_of_ours_is_damaged(pem):
    with pytest.raises(Damaged):
        Key.parse(Secret(pem))


LOADED = """
import sys, relayfile.mirror.daemon
before = [name for name in sys.modules if name.partition(".")[0] in {"cryptography", "joserfc"}]
from relayfile.client.dpop import Key
Key.new()
print(before, "cryptography" in sys.modules, "joserfc" in sys.modules)
"""


def test_the_cryptography_library_is_loaded_by_the_first_key_and_not_before():
    said = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["[]", "True", "False"]
