"""What existing v1 clients insist on; each of these once made a published client fail against this server."""

import json

from websockets.sync.client import connect


def test_a_listing_tells_modes_as_numbers_and_links_as_links(client):
    """The mount client decodes `mode` into an unsigned integer and gives up on the whole page otherwise."""
    client.bulk(
        {"path": "/d/plain", "content": "x"},
        {"path": "/d/tool", "content": "x", "mode": 493},
        {"path": "/d/link", "type": "symlink", "target": "plain", "contentType": "application/x-symlink"},
    )
    listed = {each["path"]: (each["type"], each.get("mode")) for each in client.ok("GET", "fs/tree")["entries"]}
    assert listed == {
        "/d": ("dir", None),
        "/d/link": ("symlink", 0o777),
        "/d/plain": ("file", 0o644),
        "/d/tool": ("file", 0o755),
    }
    paths = ["/d/plain", "/d/tool", "/d/link"]
    read = client.ok("POST", "fs/bulk-read", body={"paths": paths})["files"]
    for files in (read, client.ok("GET", "fs/export")):
        told = {each["path"]: (each.get("type", "file"), each["mode"]) for each in files}
        assert told == {path: listed[path] for path in paths}


def test_a_change_tells_what_kind_of_file_it_left(client):
    """The mount client takes every change without `typeMetadata` for that of a plain file: tools lost their bit."""
    with client.socket("from=now") as socket:
        client.write("/tool", mode=493)
        client.bulk({"path": "/link", "type": "symlink", "target": "tool"})
        client.remove("/tool")
        tool, link, gone = (json.loads(socket.recv(timeout=20)) for _ in range(3))
    assert tool["typeMetadata"] == {"type": "file", "mode": 0o755}
    assert link["typeMetadata"] == {"type": "symlink", "mode": 0o777, "target": "tool"}
    assert "typeMetadata" not in gone
    told = [each.get("typeMetadata") for each in client.ok("GET", "fs/events")["events"]]
    assert told == [{"type": "file", "mode": 0o755}, {"type": "symlink", "mode": 0o777}, None]


def test_null_counts_as_absent(client):
    """The Python SDK sends a null for everything it was not given."""
    semantics = {"properties": {"state": "open"}, "relations": None, "permissions": None, "comments": None}
    body = {"content": "x", "contentType": None, "encoding": None, "semantics": semantics, "contentIdentity": None}
    assert client.ask("PUT", "fs/file?path=/a", body=body, headers={"If-Match": "0"}).status == 202
    assert client.ok("GET", "fs/file?path=/a")["semantics"]["properties"] == {"state": "open"}
    written = client.bulk({"path": "/b", "content": "x", "ifMatch": None, "mode": None, "semantics": semantics})
    assert written["results"][0]["writeback"] == {"provider": "", "state": "succeeded"}
    refused = client.bulk({"path": "/c", "content": None})
    assert [each["code"] for each in refused["errors"]] == ["invalid_content"]
    assert client.ask("POST", "fs/bulk", body={"files": [None]}).json["code"] == "bad_request"
    join = {"agentName": "a", "scopes": ["fs:read"], "permissions": None}
    assert client.http.ask("POST", f"/api/v1/workspaces/{client.workspace}/join", body=join).status == 200


def test_a_bulk_names_the_provider_of_each_path(client):
    written = client.bulk({"path": "/github/a", "content": "x"}, {"path": "/top", "content": "x"})
    assert [each["writeback"]["provider"] for each in written["results"]] == ["github", ""]


def test_a_pull_of_the_old_command_line_is_taken_and_does_nothing(client):
    """It asks every provider of `sync/status` to be read again, and fails when that is refused."""
    body = {"provider": "github", "reason": "manual"}
    answer = client.ask("POST", "sync/refresh", body=body, headers={"X-Correlation-Id": "pull-1"})
    assert (answer.status, answer.json["status"], answer.json["correlationId"]) == (202, "queued", "pull-1")
    assert answer.json["id"]
    assert client.join("reader", "fs:read").ask("POST", "sync/refresh", body=body).status == 403


def test_what_an_entry_of_a_bulk_gets_wrong_is_its_own_trouble(client):
    """v1 takes each entry for itself: one that means nothing must not hold up a mirror's whole batch."""
    answer = client.bulk(
        {"path": "/a", "content": "x", "type": "", "op": "", "encoding": "", "writebackIntent": "", "new": {"x": 1}},
        {"path": "/b", "content": "x", "type": "fifo"},
        {"path": "/c", "content": "x", "op": "rename"},
    )
    assert [each["path"] for each in answer["results"]] == ["/a"]
    assert [each["code"] for each in answer["errors"]] == ["invalid_content", "invalid_operation"]


def test_the_requests_of_a_mounts_day(client):
    """Every request that the published mount client was seen to make, in its form, with a token from `join`."""
    client.write("/docs/a.md", "one")
    agent = client.join("mount", "fs:read", "fs:write", "ops:read", "sync:read")
    seen = "X-Correlation-Id"

    assert agent.http.ok("GET", "/health", headers={seen: "mount_1"})["status"] == "ok", "sent with the bearer"
    listed = agent.ok("GET", "fs/tree?depth=3&excludeMountRuntime=true&path=%2F")
    (file,) = (each for each in listed["entries"] if each["type"] == "file")
    assert {"path", "revision", "contentHash", "size", "mode"} <= set(file)
    assert (listed["nextCursor"], listed["totalFiles"]) == (None, 1)
    (read,) = agent.ok("POST", "fs/bulk-read", body={"paths": ["/docs/a.md"]})["files"]
    assert {"path", "revision", "contentType", "content", "contentHash"} <= set(read)
    newest = agent.ok("GET", "fs/events?direction=desc&limit=1")["events"]
    assert [each["eventId"] for each in newest] == ["evt_1"]

    assert agent.ask("GET", "fs/file?path=%2Fdocs%2Fb.md").status == 404, "it looks before it pushes"
    key = {"kind": "mount-command", "key": "mountcmd_" + "0" * 32, "ttlSeconds": 604_800}
    pushed = {"path": "/docs/b.md", "contentType": "text/markdown", "content": "two", "encoding": "", "ifMatch": "0"}
    files = {"files": [{**pushed, "contentIdentity": key, "type": "file", "mode": 420}]}
    first, again = (agent.ok("POST", "fs/bulk", body=files)["results"] for _ in range(2))
    assert first == again
    assert "opId" not in first[0], "with one it would ask for that operation in each cycle"
    assert first[0]["writeback"] == {"provider": "docs", "state": "succeeded"}

    late = {"files": [{**pushed, "content": "late", "ifMatch": "rev_1"}]}
    (refused,) = agent.ok("POST", "fs/bulk", body=late)["errors"]
    assert (refused["code"], refused["currentRevision"]) == ("conflict", "rev_2")
    gone = agent.ask("DELETE", "fs/file?path=%2Fdocs%2Fb.md", headers={"If-Match": "rev_2"})
    assert gone.status == 202
    assert agent.ask("DELETE", "fs/file?path=%2Fdocs%2Fb.md", headers={"If-Match": "rev_2"}).status == 404
    following = agent.ok("GET", "fs/events?cursor=evt_1&limit=50")
    assert [each["type"] for each in following["events"]] == ["file.created", "file.deleted"]
    assert following["nextCursor"] is None
    url = f"{agent.http.url.replace('http', 'ws', 1)}/v1/workspaces/{agent.workspace}/fs/ws"
    with connect(f"{url}?token={agent.http.token}&cursor=evt_2", compression=None) as socket:
        assert json.loads(socket.recv(timeout=20))["eventId"] == "evt_3"
