"""What existing v1 clients insist on; each of these once made a published client fail against this server."""


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
