"""One file at a time over HTTP (3-protocol B 1.3), and raw streams (A6)."""

import hashlib
import os

import pytest


def put(client, path, body, over="*", **headers):
    return client.ask("PUT", f"fs/file?path={path}", body=body, headers={"If-Match": over, **headers})


def test_what_was_put_is_read_back_with_its_revision_and_hash(client):
    answer = put(client, "/docs/a.md", {"content": "héllo"}, "0")
    assert answer.status == 202
    assert answer.json["targetRevision"] == "rev_1"
    assert answer.json["writeback"] == {"provider": "docs", "state": "succeeded"}
    read = client.ask("GET", "fs/file?path=/docs/a.md")
    assert read.headers["etag"] == "rev_1"
    body = read.json
    assert (body["content"], body["contentType"], body["provider"]) == ("héllo", "text/markdown", "docs")
    assert body["contentHash"] == hashlib.sha256("héllo".encode()).hexdigest()
    assert body["semantics"] == {"properties": {}, "relations": [], "permissions": [], "comments": []}
    assert "encoding" not in body
    assert client.ask("GET", "fs/file?path=/docs/a.md", headers={"If-None-Match": "rev_1"}).status == 304


def test_bytes_travel_as_base64_and_come_back_so(client):
    put(client, "/a.bin", {"content": "/wA=", "encoding": "base64"}, "0")
    body = client.ok("GET", "fs/file?path=/a.bin")
    assert (body["content"], body["encoding"], body["contentType"]) == ("/wA=", "base64", "application/octet-stream")


@pytest.mark.parametrize("form", ["rev_1", '"rev_1"', 'W/"rev_1"', "1"])
def test_a_precondition_may_be_quoted_or_weak(client, form):
    client.write("/a")
    assert put(client, "/a", {"content": "2"}, form).status == 202


def test_a_precondition_is_needed_and_must_hold(client):
    client.write("/a", "first")
    client.write("/a", "second")
    assert client.ask("PUT", "fs/file?path=/a", body={"content": "x"}).status == 412
    assert put(client, "/a", {"content": "x"}, "nonsense").json["code"] == "precondition_failed"
    stale = put(client, "/a", {"content": "x"}, "rev_1")
    assert stale.status == 409
    assert stale.json["code"] == "revision_conflict"
    assert (stale.json["expectedRevision"], stale.json["currentRevision"]) == ("rev_1", "rev_2")
    assert stale.json["currentContentPreview"] == "second"
    assert put(client, "/new", {"content": "x"}, "rev_1").status == 404
    assert put(client, "/a", {"content": "x"}, "0").status == 409


def test_deleting_needs_a_precondition_too_and_says_when_there_is_nothing(client):
    client.write("/a")
    assert client.ask("DELETE", "fs/file?path=/a").status == 412
    assert client.ask("DELETE", "fs/file?path=/a", headers={"If-Match": "rev_1"}).status == 202
    assert client.ask("DELETE", "fs/file?path=/a", headers={"If-Match": "*"}).status == 404
    assert client.ask("GET", "fs/file?path=/a").status == 404


def test_the_operation_a_write_names_has_succeeded(client):
    operation = put(client, "/docs/a", {"content": "x"}, "0").json["opId"]
    told = client.ok("GET", f"ops/{operation}")
    assert (told["status"], told["path"], told["revision"], told["action"]) == (
        "succeeded",
        "/docs/a",
        "rev_1",
        "file_upsert",
    )
    client.remove("/docs/a")
    assert [each["action"] for each in client.ok("GET", "ops")["items"]] == ["file_delete", "file_upsert"]
    page = client.ok("GET", "ops?limit=1")
    assert client.ok("GET", f"ops?cursor={page['nextCursor']}")["items"][0]["opId"] == operation
    assert client.ask("GET", "ops/op_99").status == 404


def test_repeating_a_write_with_its_key_changes_nothing(client):
    body = {"content": "x", "contentIdentity": {"kind": "k", "key": "K"}}
    assert put(client, "/a", body, "0").json["targetRevision"] == "rev_1"
    client.write("/a", "other")
    assert put(client, "/a", body, "0").json["targetRevision"] == "rev_1"
    reused = put(client, "/a", {**body, "content": "y"}, "*")
    assert (reused.status, reused.json["code"]) == (422, "identity_reused")


@pytest.mark.parametrize("size", [0, 5, 70_000, 1_048_576, 1_048_577, 3_000_000])
def test_a_raw_stream_of_any_size_is_stored_and_read_by_range(client, size):
    body = os.urandom(size)
    digest = hashlib.sha256(body).hexdigest()
    answer = client.ask(
        "PUT",
        "fs/file?path=/big",
        raw=body,
        headers={"Content-Type": "application/octet-stream", "If-Match": "0", "X-Relayfile-Mode": "755"},
    )
    assert answer.status == 202, answer.body
    (item,) = [frame for frame in client.delta() if hasattr(frame, "path")]
    assert (item.digest.hex(), item.size, item.mode) == (digest, size, "755")
    whole = client.ask("GET", f"fs/blob/{digest}")
    assert (whole.status, whole.body) == (200, body)
    if size:
        part = client.ask("GET", f"fs/blob/{digest}", headers={"Range": f"bytes={size // 2}-"})
        assert (part.status, part.body) == (206, body[size // 2 :])
        assert part.headers["content-range"] == f"bytes {size // 2}-{size - 1}/{size}"
        assert client.ask("GET", f"fs/blob/{digest}", headers={"Range": f"bytes={size}-"}).status == 416
        tag = whole.headers["etag"]
        assert (tag, part.headers["etag"]) == (f'"{digest}"', f'"{digest}"')
        for known, status in ((tag, 206), ('"another"', 200)):
            headers = {"Range": f"bytes={size // 2}-", "If-Range": known}
            assert client.ask("GET", f"fs/blob/{digest}", headers=headers).status == status


def test_a_raw_stream_says_how_to_represent_it(client):
    headers = {"Content-Type": "application/octet-stream", "X-Relayfile-Content-Type": "text/plain"}
    for encoding, shown in (("base64", "aGk="), ("utf-8", "hi")):
        client.ask("PUT", "fs/file?path=/a", raw=b"hi", headers={**headers, "X-Relayfile-Encoding": encoding})
        read = client.ok("GET", "fs/file?path=/a")
        assert (read["content"], read["contentType"]) == (shown, "text/plain")


def test_a_symbolic_link_is_its_target(client):
    client.bulk({"path": "/link", "type": "symlink", "target": "../there", "contentType": "application/x-symlink"})
    read = client.ok("GET", "fs/file?path=/link")
    assert (read["type"], read["target"], read["mode"]) == ("symlink", "../there", 0o777)
    assert read["contentHash"] == hashlib.sha256(b"../there").hexdigest()


@pytest.mark.parametrize(
    ("mode", "kept"),
    [(420, 420), (493, 493), ("0755", 493), ("600", 420), (0o100, 493), (0o100755, 493), (None, 420)],
)
def test_modes_are_normalised_and_told_as_numbers(client, mode, kept):
    client.write("/a", mode=mode)
    assert client.ok("GET", "fs/file?path=/a")["mode"] == kept


@pytest.mark.parametrize("mode", [10**22, -5, 0o40755, 0o200644, "-5", "7" * 30, "rwx", "689"])
def test_a_mode_that_no_file_has_is_refused_by_every_door_and_alone(client, mode):
    answer = client.bulk({"path": "/a", "content": "x", "mode": mode}, {"path": "/b", "content": "x"})
    assert ([each["code"] for each in answer["errors"]], answer["written"]) == (["invalid_content"], 1)
    refused = [put(client, "/a", {"content": "x", "mode": mode})]
    if isinstance(mode, str):
        raw = {"Content-Type": "application/octet-stream", "X-Relayfile-Mode": mode}
        refused.append(client.ask("PUT", "fs/file?path=/a", raw=b"x", headers=raw))
    for each in refused:
        assert (each.status, each.json["code"]) == (400, "invalid_content")
        assert str(mode)[:40] in each.json["message"]
    assert client.ask("GET", "fs/file?path=/a").status == 404


@pytest.mark.parametrize(("body", "encoding"), [("ä".encode() * 700_000, ""), (b"\xff" * 1_400_000, "base64")])
def test_a_large_raw_stream_is_text_where_all_of_it_is(client, body, encoding):
    headers = {"Content-Type": "application/octet-stream", "If-Match": "0"}
    assert client.ask("PUT", "fs/file?path=/big", raw=body, headers=headers).status == 202
    assert client.ask("GET", "fs/file?path=/big").json.get("encoding", "") == encoding
