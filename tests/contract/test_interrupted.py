"""A client that goes away in the middle of its request: no fault of ours, and nothing of it is kept."""

import secrets
import socket
from urllib.parse import urlsplit

import pytest

from waiting import until

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
BYTES = "application/octet-stream"


@pytest.mark.parametrize(
    ("method", "route", "kind"),
    [
        ("POST", "/v1/workspaces/{ws}/fs/bulk", JSON),
        ("PUT", "/v1/workspaces/{ws}/fs/file?path=/a", JSON),
        ("PUT", "/v1/workspaces/{ws}/fs/file?path=/a", BYTES),
        ("POST", "/oauth/token", FORM),
        ("POST", "/api/v1/workspaces", JSON),
    ],
)
def test_a_client_that_hangs_up_in_its_body_leaves_one_line_in_the_access_log_and_nothing_else(
    client, shared_server, method, route, kind
):
    where, mark, logged = urlsplit(client.http.url), f"gone-{secrets.token_hex(6)}", shared_server.log.stat().st_size
    head = {
        "Host": where.netloc,
        "Authorization": f"Bearer {client.http.token}",
        "X-Correlation-Id": mark,
        "If-Match": "*",
        "Content-Type": kind,
        "Content-Length": "1000",
    }
    lines = [f"{method} {route.format(ws=client.workspace)} HTTP/1.1", *(f"{name}: {head[name]}" for name in head)]
    with socket.create_connection((where.hostname, where.port)) as caller:
        caller.sendall("\r\n".join([*lines, "", "abc"]).encode())
    [entry] = until(
        lambda: [each for each in shared_server.access_log() if each["correlationId"] == mark],
        within_s=10,
        what="the access log tells of it",
        evidence=shared_server.said,
    )
    assert entry["status"] == 408
    assert shared_server.log.read_bytes()[logged:] == b""
    assert client.ok("GET", "fs/tree")["entries"] == []
