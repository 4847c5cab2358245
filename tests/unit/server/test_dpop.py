"""Proofs of a key at the edge: nonces in time, addresses behind a proxy, and the proof a second time."""

import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from daemon_keys import DaemonKey
from relayfile.core.enrolment import SLOT_S, slot
from relayfile.errors import UsageError
from relayfile.server import dpop
from relayfile.server.dpop import Proofs
from relayfile.server.intake import Place
from relayfile.server.store.proofs import KeyProof, spend

URL = "http://files.test/oauth/token"
NOW = 1_700_000_100.0


def request(*proofs, host="files.test", scheme="http"):
    headers = [(b"host", host.encode()), *((b"dpop", proof.encode("latin-1")) for proof in proofs)]
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": scheme,
            "path": "/oauth/token",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "server": (host, 80),
        }
    )


@pytest.fixture
def key(keys):
    made = DaemonKey()
    made.nonce = keys.proof_nonce(slot(NOW))
    return made


@pytest.fixture
def at(monkeypatch):
    """Sets the clock of the edge."""

    def set_to(now):
        monkeypatch.setattr(dpop, "time", SimpleNamespace(time=lambda: now))

    set_to(NOW)
    return set_to


@pytest.fixture
def proofs(keys, at):
    del at
    return Proofs(keys, Place(None))


def refused(proofs, asked):
    with pytest.raises(UsageError) as refusal:
        proofs.presented(asked)
    return refusal.value.code


def test_a_proof_that_holds_names_its_key(proofs, key):
    found = proofs.presented(request(key.proof(URL)))
    assert found.jkt == key.thumbprint
    assert found.expires_at == (slot(NOW) + 2) * SLOT_S
    assert proofs.presented(request()) is None
    with pytest.raises(UsageError, match="there is none"):
        proofs.required(request())


def test_a_nonce_is_good_in_its_slot_and_the_next(proofs, key, at):
    begin = slot(NOW) * SLOT_S
    for now in (begin, begin + SLOT_S - 0.01, begin + SLOT_S, begin + 2 * SLOT_S - 0.01):
        at(now)
        assert proofs.presented(request(key.proof(URL)))
    for now in (begin - 0.01, begin + 2 * SLOT_S):
        at(now)
        assert refused(proofs, request(key.proof(URL))) == "use_dpop_nonce"


def test_nonces_of_different_slots_and_keys_differ(keys):
    assert len({keys.proof_nonce(number) for number in range(100)}) == 100


def test_behind_a_proxy_the_public_address_counts_and_so_does_ours(keys, key, at):
    del at
    proofs = Proofs(keys, Place("https://files.example/relay/"))
    assert proofs.presented(request(key.proof("https://files.example/relay/oauth/token")))
    assert proofs.presented(request(key.proof("https://FILES.example:443/relay/oauth/token?a=b")))
    assert proofs.presented(request(key.proof(URL)))
    for other in ("http://files.example/relay/oauth/token", "https://files.example/oauth/token", "", "http://[::1"):
        assert refused(proofs, request(key.proof(other))) == "invalid_dpop_proof"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=200))
def test_no_header_whatever_is_more_than_refused(proofs, text):
    assert refused(proofs, request(text)) == "invalid_dpop_proof"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "nonce", "x"]),
        st.one_of(st.none(), st.text(max_size=8), st.integers(), st.lists(st.integers(), max_size=2), st.booleans()),
        min_size=1,
    )
)
def test_claims_of_any_kind_are_judged_or_refused(proofs, key, claims):
    asked = request(key.proof(URL, **claims))
    if {"htm", "htu", "nonce", "iat", "jti"} & claims.keys():
        with suppress(UsageError):
            assert proofs.presented(asked).jkt == key.thumbprint
            assert {"htm", "htu", "nonce"}.isdisjoint(claims)  # there is but one value that each may have
    else:
        assert proofs.presented(asked).jkt == key.thumbprint


async def test_a_proof_is_spent_once_and_forgotten_when_its_nonce_is_over(database):
    now = time.time()

    def spent(jkt, digest, at_s=0.0):
        proof = KeyProof(jkt, digest, now + 10)
        return database.write(lambda connection: spend(connection, proof, now + at_s))

    assert await spent("k", b"a")
    assert not await spent("k", b"a")
    assert await spent("k", b"b")
    assert await spent("k", b"c", 10.0)
    left = await database.read(lambda connection: connection.execute("SELECT digest FROM key_proof").fetchall())
    assert left == [(b"c",)]


async def test_two_keys_may_use_the_same_jti(proofs, key, keys):
    other = DaemonKey()
    other.nonce = keys.proof_nonce(slot(NOW))
    one, two = (proofs.presented(request(each.proof(URL, jti="1"))) for each in (key, other))
    assert one.digest != two.digest
    assert one.digest == proofs.presented(request(key.proof(URL, jti="1"))).digest


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["alg", "typ", "jwk", "crit", "b64", "kid", "jku", "x5c", "zip", "cty", "x"]),
        json_values,
        min_size=1,
    )
)
def test_a_header_of_any_kind_is_judged_or_refused(proofs, key, header):
    asked = request(key.proof(URL, header=header))
    with suppress(UsageError):
        assert proofs.presented(asked).jkt == key.thumbprint
        assert {"alg", "typ", "jwk", "crit"}.isdisjoint(header)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d", "kid", "k", "use"]), json_values, min_size=1))
def test_a_key_of_any_kind_is_judged_or_refused(proofs, key, changed):
    asked = request(key.proof(URL, header={"jwk": key.jwk | changed}))
    with suppress(UsageError):
        assert proofs.presented(asked).jkt == key.thumbprint
        assert {"crv", "x", "y", "d", "k"}.isdisjoint(changed)
