"""Many files in one request (3-protocol B 1.4, 1.5)."""

import pytest


def test_each_entry_is_in_the_results_or_in_the_errors(client):
    client.write("/old", "1")
    answer = client.ask(
        "POST",
        "fs/bulk",
        body={
            "files": [
                {"path": "/a", "content": "1"},
                {"path": "/old", "content": "2", "ifMatch": "0"},
                {"path": "/gone", "content": "2", "ifMatch": "rev_9"},
                {"path": "/../x", "content": "1"},
                {"path": "/b", "content": "?", "encoding": "base64"},
                {"path": "/b", "content": "1", "encoding": "rot13"},
                {"path": "/b"},
                {"path": "/b", "content": "1", "ifMatch": "maybe"},
                {"path": "/nothing", "op": "delete"},
                {"path": "/old", "op": "delete", "ifMatch": "rev_1"},
            ]
        },
    )
    assert answer.status == 202
    body = answer.json
    assert [each["path"] for each in body["results"]] == ["/a", "/old"]
    assert (body["written"], body["errorCount"]) == (2, 8)
    assert [each["code"] for each in body["errors"]] == [
        *("conflict", "conflict", "invalid_path", "invalid_content", "invalid_encoding", "invalid_content"),
        *("precondition_failed", "not_found"),
    ]
    assert [each.get("currentRevision") for each in body["errors"][:2]] == ["rev_1", "rev_0"]
    assert all("opId" not in each for each in body["results"])


def test_an_empty_bulk_is_refused(client):
    assert client.ask("POST", "fs/bulk", body={"files": []}).status == 400


def test_a_repeated_bulk_answers_the_same_revisions(client):
    files = [
        {
            "path": f"/f{n}",
            "content": "x",
            "ifMatch": "0",
            "contentIdentity": {"kind": "mount-command", "key": f"k{n}"},
        }
        for n in range(3)
    ]
    first, again = client.bulk(*files), client.bulk(*files)
    assert first["results"][0]["contentIdentity"] == {"kind": "mount-command", "key": "k0"}
    assert [each["revision"] for each in again["results"]] == [each["revision"] for each in first["results"]]
    assert client.ok("GET", "fs/digest")["position"] == 3
    reused = client.bulk({**files[0], "content": "y"})
    assert reused["errors"][0]["code"] == "identity_reused"


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/a//b",
        "/./a",
        "/a\\b",
        "/a\0b",
        "/" + "x" * 300,
        "/" + "é" * 128,
        "",
        "/",
        "/a/" + "b/" * 2100 + "c",
    ],
)
def test_a_path_that_could_not_be_a_file_is_refused_alone(client, path):
    answer = client.bulk({"path": path, "content": "x"}, {"path": "/fine", "content": "x"})
    assert ([each["code"] for each in answer["errors"]], answer["written"]) == (["invalid_path"], 1)


def test_names_that_differ_by_case_or_normal_form_are_different_files(client):
    names = ["/Readme", "/readme", "/é".replace("é", "\u00e9"), "/e\u0301"]
    client.bulk(*({"path": name, "content": name} for name in names))
    assert {each["path"] for each in client.ok("GET", "fs/tree")["entries"]} == set(names)
    for name in names:
        answer = client.ok("POST", "fs/bulk-read", body={"paths": [name]})
        assert answer["files"][0]["content"] == name


def test_a_bulk_read_has_one_entry_for_each_path_in_order(client):
    client.write("/a", "1")
    client.write("/b", "2")
    answer = client.ok("POST", "fs/bulk-read", body={"paths": ["/b", "/no", "/a", "/../x", "/b"]})
    assert [each["path"] for each in answer["files"]] == ["/b", "/no", "/a", "/../x", "/b"]
    assert [each.get("content") for each in answer["files"]] == ["2", None, "1", None, "2"]
    assert [each["error"]["status"] for each in answer["files"] if "error" in each] == [404, 400]
    assert client.ok("POST", "fs/bulk-read", body={"files": [{"path": "/a"}]})["files"][0]["revision"] == "rev_1"
    assert client.ask("POST", "fs/bulk-read", body={"paths": []}).status == 400
    assert client.ask("POST", "fs/bulk-read", body={"paths": ["/a"] * 101}).status == 400


def test_a_body_over_one_mebibyte_inside_a_bulk_is_kept_and_served(client):
    text = "x" * 1_500_000
    client.write("/large", text)
    assert client.ok("GET", "fs/file?path=/large")["content"] == text
