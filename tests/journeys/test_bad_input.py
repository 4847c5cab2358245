"""Bad input over HTTP gets one clear error, and nothing is written. One server serves this whole file."""

import json
import tempfile
from pathlib import Path

import pytest

from servers import Server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared_server():
    with tempfile.TemporaryDirectory(prefix="rf-") as folder:
        server = Server(Path(folder)).start()
        yield server
        server.stop()
        assert not server.warnings()


@pytest.fixture
def http(shared_server):
    connection = shared_server.observer()
    connection.credentials = None
    yield connection
    connection.close()


@pytest.fixture
def workspace(http, request) -> str:
    name = "w" + str(abs(hash(request.node.nodeid)))
    return http.ok("POST", "/api/v1/workspaces", body={"name": name})["workspaceId"]


@pytest.mark.parametrize(
    "path",
    [
        "/../outside",
        "/a/../../b",
        "/a//b",
        "/a/./b",
        "/a\0b",
        "/a\\b",
        "/" + "n" * 300,
        "/" + "é" * 150,
        "/",
        "",
    ],
)
def test_a_path_that_could_mean_something_else_is_refused_on_every_write_door(http, workspace, path):
    direct = http.put(workspace, path, b"x")
    assert direct.status == 400, direct
    assert direct.json["code"] in {"invalid_path", "bad_request"}
    bulk = http.ok(
        "POST",
        f"/v1/workspaces/{workspace}/fs/bulk",
        body={
            "files": [{"path": path, "content": "x", "contentType": "text/plain"}, {"path": "/ok", "content": "y"}]
        },
    )
    assert (bulk["written"], bulk["errorCount"], bulk["errors"][0]["code"]) == (1, 1, "invalid_path")
    assert http.tree(workspace) == {"ok": b"y"}, "one bad path never stops the others"


def test_names_that_differ_only_by_case_or_by_normal_form_are_different_files(http, workspace):
    names = ["/Readme", "/readme", "/caf\u00e9", "/cafe\u0301"]
    for name in names:
        assert http.put(workspace, name, name.encode(), over="0").status == 202
    assert http.tree(workspace) == {name[1:]: name.encode() for name in names}


def test_a_body_over_the_limit_is_413_and_names_the_limit(http, workspace):
    answer = http.put(workspace, "/big", b"x" * (17 * MIB))
    assert answer.status == 413
    assert answer.json["code"] == "payload_too_large"
    assert "16" in answer.json["message"], "the message names the limit"
    assert http.tree(workspace) == {}


@pytest.mark.parametrize("raw", [b"{", b"not json", b"[]", b'"text"', b"\xff\xfe", b'{"files": 3}'])
def test_json_that_is_not_what_was_asked_for_is_400_in_the_usual_shape(http, workspace, raw):
    answer = http.ask(
        "POST", f"/v1/workspaces/{workspace}/fs/bulk", raw=raw, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400
    assert {"code", "message", "correlationId"} <= answer.json.keys()


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", "fs/tree?path=/"),
        ("GET", "fs/file?path=/a"),
        ("GET", "fs/events"),
        ("GET", "fs/delta?since=0"),
        ("GET", "fs/digest"),
        ("GET", "fs/export?format=json"),
        ("GET", "sync/status"),
        ("POST", "fs/bulk"),
        ("PUT", "fs/file?path=/a"),
    ],
)
def test_an_unknown_workspace_is_404_on_every_route_and_never_an_empty_answer(http, method, route):
    answer = http.ask(
        method,
        f"/v1/workspaces/rw_0123456789abcdef/{route}",
        body=None if method == "GET" else {"files": [{"path": "/a", "content": "x"}], "content": "x"},
        headers={"If-Match": "*"},
    )
    assert (answer.status, answer.json["code"]) == (404, "workspace_not_found")


def test_a_deleted_workspace_is_410_and_its_name_may_be_used_again(http, workspace):
    http.put(workspace, "/a", b"x")
    assert 200 <= http.ask("DELETE", f"/api/v1/workspaces/{workspace}").status < 300
    answer = http.ask("GET", f"/v1/workspaces/{workspace}/fs/tree")
    assert (answer.status, answer.json["code"]) == (410, "workspace_deleted")


def test_a_token_for_another_workspace_is_403_and_reads_nothing(http, shared_server, workspace):
    other = http.ok("POST", "/api/v1/workspaces", body={"name": f"other-{workspace}"})["workspaceId"]
    http.put(workspace, "/secret", b"x")
    joined = http.ok("POST", f"/api/v1/workspaces/{other}/join", body={"agentName": "a"})
    http.token = joined["token"]
    answer = http.ask("GET", f"/v1/workspaces/{workspace}/fs/file?path=/secret")
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert "workspace mismatch" in answer.json["message"]


@pytest.mark.parametrize("token", ["", "nonsense", "cld_at_nonsense", "a.b.c", "relay_pa_a.b.c"])
def test_a_token_that_is_none_is_401_with_a_code(http, workspace, token):
    http.token = token
    answer = http.ask("GET", f"/v1/workspaces/{workspace}/fs/tree")
    assert answer.status == 401
    assert answer.json["code"] in {"token_invalid", "login_required", "unauthorized"}


def test_an_unknown_route_and_a_wrong_method_have_the_usual_shape_and_every_answer_a_correlation_id(http, workspace):
    assert http.ask("GET", "/v1/nothing").json["code"] == "not_found"
    wrong = http.ask("PATCH", f"/v1/workspaces/{workspace}/fs/file?path=/a")
    assert wrong.status in {404, 405}
    assert "code" in wrong.json
    nameless = http.ask("GET", f"/v1/workspaces/{workspace}/fs/tree", headers={"X-Correlation-Id": ""})
    assert nameless.status == 200
    assert {name.lower(): text for name, text in nameless.headers.items()}["x-correlation-id"]


def test_no_answer_of_the_server_names_a_token_or_a_path_of_the_machine(http, shared_server):
    log = json.dumps(shared_server.access_log())
    assert http.token not in log
    assert str(shared_server.data) not in log
