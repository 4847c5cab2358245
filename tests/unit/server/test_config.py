"""Durations and addresses as people write them."""

import pytest

from relayfile.errors import UsageError
from relayfile.server.config import admission, duration_s, host_and_port, issuer


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3s", 3),
        ("30m", 1_800),
        ("12h", 43_200),
        ("90d", 7_776_000),
        ("250ms", 0.25),
        ("1.5h", 5_400),
        ("60", 60),
        (" 0S ", 0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-3s", "3 weeks", "1e3", "3s3s", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        (":8080", ("0.0.0.0", 8080)),
        ("[::1]:9", ("::1", 9)),
        ("files.local:80", ("files.local", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text, address):
    assert host_and_port(text) == address


@pytest.mark.parametrize("text", ["", "8080", "host", "host:", "host:x", "host:65536", "host:-1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageError):
        host_and_port(text)


@pytest.mark.parametrize(
    "text", ["https://login.example.org", "https://login.example.org/tenant/", "http://[::1]:8/"]
)
def test_an_issuer_is_kept_as_the_provider_spells_it(text):
    assert issuer(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "login.example.org", "http://login.example.org", "https://a@b", "https://h?x=1", "https://h:x", "ftp://h"],
)
def test_an_issuer_that_others_could_answer_for_or_that_is_none_is_refused(text):
    with pytest.raises(UsageError):
        issuer(text)


def test_who_may_come_in_is_read_without_regard_to_case():
    rules = admission(["@Example.ORG"], ["Ada=Ada@Example.org", "bob = sub:X-1"])
    assert rules.domains == {"example.org"}
    assert rules.named == {"ada": "ada@example.org", "bob": "sub:X-1"}


@pytest.mark.parametrize(
    ("domains", "people"),
    [
        ([], []),
        ([""], []),
        (["*"], []),
        ([], ["ada"]),
        ([], ["=a@b"]),
        ([], ["ada=sub:"]),
        ([], ["ada=nobody"]),
        ([], ["ada=a@b", "ADA=c@d"]),
    ],
)
def test_rules_that_let_in_nobody_or_cannot_be_meant_are_refused(domains, people):
    with pytest.raises(UsageError):
        admission(domains, people)
