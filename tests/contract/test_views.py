"""What a token may see: path scopes, rules in the tree, and that nothing leaks (R22, R23, 3-protocol B.2)."""

import hashlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from relayfile.wire import delta
from relayfile.wire.delta import Item

ALL = "fs:read", "fs:write", "ops:read", "sync:read"


def paths(answer):
    return [each["path"] for each in answer]


def seen(client, query="since=0"):
    return [frame.path for frame in client.delta(query) if isinstance(frame, Item)]


@pytest.fixture
def docs(client):
    """A reader of /docs alone, in a workspace that holds more."""
    client.bulk(*({"path": path, "content": path} for path in ("/docs/a", "/secret/b", "/docs/c")))
    return client.join("reader", "relayfile:fs:read:/docs/**", "relayfile:fs:write:/docs/**", "ops:read", "sync:read")


def test_a_path_token_sees_its_own_subtree_everywhere_and_nothing_else(client, docs):
    assert paths(docs.ok("GET", "fs/tree")["entries"]) == ["/docs", "/docs/a", "/docs/c"]
    assert "totalFiles" not in docs.ok("GET", "fs/tree")
    assert paths(docs.ok("GET", "fs/query")["items"]) == ["/docs/a", "/docs/c"]
    assert paths(docs.ok("GET", "fs/export")) == ["/docs/a", "/docs/c"]
    assert paths(docs.ok("GET", "fs/events")["events"]) == ["/docs/a", "/docs/c"]
    assert seen(docs) == ["/docs/a", "/docs/c"]
    assert docs.ask("GET", "fs/file?path=/secret/b").status == 403
    assert [each["provider"] for each in docs.ok("GET", "sync/status")["providers"]] == ["docs"]


def test_its_writes_outside_are_refused_one_by_one(docs):
    answer = docs.bulk({"path": "/docs/new", "content": "x"}, {"path": "/secret/new", "content": "x"})
    assert paths(answer["results"]) == ["/docs/new"]
    assert [(each["path"], each["code"]) for each in answer["errors"]] == [("/secret/new", "forbidden")]
    assert docs.ask("PUT", "fs/file?path=/secret/b", body={"content": "x"}, headers={"If-Match": "*"}).status == 403


def test_its_digest_is_the_sum_over_what_it_sees(client, docs):
    def leaf(path):
        raw = path.encode() + b"\0" + hashlib.sha256(path.encode()).digest() + b"\0" + b"644"
        return int.from_bytes(hashlib.sha256(raw).digest(), "big")

    total = ((leaf("/docs/a") + leaf("/docs/c")) % (1 << 256)).to_bytes(32, "big")
    digest = docs.ok("GET", "fs/digest")
    assert (digest["treeDigest"], digest["files"], digest["position"]) == (total.hex(), 2, 3)
    assert docs.delta()[-1].tree_digest == total
    assert digest["epoch"] != client.ok("GET", "fs/digest")["epoch"]


def test_bodies_by_digest_are_given_only_to_who_can_read_a_path_with_them(client, docs):
    hidden, shown = (hashlib.sha256(path).hexdigest() for path in (b"/secret/b", b"/docs/a"))
    body = {"digests": [hidden, shown, "00" * 32]}
    *blobs, _ = delta.FrameReader().feed(docs.ask("POST", "fs/blobs", body=body).body)
    assert [blob.body for blob in blobs] == [None, b"/docs/a", None]
    refused, unknown = docs.ask("GET", f"fs/blob/{hidden}"), docs.ask("GET", f"fs/blob/{'00' * 32}")
    assert refused.status == unknown.status == 404
    assert refused.json["message"] == unknown.json["message"]
    assert client.ask("GET", f"fs/blob/{hidden}").status == 200


def test_its_live_frames_chain_over_what_it_may_not_see(client, docs):
    with docs.socket("marks=1&cursor=evt_3") as socket:
        first = json.loads(socket.recv(timeout=20))
        assert (first["position"], first["treeDigest"]) == (3, "")
        client.write("/secret/b", "changed")
        client.write("/docs/a", "changed")
        while (frame := json.loads(socket.recv(timeout=20)))["type"] == "mark":
            first = frame
        assert (frame["path"], frame["eventId"], frame["previous"]) == ("/docs/a", "evt_5", first["position"])


def test_rules_in_the_tree_hide_what_they_protect_from_every_door(client):
    client.write("/open", "x")
    client.write("/team/plan", "x")
    ada, bob = client.join("ada", *ALL), client.join("bob", *ALL)
    marker = {"path": "/team/.relayfile.acl", "content": "", "semantics": {"permissions": ["agent:ada"]}}
    client.bulk(marker)
    assert seen(bob) == ["/open"]
    assert seen(ada) == ["/open", "/team/plan", "/team/.relayfile.acl"]
    assert bob.ask("GET", "fs/file?path=/team/plan").json["code"] == "forbidden"
    assert bob.bulk({"path": "/team/plan", "content": "y"})["errors"][0]["code"] == "forbidden"
    read = bob.ok("POST", "fs/bulk-read", body={"paths": ["/team/plan"]})["files"][0]
    assert read["error"]["status"] == 403
    assert paths(bob.ok("GET", "ops")["items"]) == ["/open"]
    client.bulk({**marker, "semantics": {"permissions": ["public"]}})
    assert "/team/plan" in seen(bob)


def test_a_marker_written_as_a_plain_file_carries_its_rules_in_its_content(client):
    client.write("/team/plan")
    client.write("/team/.relayfile.acl", json.dumps({"semantics": {"permissions": ["agent:ada"]}}))
    assert client.join("bob", *ALL).ask("GET", "fs/file?path=/team/plan").status == 403
    assert client.join("ada", *ALL).ask("GET", "fs/file?path=/team/plan").status == 200


def test_who_sees_something_else_than_before_must_observe_anew(client):
    client.write("/team/plan")
    bob = client.join("bob", *ALL)
    epoch = bob.delta()[0].epoch
    with bob.socket(f"marks=1&cursor=evt_1&epoch={epoch}") as socket:
        assert json.loads(socket.recv(timeout=20))["type"] == "mark"
        client.write("/team/.relayfile.acl", "", semantics={"permissions": ["agent:ada"]})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd.code == 1013
    stale = bob.ask("GET", f"fs/delta?since=1&epoch={epoch}")
    assert (stale.status, stale.json["code"]) == (410, "view_changed")
    assert bob.delta()[0].epoch.partition(".")[0] == epoch.partition(".")[0]
