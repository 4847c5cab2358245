"""The credential file's bytes: v1's names for everybody, ours only while they belong to the token beside them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.errors import Damaged, Misconfigured
from relayfile.model import Grant, Secret
from relayfile.wire import credentials as wire
from relayfile.wire.credentials import Content, History, Obtained, Pair

texts = st.text(min_size=1, max_size=40)
times = st.none() | st.integers(0, 4_000_000_000).map(float)
pairs = st.builds(
    Pair,
    st.builds(
        Grant,
        api_url=texts,
        access_token=texts.map(Secret),
        access_expires_at=times,
        refresh_token=st.none() | texts.map(Secret),
        refresh_expires_at=times,
        issued_at=times,
        family=st.none() | texts,
        generation=st.none() | st.integers(1, 2**40),
        account=st.none() | texts,
    ),
    st.none() | texts,
    st.none() | st.builds(Obtained, texts, st.floats(0, 1e9), st.floats(0, 1e9), st.none() | st.floats(0, 1e9)),
    st.none() | texts,
    st.booleans(),
)


@given(pairs, st.dictionaries(st.sampled_from(["theirs", "x"]), st.integers() | texts | st.lists(st.integers())))
def test_what_is_written_is_read_again_with_what_others_put_there(pair, others):
    content = Content(pair, others)
    assert wire.decode(wire.encode(content)) == content


@given(pairs)
def test_history_and_stash_come_back_whole(pair):
    history = History(("a", "b"), pair)
    assert wire.decode_history(wire.encode_history(history)) == history
    stashed = wire.decode_stash(wire.encode_stash("fp", pair), "fp")
    assert stashed == (pair if pair.obtained is not None else None)
    assert wire.decode_stash(wire.encode_stash("fp", pair), "another") is None


@given(st.binary(max_size=60))
def test_bytes_that_are_nothing_are_no_history_and_no_stash(raw):
    assert wire.decode_history(raw) == History()
    assert wire.decode_stash(raw, "fp") is None
    try:
        found = wire.decode(raw)
    except (Damaged, Misconfigured):
        return
    assert found.pair is None


def test_the_file_is_one_that_v1_clients_read():
    grant = Grant("http://s", Secret("at"), 60.0, Secret("rt"), 3600.0, 0.0, "f", 3, "ada")
    fields = json.loads(wire.encode(Content(Pair(grant), {})))
    assert {name: fields[name] for name in wire.V1_NAMES} == {
        "apiUrl": "http://s",
        "accessToken": "at",
        "refreshToken": "rt",
        "accessTokenExpiresAt": "1970-01-01T00:01:00.000Z",
        "refreshTokenExpiresAt": "1970-01-01T01:00:00.000Z",
        "updatedAt": "1970-01-01T00:00:00.000Z",
    }
    assert fields["rtFp"] == wire.fingerprint(Secret("rt"))
    assert len(fields["rtFp"]) == 16


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.5+00:00", 60.5),
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("1970-01-01T00:01:00.123456789Z", 60.123456),
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000_000, 1_700_000_000.0),
        ("tomorrow", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_as_other_writers_put_them(text, seconds):
    assert wire.seconds(text) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))
