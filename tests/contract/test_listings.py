"""Folder listings, queries, export, v1's events and status."""

from urllib.parse import quote

import pytest


def test_a_tree_lists_folders_and_files_in_byte_order(client):
    client.bulk(*({"path": path, "content": "x"} for path in ("/a/x", "/a-b", "/a.txt", "/z/y/x/w")))
    listed = client.ok("GET", "fs/tree?path=/&depth=2")
    assert [(each["path"], each["type"]) for each in listed["entries"]] == [
        *(("/a", "dir"), ("/a-b", "file"), ("/a.txt", "file"), ("/a/x", "file")),
        *(("/z", "dir"), ("/z/y", "dir")),
    ]
    assert listed["nextCursor"] is None
    assert listed["totalFiles"] == 4
    assert listed["entries"][0]["revision"] == "dir"
    below = client.ok("GET", "fs/tree?path=/z/")
    assert [each["path"] for each in below["entries"]] == ["/z/y", "/z/y/x", "/z/y/x/w"]
    assert client.ok("GET", "fs/tree?path=/a-b")["entries"] == []
    assert client.ok("GET", "fs/tree?path=/nowhere")["entries"] == []


def test_pages_of_a_large_tree_are_the_whole_tree(client):
    paths = sorted(f"/d{n % 7}/f-{n:04}.md" for n in range(1_200))
    for first in range(0, len(paths), 200):
        client.bulk(*({"path": path, "content": "x"} for path in paths[first : first + 200]))
    entries, cursor = [], ""
    while True:
        page = client.ok("GET", f"fs/tree?cursor={quote(cursor)}")
        entries += page["entries"]
        if not (cursor := page["nextCursor"] or ""):
            break
    assert [each["path"] for each in entries if each["type"] == "file"] == paths
    assert [each["path"] for each in entries] == sorted(each["path"] for each in entries)


def test_a_page_goes_on_behind_a_path_that_was_deleted_meanwhile(client):
    paths = [f"/d/{n:04}" for n in range(1_002)]
    client.bulk(*({"path": path, "content": ""} for path in paths))
    for route, ended_at in (("fs/tree?path=/d", paths[999]), ("fs/query?path=/d&limit=500", paths[499])):
        cursor = client.ok("GET", route)["nextCursor"]
        assert cursor == ended_at
        client.remove(cursor)
        page = client.ok("GET", f"{route}&cursor={quote(cursor)}")
        first = page.get("entries", page.get("items"))[0]["path"]
        assert first == paths[paths.index(ended_at) + 1]


@pytest.mark.parametrize("route", ["fs/tree", "fs/query"])
@pytest.mark.parametrize("cursor", ["zzz", "d/a", "/", "//d/a", "/d/a/", "/../d", "/d/%ff", "/d/%00", "/e/a", "/d"])
def test_a_cursor_that_no_page_could_have_ended_at_is_a_bad_request(client, route, cursor):
    client.write("/d/a")
    answer = client.ask("GET", f"{route}?path=/d&cursor={cursor}")
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert "nextCursor" in answer.json["hint"]


def test_an_export_holds_every_file_whole(client):
    assert client.ok("GET", "fs/export?format=json") == []
    client.bulk(*({"path": f"/d/{n:03}", "content": str(n)} for n in range(250)))
    client.write("/other", "x")
    files = client.ok("GET", "fs/export?format=json&path=/d")
    assert [each["content"] for each in files] == [str(n) for n in range(250)]
    assert len(client.ok("GET", "fs/export")) == 251
    assert client.ask("GET", "fs/export?format=zip").status == 400


def test_a_query_finds_files_by_what_is_said_of_them(client):
    said = {"properties": {"state": "open"}, "relations": ["r1"], "comments": ["c"]}
    client.write("/github/1.md", semantics=said)
    client.write("/github/2.md", semantics={"properties": {"state": "closed"}})
    client.write("/linear/3.md")
    for query, found in (
        ("property.state=open", ["/github/1.md"]),
        ("relation=r1", ["/github/1.md"]),
        ("provider=GitHub", ["/github/1.md", "/github/2.md"]),
        ("path=/linear", ["/linear/3.md"]),
        ("permission=none", []),
    ):
        assert [each["path"] for each in client.ok("GET", f"fs/query?{query}")["items"]] == found
    page = client.ok("GET", "fs/query?limit=2")
    rest = client.ok("GET", f"fs/query?limit=2&cursor={quote(page['nextCursor'])}")
    assert ([each["path"] for each in rest["items"]], rest["nextCursor"]) == (["/linear/3.md"], None)
    assert client.ok("GET", "fs/tree?path=/github")["entries"][0]["propertyCount"] == 1


def test_events_are_read_from_any_cursor_in_both_directions(client):
    client.write("/a/1")
    client.write("/a/1", "y")
    client.write("/b/2")
    client.remove("/a/1")

    def ids(query):
        page = client.ok("GET", f"fs/events?{query}")
        return [each["eventId"] for each in page["events"]], page["nextCursor"]

    assert ids("") == (["evt_1", "evt_2", "evt_3", "evt_4"], None)
    assert ids("limit=2") == (["evt_1", "evt_2"], "evt_2")
    assert ids("cursor=evt_2") == (["evt_3", "evt_4"], None)
    assert ids("cursor=evt_4") == ([], None)
    assert ids("direction=desc&limit=1") == (["evt_4"], "evt_4")
    assert ids("direction=desc&cursor=evt_3") == (["evt_2", "evt_1"], None)
    assert ids("provider=B") == (["evt_3"], None)
    assert ids("cursor=garbage") == (["evt_1", "evt_2", "evt_3", "evt_4"], None)
    assert ids("cursor=garbage&direction=desc") == ([], None)
    assert client.ask("GET", "fs/events?cursor=evt_99").json["code"] == "cursor_expired"
    assert client.ask("GET", "fs/events?direction=up").status == 400
    events = client.ok("GET", "fs/events")["events"]
    assert [each["type"] for each in events] == ["file.created", "file.updated", "file.created", "file.deleted"]
    assert "contentHash" in events[0]
    assert "contentHash" not in events[3]


def test_the_sync_status_has_a_row_for_each_first_folder(client):
    for path in ("/zeta/1", "/alpha/1", "/alpha/2", "/root.md"):
        client.write(path)
    assert client.ok("GET", "sync/status") == {
        "workspaceId": client.workspace,
        "providers": [{"provider": "alpha", "status": "healthy"}, {"provider": "zeta", "status": "healthy"}],
    }
    assert [each["provider"] for each in client.ok("GET", "sync/status?provider=ZETA")["providers"]] == ["zeta"]
