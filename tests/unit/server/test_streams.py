"""Ranges and compression of long answers."""

import pytest

from relayfile.server.streams import _accepts_gzip, part_of


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=5-4", 416, b"", "bytes */10"),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_range_is_the_part_it_names_or_the_whole(asked, status, body, told):
    answer = part_of(b"0123456789", '"tag"', {} if asked is None else {"range": asked})
    assert (answer.status_code, bytes(answer.body), answer.headers.get("content-range")) == (status, body, told)


@pytest.mark.parametrize(("known", "status"), [('"tag"', 206), ('"another"', 200)])
def test_a_range_of_another_content_is_the_whole(known, status):
    answer = part_of(b"0123456789", '"tag"', {"range": "bytes=2-4", "if-range": known})
    assert answer.status_code == status
    assert answer.headers["etag"] == '"tag"'


@pytest.mark.parametrize(
    ("said", "accepted"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("x-gzip", False),
    ],
)
def test_only_who_asks_gets_gzip(said, accepted):
    assert _accepts_gzip(said) is accepted
