"""Durations and addresses as people write them."""

import pytest

from relayfile.errors import UsageError
from relayfile.server.config import duration_s, host_and_port


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
