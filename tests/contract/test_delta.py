"""The delta feed (A2, R17, R18), the tree digest (A4), bodies by digest (A3)."""

import gzip
import hashlib

import pytest

from relayfile.wire import delta
from relayfile.wire.delta import Blob, End, Head, Item, Mark


def leaf(path, content, mode="644"):
    raw = path.encode() + b"\0" + hashlib.sha256(content).digest() + b"\0" + mode.encode()
    return int.from_bytes(hashlib.sha256(raw).digest(), "big")


def items(frames):
    return [(frame.path, frame.position, frame.kind) for frame in frames if isinstance(frame, Item)]


def test_a_bootstrap_is_a_head_each_live_path_once_and_an_end_that_proves_it(client):
    client.write("/a", "1")
    client.write("/b", "2")
    client.write("/a", "3", mode=493)
    client.write("/c", "4")
    client.remove("/c")
    head, *middle, end = client.delta()
    assert isinstance(head, Head)
    assert head.head == 5
    assert items(middle) == [("/b", 2, "put"), ("/a", 3, "put")]
    assert middle[1].body == b"3"
    expected = (leaf("/b", b"2") + leaf("/a", b"3", "755")) % (1 << 256)
    assert end == End(5, expected.to_bytes(32, "big"))
    digest = client.ok("GET", "fs/digest")
    assert digest == {"epoch": head.epoch, "position": 5, "treeDigest": end.tree_digest.hex(), "files": 2}


def test_a_reader_goes_on_from_its_cursor_and_hears_of_deletions(client):
    client.write("/a")
    client.write("/b")
    epoch = client.delta()[0].epoch
    client.remove("/a")
    client.write("/c")
    assert items(client.delta(f"since=2&epoch={epoch}")) == [("/a", 3, "delete"), ("/c", 4, "put")]
    assert items(client.delta(f"since=4&epoch={epoch}")) == []


def test_a_generation_leaves_out_tombstones_before_its_start_and_sends_those_after(client):
    client.write("/old")
    client.remove("/old")
    client.write("/a")
    epoch, start = client.delta()[0].epoch, 3
    client.remove("/a")
    assert items(client.delta(f"since=1&epoch={epoch}&start={start}")) == [("/a", 4, "delete")]
    assert items(client.delta(f"since=1&epoch={epoch}")) == [("/old", 2, "delete"), ("/a", 4, "delete")]


def test_the_head_tells_about_how_much_will_follow_where_more_than_a_page_does(client):
    assert client.delta()[0] == Head(client.delta()[0].epoch, 0)
    for first in range(0, 800, 200):
        client.bulk(*({"path": f"/f{n}", "content": "four"} for n in range(first, first + 200)))
    head = client.delta()[0]
    assert (head.items, head.size) == (800, 3_200)
    assert client.delta(f"since=100&epoch={head.epoch}")[0].items == 700
    assert client.delta(f"since=700&epoch={head.epoch}")[0].items == 0, "the last page needs no telling"


def test_long_feeds_carry_marks_and_can_be_cut_and_resumed_anywhere(client):
    for first in range(0, 1_200, 200):
        client.bulk(*({"path": f"/f{n}", "content": "x"} for n in range(first, first + 200)))
    frames = client.delta()
    assert [frame.cursor for frame in frames if isinstance(frame, Mark)] == [500, 1_000]
    assert len(items(frames)) == 1_200
    cut = client.delta("since=0&limit=700")
    assert not any(isinstance(frame, End) for frame in cut)
    assert cut[-1] == Mark(700)
    rest = client.delta(f"since=700&epoch={cut[0].epoch}&start={cut[0].head}")
    assert items(cut) + items(rest) == items(frames)
    assert rest[-1] == frames[-1]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("since=1&epoch=other", "cursor_expired"),
        ("since=1", "cursor_expired"),
        ("since=3&epoch={epoch}", "cursor_expired"),
        ("since=1&epoch={epoch}.abc", "view_changed"),
    ],
)
def test_a_cursor_that_cannot_be_served_is_told_by_its_code(client, query, code):
    client.write("/a")
    client.write("/b")
    epoch = client.delta()[0].epoch
    answer = client.ask("GET", "fs/delta?" + query.format(epoch=epoch), headers={"Accept": delta.CONTENT_TYPE})
    assert (answer.status, answer.json["code"]) == (410, code)
    assert client.ask("GET", "fs/delta?since=0&epoch=whatever").status == 200, "0 is always served"


def test_a_cursor_without_its_epoch_is_told_that_this_is_what_it_lacks(client):
    client.write("/a")
    answer = client.ask("GET", "fs/delta?since=1")
    assert (answer.status, answer.json["code"]) == (410, "cursor_expired")
    assert "names no epoch" in answer.json["message"]
    assert "epoch=" in answer.json["hint"]


def test_bodies_come_inline_up_to_what_the_reader_asked_for(client):
    client.write("/small", "x" * 10)
    client.write("/large", "x" * 70_000)
    client.write("/empty", "")

    def bodies(query):
        return {
            frame.path: frame.body and len(frame.body) for frame in client.delta(query) if isinstance(frame, Item)
        }

    assert bodies("since=0") == {"/small": 10, "/large": None, "/empty": b""}
    assert bodies("since=0&inline_bytes=5") == {"/small": None, "/large": None, "/empty": b""}
    assert bodies("since=0&inline_bytes=9999999") == {"/small": 10, "/large": 70_000, "/empty": b""}


def test_as_json_it_is_a_page_without_content(client):
    client.write("/a", "1")
    client.write("/b", "2")
    client.remove("/a")
    page = client.ok("GET", "fs/delta?since=0&limit=1")
    assert page["nextCursor"] == "evt_2"
    assert "treeDigest" not in page
    assert page["items"] == [
        {
            "path": "/b",
            "position": 2,
            "kind": "put",
            "size": 1,
            "mode": "644",
            "contentType": "text/markdown",
            "digest": hashlib.sha256(b"2").hexdigest(),
        }
    ]
    last = client.ok("GET", f"fs/delta?since=2&epoch={page['epoch']}")
    assert last["items"] == [{"path": "/a", "position": 3, "kind": "delete"}]
    assert (last["nextCursor"], last["cursor"], len(last["treeDigest"])) == (None, 3, 64)


def test_it_is_compressed_only_for_who_asks(client):
    client.write("/a", "x" * 10_000)
    plain = client.ask("GET", "fs/delta?since=0", headers={"Accept": delta.CONTENT_TYPE})
    packed = client.ask("GET", "fs/delta?since=0", headers={"Accept": delta.CONTENT_TYPE, "Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 10
    assert gzip.decompress(packed.body) == plain.body


def test_bodies_by_digest_come_as_frames_and_unknown_ones_without_a_body(client):
    client.write("/a", "1")
    client.write("/b", "x" * 1_200_000)
    digests = [hashlib.sha256(text).hexdigest() for text in (b"1", b"x" * 1_200_000, b"never", b"")]
    answer = client.ask("POST", "fs/blobs", body={"digests": [*digests, digests[0]]})
    *blobs, end = delta.FrameReader().feed(answer.body)
    assert isinstance(end, End)
    assert all(isinstance(blob, Blob) for blob in blobs)
    assert [blob.body and len(blob.body) for blob in blobs] == [1, 1_200_000, None, None]
    client.remove("/a")
    (had, _) = delta.FrameReader().feed(client.ask("POST", "fs/blobs", body={"digests": [digests[0]]}).body)
    assert had.body == b"1", "history is kept"
    assert client.ask("POST", "fs/blobs", body={"digests": ["zz"]}).status == 400
    assert client.ask("GET", f"fs/blob/{digests[2]}").status == 404
