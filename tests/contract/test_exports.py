"""A whole workspace in one answer (3-protocol B 1.6)."""

import io
import os
import subprocess
import tarfile

import pytest

LARGE = os.urandom(1_500_000)
AWKWARD = 'odd "name"\n \u00e9.txt'


@pytest.fixture
def filled(client):
    """Files of every kind."""
    client.bulk(
        {"path": "/docs/a.md", "content": "one\ntwo\n"},
        {"path": "/docs/bin", "content": "/wA=", "encoding": "base64"},
        {"path": "/docs/cut", "content": "no end of line"},
        {"path": "/docs/empty", "content": ""},
        {"path": "/docs/link", "type": "symlink", "target": "a.md"},
        {"path": f"/docs/{AWKWARD}", "content": "x\n"},
        {"path": "/docs/tool", "content": "#!/bin/sh\n", "mode": 493},
        {"path": "/" + "long/" * 60 + "name", "content": "deep"},
    )
    headers = {"Content-Type": "application/octet-stream", "If-Match": "0"}
    assert client.ask("PUT", "fs/file?path=/large", raw=LARGE, headers=headers).status == 202
    return client


def test_a_tar_archive_holds_every_file_with_its_mode(filled):
    answer = filled.ask("GET", "fs/export?format=tar")
    assert answer.headers["content-type"] == "application/gzip"
    assert "workspace-export.tar.gz" in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as archive:
        there = {member.name: member for member in archive.getmembers()}
        assert archive.extractfile("large").read() == LARGE
        assert archive.extractfile(f"docs/{AWKWARD}").read() == b"x\n"
        assert archive.extractfile("long/" * 60 + "name").read() == b"deep"
    assert {name: member.mode for name, member in there.items() if name in {"docs/a.md", "docs/tool"}} == {
        "docs/a.md": 0o644,
        "docs/tool": 0o755,
    }
    assert (there["docs/link"].issym(), there["docs/link"].linkname) == (True, "a.md")
    assert len(there) == 9
    assert there["large"].mtime > 1_600_000_000


def test_git_makes_the_same_tree_of_a_patch(filled, tmp_path):
    """Binary files are only named in it."""
    answer = filled.ask("GET", "fs/export?format=patch&path=/docs")
    assert answer.headers["content-type"].startswith("text/x-diff")
    text = answer.body.replace(b"Binary files /dev/null and b/docs/bin differ\n", b"")
    assert text != answer.body
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=text, check=True, capture_output=True)
    docs = tmp_path / "docs"
    assert sorted(os.listdir(docs)) == sorted(["a.md", "bin", "cut", "empty", "link", AWKWARD, "tool"])  # noqa: PTH208
    assert (docs / "a.md").read_text() == "one\ntwo\n"
    assert (docs / "cut").read_text() == "no end of line"
    assert (docs / "empty").read_bytes() == b""
    assert str((docs / "link").readlink()) == "a.md"
    assert (docs / AWKWARD).read_text() == "x\n"
    assert (docs / "tool").stat().st_mode & 0o111


def test_an_export_of_nothing_is_whole(client):
    with tarfile.open(fileobj=io.BytesIO(client.ask("GET", "fs/export?format=tar").body), mode="r:gz") as archive:
        assert archive.getmembers() == []
    assert client.ask("GET", "fs/export?format=patch").body == b""


def test_an_export_shows_only_what_its_reader_may_see(filled):
    """Three formats, one filter."""
    reader = filled.join("agent", "relayfile:fs:read:/docs/a*")
    assert [each["path"] for each in reader.ok("GET", "fs/export?path=/docs")] == ["/docs/a.md"]
    assert reader.ask("GET", "fs/export?format=patch").body.count(b"diff --git") == 1
    with tarfile.open(fileobj=io.BytesIO(reader.ask("GET", "fs/export?format=tar").body), mode="r:gz") as archive:
        assert archive.getnames() == ["docs/a.md"]
