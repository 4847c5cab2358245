"""What an open socket hears of its sign-in: its end within a second, its mere expiry not at all (R3)."""

import time
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from daemon_keys import DaemonKey
from people import Person
from waiting import until


@pytest.fixture
def watch():
    """Opens live sockets on a workspace; each is closed when the test ends."""
    with ExitStack() as sockets:

        def open_one(server, token, workspace):
            url = f"ws{server.url.removeprefix('http')}/v1/workspaces/{workspace}/fs/ws"
            return sockets.enter_context(connect(url, additional_headers={"Authorization": f"Bearer {token}"}))

        yield open_one


def end_of(socket):
    """The code and reason it is closed with, and how long that took."""
    began = time.monotonic()
    try:
        while True:
            socket.recv(timeout=5)
    except ConnectionClosed as closed:
        return closed.rcvd.code, closed.rcvd.reason, time.monotonic() - began


def test_revoking_a_sign_in_closes_its_sockets_and_no_others(shared, owner, watch):
    other = Person(shared)
    other.sign_in()
    workspace = owner.http.ok("POST", "/api/v1/workspaces", body={})["workspaceId"]
    mine = watch(shared, owner.grant["access_token"], workspace)
    joined = owner.http.ok("POST", f"/api/v1/workspaces/{workspace}/join")["token"]
    agents = watch(shared, joined, workspace)
    theirs = watch(shared, other.grant["access_token"], workspace)
    other.http.ok("DELETE", f"/api/v1/auth/sessions/{owner.grant['family']}")
    for socket in (mine, agents):
        code, reason, took_s = end_of(socket)
        assert (code, reason) == (4401, "revoked")
        assert took_s < 1
    other.http.ok(
        "PUT", f"/v1/workspaces/{workspace}/fs/file?path=/a", body={"content": "x"}, headers={"If-Match": "*"}
    )
    assert '"/a"' in theirs.recv(timeout=5)
    other.http.close()


def test_ending_a_daemon_credential_closes_the_sockets_of_that_daemon_alone(shared, owner, watch):
    workspace = owner.http.ok("POST", "/api/v1/workspaces", body={})["workspaceId"]
    one, two = (DaemonKey().enrol(owner, workspace, mirror).json for mirror in ("a", "b"))
    ended, kept = (watch(shared, each["access_token"], workspace) for each in (one, two))
    owner.http.ok("DELETE", f"/api/v1/auth/sessions/{one['family']}")
    code, reason, took_s = end_of(ended)
    assert (code, reason) == (4401, "revoked")
    assert took_s < 1
    owner.http.put(workspace, "/a", b"x")
    assert '"/a"' in kept.recv(timeout=5)
    assert owner.http.ok("DELETE", "/api/v1/auth/sessions?all=1")["ended"] >= 2
    assert end_of(kept)[:2] == (4401, "signed_out_everywhere")


def test_deleting_a_workspace_closes_its_sockets_without_blaming_the_token(shared, owner, watch):
    workspace = owner.http.ok("POST", "/api/v1/workspaces", body={})["workspaceId"]
    socket = watch(shared, owner.grant["access_token"], workspace)
    owner.http.ok("DELETE", f"/api/v1/workspaces/{workspace}")
    code, reason, took_s = end_of(socket)
    assert (code, reason) == (1013, "workspace_deleted")
    assert took_s < 1


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_the_end_of_a_machine_token_closes_its_sockets(shared, owner, watch, end):
    workspace = owner.http.ok("POST", "/api/v1/workspaces", body={})["workspaceId"]
    body = {"name": f"socket {end}", "scopes": ["fs:read"], "ttl_seconds": 1.5 if end == "expired" else 60}
    made = owner.http.ok("POST", "/api/v1/auth/tokens", body=body)
    socket = watch(shared, made["token"], workspace)
    if end == "revoked":
        owner.http.ok("DELETE", f"/api/v1/auth/tokens/{made['row']['id']}")
    code, reason, _ = end_of(socket)
    assert (code, reason) == (4401, end)


def test_mere_expiry_closes_no_socket(start_server, watch):
    server = start_server(access_ttl="1s", refresh_overlap="0s")
    somebody = Person(server)
    somebody.sign_in()
    workspace = somebody.http.ok("POST", "/api/v1/workspaces", body={})["workspaceId"]
    token = somebody.grant["access_token"]
    socket = watch(server, token, workspace)
    until(lambda: somebody.whoami(token).status == 401, within_s=5, what="the token expires")
    renewed = somebody.renew(somebody.grant["refresh_token"]).json
    somebody.http.token = renewed["access_token"]
    somebody.http.ok(
        "PUT", f"/v1/workspaces/{workspace}/fs/file?path=/a", body={"content": "x"}, headers={"If-Match": "*"}
    )
    assert '"/a"' in socket.recv(timeout=5)
    somebody.http.close()
