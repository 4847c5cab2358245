"""Bad requests get clear errors, in one shape (A8)."""

import pytest


def problem(answer):
    body = answer.json
    assert {"code", "message", "correlationId"} <= set(body)
    assert answer.headers["x-correlation-id"] == body["correlationId"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status, body["code"]


def test_an_unknown_route_and_a_wrong_method_are_told_apart(client):
    assert problem(client.http.ask("GET", "/v1/nothing")) == (404, "not_found")
    assert problem(client.ask("GET", "fs/nothing")) == (404, "not_found")
    assert problem(client.ask("PATCH", "fs/file?path=/a")) == (405, "method_not_allowed")


def test_the_answer_carries_the_clients_correlation_id(client):
    answer = client.ask("GET", "fs/file?path=/no", headers={"X-Correlation-Id": "mine-1"})
    assert answer.json["correlationId"] == "mine-1"
    made = client.ask("GET", "fs/file?path=/no", headers={"X-Correlation-Id": ""})
    assert made.json["correlationId"].startswith("c_")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"files":3}', b'{"files":[{"path":1}]}', b"\xff\xfe", b"<html>"]
)
def test_json_that_is_not_json_or_not_ours_is_a_bad_request(client, body):
    answer = client.ask("POST", "fs/bulk", raw=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == (400, "bad_request")


def test_a_body_over_the_limit_names_the_limit(client):
    answer = client.ask("POST", "fs/bulk", raw=b" " * (16 * 1_048_576 + 1))
    assert problem(answer) == (413, "payload_too_large")
    assert answer.json["limitBytes"] == 16 * 1_048_576
    assert str(16 * 1_048_576) in answer.json["message"]
    assert client.ask("GET", "fs/digest").status == 200, "the connection goes on"


@pytest.mark.parametrize(
    "route", ["fs/tree", "fs/file?path=/a", "fs/delta?since=0", "fs/events", "fs/digest", "ops", "sync/status"]
)
def test_an_unknown_workspace_is_not_found_on_every_route(client, route):
    other = client.other(client.http.token, "rw_0000000000000000")
    assert problem(other.ask("GET", route)) == (404, "workspace_not_found")


@pytest.mark.parametrize(
    "route", ["fs/tree", "fs/file?path=/a", "fs/delta?since=0", "fs/events", "fs/digest", "ops", "sync/status"]
)
def test_a_deleted_workspace_is_gone_on_every_route(client, route):
    client.write("/a")
    assert client.http.ask("DELETE", f"/api/v1/workspaces/{client.workspace}").status in {200, 202, 204}
    assert problem(client.ask("GET", route)) == (410, "workspace_deleted")
    assert problem(client.ask("POST", "fs/bulk", body={"files": [{"path": "/a", "content": ""}]}))[0] == 410


def test_a_token_for_another_workspace_is_refused(client, signed_in):
    token = client.join("agent", "fs:read")
    other = signed_in.ok("POST", "/api/v1/workspaces", body={"name": client.workspace + "-other"})["workspaceId"]
    assert problem(client.other(token.http.token, other).ask("GET", "fs/tree")) == (403, "forbidden")


def test_a_reader_may_not_write(client):
    reader = client.join("agent", "fs:read")
    answer = reader.ask("POST", "fs/bulk", body={"files": [{"path": "/a", "content": ""}]})
    assert problem(answer) == (403, "forbidden")
    assert "fs:write" in answer.json["message"]


@pytest.mark.parametrize(
    ("token", "code"), [("", "login_required"), ("nonsense", "token_invalid"), ("cld_at_x", "token_invalid")]
)
def test_a_401_says_which(client, token, code):
    answer = client.other(token).ask("GET", "fs/tree")
    assert problem(answer) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_health_needs_no_sign_in_and_says_what_it_can(client):
    told = client.other().http.ok("GET", "/health")
    assert told["status"] == "ok"
    assert {"symlink-v1", "file-stream-v1"} <= set(told["features"])
