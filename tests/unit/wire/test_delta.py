"""Frames from a server that may say anything: what is sound passes, what is not is told apart, and nothing breaks."""

import hashlib
import json

import pytest

from relayfile.errors import ProtocolMismatch, UsageError
from relayfile.model import Delete, Put
from relayfile.wire import live
from relayfile.wire.delta import End, FrameReader, Head, Item, Mark, change, encode

EMPTY = hashlib.sha256(b"").digest()
SOME = hashlib.sha256(b"some").digest()


def frames(*parts):
    return b"".join(part if isinstance(part, bytes) else encode(part) for part in parts)


def test_what_stands_before_a_frame_of_nonsense_still_counts_and_the_reader_can_be_left():
    reader = FrameReader()
    came = reader.feed(frames(Head("e", 1), Mark(1), (3).to_bytes(4, "big") + b"abc", Mark(2)))
    assert [next(came), next(came)] == [Head("e", 1), Mark(1)]
    with pytest.raises(ProtocolMismatch):
        next(came)


def test_frames_in_pieces_of_any_size_are_the_same_frames():
    sent = [Head("e", 2), Item("/a", 1, digest=SOME, size=4, body=b"some"), Item("/b", 2, "delete"), End(2, EMPTY)]
    raw = frames(*sent)
    for piece in (1, 3, 7, len(raw)):
        reader = FrameReader()
        seen = [one for at in range(0, len(raw), piece) for one in reader.feed(raw[at : at + piece])]
        assert seen == sent
        assert not reader.incomplete


@pytest.mark.parametrize("position", [-1, 1 << 60, 1 << 63])
def test_a_position_that_no_table_holds_is_no_frame(position):
    lies = [Head("e", position), Item("/a", position), Mark(position), End(position)]
    for lie in lies:
        with pytest.raises(ProtocolMismatch):
            list(FrameReader().feed(encode(lie)))


@pytest.mark.parametrize(
    "lie",
    [
        {"digest": b""},
        {"digest": SOME + b"x"},
        {"size": -1},
        {"size": 1 << 63},
        {"size": 5},
        {"size": 0},
        {"size": 0, "body": None},
        {"size": 0, "body": b""},
    ],
    ids=str,
)
def test_a_version_whose_parts_do_not_go_together_is_refused_by_itself(lie):
    told = {"digest": SOME, "size": 4, "body": b"some"} | lie
    with pytest.raises(UsageError) as refused:
        change(Item("/a", 1, "put", **told))
    assert refused.value.code == "invalid_version"


def test_sound_items_are_changes():
    assert isinstance(change(Item("/a", 1, "put", SOME, 4, body=b"some")), Put)
    assert isinstance(change(Item("/a", 1, "put", SOME, 4)), Put)
    assert isinstance(change(Item("/a", 1, "put", EMPTY, 0, body=b"")), Put)
    assert isinstance(change(Item("/a", 1, "delete")), Delete)


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5_000, "-1", "", "1e3", "٣"])
def test_an_identifier_that_no_table_holds_is_no_position(number):
    with pytest.raises(ProtocolMismatch):
        live.position(f"evt_{number}")


@pytest.mark.parametrize(
    "lie", [{"treeDigest": "zz"}, {"treeDigest": "ab"}, {"position": 1 << 63}, {"previous": -1}, {"epoch": "e" * 999}]
)
def test_a_mark_of_nonsense_is_no_frame(lie):
    told = {"type": "mark", "position": 1, "treeDigest": EMPTY.hex(), "epoch": "e", "previous": 1} | lie

    assert live.decode(json.dumps(told | {"treeDigest": "", "position": 1, "previous": 1, "epoch": "e"}))
    with pytest.raises(ProtocolMismatch):
        live.decode(json.dumps(told))
