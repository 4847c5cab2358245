"""What strangers, guests and members may try at the data routes: refused clearly, and never at others' cost."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from urllib.parse import quote

import pytest

from plain_http import PlainHttp
from relayfile.wire import delta
from waiting import until

ESCAPES = ["/../x", "/a/../../x", "/%2e%2e/x", "/..%2fx", "/a%00b", "/a%5cb", "//x", "/./x", "/" + "n" * 256, "."]
DEEP = b'{"unknown":' + b"[" * 30_000 + b"]" * 30_000 + b"}"


def refused(answer):
    return answer.status, answer.json["code"]


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_is_none_is_refused_by_every_door(client, path):
    write = {"body": {"content": "x"}, "headers": {"If-Match": "*"}}
    for method, rest in (("GET", {}), ("PUT", write), ("DELETE", {"headers": {"If-Match": "*"}})):
        assert refused(client.ask(method, f"fs/file?path={path}", **rest)) == (400, "invalid_path")
    text = path.replace("%2e", ".").replace("%2f", "/").replace("%00", "\0").replace("%5c", "\\")
    for entry in ({"content": "x"}, {"op": "delete"}, {"type": "symlink", "target": "x"}):
        assert client.bulk({"path": text, **entry})["errors"][0]["code"] == "invalid_path"
    [read] = client.ok("POST", "fs/bulk-read", body={"paths": [text]})["files"]
    assert read["error"]["code"] == "invalid_path"
    assert client.ok("GET", "fs/tree")["entries"] == []


@pytest.mark.parametrize("route", ["fs/tree", "fs/query", "fs/export"])
@pytest.mark.parametrize("path", ["/../x", "/a/%2e%2e/b", "/a%00b", "/%ff", "/%ed%a0%80"])
def test_a_folder_that_is_none_is_refused_by_every_listing(client, route, path):
    assert refused(client.ask("GET", f"{route}?path={path}")) == (400, "invalid_path")


def test_bytes_that_are_no_text_never_become_another_path(client):
    for path in ("/%ff", "/%fe", "/%ed%a0%80"):
        answer = client.ask("PUT", f"fs/file?path={path}", body={"content": "x"}, headers={"If-Match": "*"})
        assert refused(answer) == (400, "invalid_path")
    client.write("/\ufffd", "a real one")
    assert client.ok("GET", "fs/file?path=/%EF%BF%BD")["content"] == "a real one"


@pytest.mark.parametrize("body", [DEEP, b'{"a":' * 9_000 + b"1" + b"}" * 9_000])
def test_json_nested_without_end_is_a_bad_request_and_no_fault_of_ours(client, body):
    stranger = client.other()
    for ask in (
        lambda: client.ask("POST", "fs/bulk", raw=body),
        lambda: client.ask("POST", "fs/bulk-read", raw=body),
        lambda: client.ask("POST", "fs/blobs", raw=body),
        lambda: client.http.ask("POST", "/api/v1/workspaces", raw=body),
        lambda: stranger.http.ask("POST", "/api/v1/auth/token/refresh", raw=body),
        lambda: stranger.http.ask("POST", "/v1/tokens/refresh", raw=body),
    ):
        assert refused(ask()) == (400, "bad_request")
    headers = {"Content-Type": "application/json"}
    assert refused(stranger.http.ask("POST", "/api/v1/cli/login", raw=body, headers=headers)) == (400, "bad_request")


def test_numbers_that_no_table_holds_are_refused_or_found_nowhere(client):
    client.write("/a")
    most = "9" * 5_000
    for number in ("9" * 19, "9" * 30, most):
        assert client.ask("GET", f"ops/op_{number}").status == 404
        for route in (f"ops?cursor=op_{number}", f"fs/events?cursor=evt_{number}", f"fs/delta?since={number}"):
            assert client.ask("GET", route).status in {200, 400, 410}
        write = client.ask("PUT", "fs/file?path=/a", body={"content": "x"}, headers={"If-Match": f"rev_{number}"})
        assert refused(write) == (412, "precondition_failed")
        [error] = client.bulk({"path": "/a", "content": "x", "ifMatch": f"rev_{number}"})["errors"]
        assert error["code"] == "precondition_failed"


def test_a_hostile_pattern_on_a_socket_costs_others_nothing(client):
    client.write("/" + "a" * 250)
    with client.socket("cursor=evt_0&path=" + quote("/" + "*a" * 100 + "b")) as socket:
        began = time.monotonic()
        with contextlib.closing(PlainHttp(client.http.url)) as stranger:
            assert stranger.ask("GET", "/health").status == 200
        assert time.monotonic() - began < 2
        client.write("/" + "a" * 250 + "b", "it fits")
        assert json.loads(socket.recv(timeout=5))["path"].endswith("b")
    with pytest.raises(Exception, match="400"), client.socket("&".join(["path=/a"] * 65)):
        pass


def guest(client):
    """Somebody who may read below /docs and nothing else."""
    for path in ("/docs/a", "/docs2/b", "/secret/x"):
        client.write(path, "content of " + path)
    return client.join("guest", "relayfile:fs:read:/docs/**")


@pytest.mark.parametrize(
    "route",
    [
        "fs/tree",
        "fs/tree?path=/secret",
        "fs/events",
        "fs/events?direction=desc",
        "fs/query",
        "fs/query?path=/secret",
        "fs/export",
        "fs/export?path=/secret",
        "fs/delta?since=0",
    ],
)
def test_a_guest_of_one_folder_sees_that_folder_on_every_route(client, route):
    shown = guest(client).ask("GET", route)
    assert shown.status == 200
    seen = shown.body.replace(b'"path":"/secret","entries":[]', b"")  # the folder that was asked for, and empty
    assert b"/secret" not in seen
    assert b"/docs2" not in seen


def test_a_guest_reaches_no_body_and_no_digest_from_outside(client):
    one = guest(client)
    outside = hashlib.sha256(b"content of /secret/x").hexdigest()
    assert one.ask("GET", f"fs/blob/{outside}").status == 404
    assert one.ask("GET", "fs/blob/" + "0" * 64).body.replace(b"0" * 64, b"") != b""
    frames = one.ask("POST", "fs/blobs", body={"digests": [outside]})
    assert [frame.body for frame in delta.FrameReader().feed(frames.body) if isinstance(frame, delta.Blob)] == [None]
    assert [frame.path for frame in one.delta() if isinstance(frame, delta.Item)] == ["/docs/a"]
    assert refused(one.ask("GET", "fs/file?path=/secret/x")) == (403, "forbidden")
    assert one.ok("POST", "fs/bulk-read", body={"paths": ["/secret/x"]})["files"][0]["error"]["status"] == 403
    assert one.ok("GET", "fs/digest")["treeDigest"] != client.ok("GET", "fs/digest")["treeDigest"]
    assert refused(one.ask("GET", "ops")) == (403, "forbidden")
    assert refused(one.ask("POST", "fs/bulk", body={"files": [{"path": "/docs/n", "content": ""}]}))[0] == 403
    assert one.http.ask("GET", "/api/v1/auth/sessions").status == 403
    assert one.http.ask("DELETE", f"/api/v1/workspaces/{one.workspace}").status == 403


def test_a_guests_socket_shows_that_folder_whatever_it_asks_for(client):
    one = guest(client)
    with one.socket("cursor=evt_0&path=/secret/**&path=/**&path=/") as socket:
        client.write("/secret/y")
        client.write("/docs/last")
        seen = [json.loads(socket.recv(timeout=5))["path"] for _ in range(2)]
    assert seen == ["/docs/a", "/docs/last"]


def test_a_subtree_session_learns_of_no_write_outside_it(client):
    client.write("/secret/x")
    body = {"localDir": "/tmp/x", "remotePath": "/docs", "mode": "poll", "agentName": "m"}
    made = client.http.ok("POST", f"/api/v1/workspaces/{client.workspace}/relayfile/mount-session", body=body)
    one = client.other(made["relayfileToken"])
    done = one.ask("PUT", "fs/file?path=/docs/mine", body={"content": "x"}, headers={"If-Match": "*"})
    assert [op["path"] for op in one.ok("GET", "ops")["items"]] == ["/docs/mine"]
    assert one.ok("GET", f"ops/{done.json['opId']}")["status"] == "succeeded"
    assert one.ask("GET", "ops/op_1").status == 404


def test_a_writer_who_may_not_read_learns_nothing_from_a_conflict(client):
    client.write("/a", "secret words")
    one = client.join("writer", "fs:write")
    answer = one.ask("PUT", "fs/file?path=/a", body={"content": "x"}, headers={"If-Match": "rev_0"})
    assert answer.status == 409
    assert b"secret words" not in answer.body


def encoded(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(client, real):
    """Tokens nobody signed, made from one that the server did."""
    header, claims, signature = real.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    wider = encoded({**said, "scopes": ["fs:read", "fs:write"]})
    jwk = client.http.ok("GET", "/.well-known/jwks.json")["keys"][0]
    ours = encoded({"alg": "RS256", "jku": "http://127.0.0.1:9/", "jwk": jwk})
    public = json.dumps(jwk).encode()
    mac = encoded(hmac.digest(public, f"{encoded({'alg': 'HS256'})}.{wider}".encode(), "sha256"))
    return {
        "no signature": f"{encoded({'alg': 'none'})}.{wider}.",
        "none, cased": f"{encoded({'alg': 'nOnE'})}.{wider}.",
        "our public key as a shared one": f"{encoded({'alg': 'HS256'})}.{wider}.{mac}",
        "wider claims": f"{header}.{wider}.{signature}",
        "half a signature": f"{header}.{claims}.{signature[:100]}",
        "header is a list": f"{encoded([])}.{claims}.{signature}",
        "header is deep": f"{encoded(b'[' * 9_000)}.{claims}.{signature}",
        "header is no text": f"{encoded(bytes([255, 254]))}.{claims}.{signature}",
        "alg is a list": f"{encoded({'alg': ['RS256']})}.{claims}.{signature}",
        "a key from elsewhere": f"{ours}.{wider}.{signature}",
        "encrypted": f"{encoded({'alg': 'dir', 'enc': 'A128GCM'})}....",
        "dots": "....",
        "opaque": "cld_at_" + "A" * 43,
        "prefix only": "cld_at_",
    }


def test_a_token_that_nobody_signed_opens_nothing(client):
    one = guest(client)
    for what, token in forged(client, one.http.token).items():
        answer = client.other(token).ask("GET", "fs/tree")
        assert refused(answer) == (401, "token_invalid"), what
        assert token[:30] not in answer.body.decode(), what


def test_a_token_of_another_workspace_opens_nothing_here(client):
    theirs = client.http.ok("POST", "/api/v1/workspaces", body={"name": "other-" + client.workspace})["workspaceId"]
    joined = client.http.ok(
        "POST", f"/api/v1/workspaces/{theirs}/join", body={"agentName": "a", "scopes": ["fs:read", "fs:write"]}
    )
    one = client.other(joined["token"])
    for method, route, rest in (
        ("GET", "fs/tree", {}),
        ("GET", "fs/delta?since=0", {}),
        ("GET", "fs/blob/" + "0" * 64, {}),
        ("POST", "fs/bulk", {"body": {"files": [{"path": "/x", "content": "x"}]}}),
    ):
        assert refused(one.ask(method, route, **rest)) == (403, "forbidden")
    with pytest.raises(Exception, match="403"), one.socket():
        pass


def test_a_header_never_becomes_two(client):
    answer = client.ask("GET", "fs/tree", headers={"X-Correlation-Id": "a\xa0b"})
    assert answer.headers["x-correlation-id"].startswith("c_")
    client.write("/a\r\nSet-Cookie: x=1", "x")
    read = client.ask("GET", "fs/file?path=" + quote("/a\r\nSet-Cookie: x=1"))
    assert read.status == 200
    assert "set-cookie" not in {name.lower() for name in read.headers}


def test_a_bulk_of_very_many_files_lets_others_write_in_between(client):
    files = [{"path": f"/{number}", "content": ""} for number in range(12_000)]
    other = client.other(client.http.token)
    answers = []
    sender = threading.Thread(target=lambda: answers.append(client.bulk(*files)))
    sender.start()
    until(lambda: other.ok("GET", "fs/digest")["position"], within_s=20, what="its first files are there")
    between = other.ask("PUT", "fs/file?path=/mine", body={"content": "x"}, headers={"If-Match": "*"})
    sender.join()
    [answer] = answers
    assert answer["written"] == len(files)
    assert [one["path"] for one in answer["results"]] == [one["path"] for one in files]
    last = int(answer["results"][-1]["revision"].removeprefix("rev_"))
    assert int(between.json["targetRevision"].removeprefix("rev_")) < last
