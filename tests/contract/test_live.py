"""The live socket (v1 fs/ws, A5, R22)."""

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from servers import OWNER, PASSWORD


def frames(socket, count, *, marks=False):
    """The next `count` frames, without marks unless asked."""
    found = []
    while len(found) < count:
        text = socket.recv(timeout=20)
        assert text.endswith("\n")
        frame = json.loads(text)
        if marks or frame["type"] != "mark":
            found.append(frame)
    return found


def mark(socket):
    while (frame := json.loads(socket.recv(timeout=20)))["type"] != "mark":
        pass
    return frame


def test_each_change_comes_at_once_with_its_content(client):
    with client.socket("from=now") as socket:
        client.write("/docs/a", "héllo", contentType="text/plain")
        client.bulk({"path": "/docs/b", "content": "/wA=", "encoding": "base64"})
        client.remove("/docs/a")
        created, binary, deleted = frames(socket, 3)
    assert {name: created[name] for name in ("eventId", "type", "path", "revision", "content", "inlineContent")} == {
        "eventId": "evt_1",
        "type": "file.created",
        "path": "/docs/a",
        "revision": "rev_1",
        "content": "héllo",
        "inlineContent": True,
    }
    assert created["contentType"] == "text/plain"
    assert (binary["content"], binary["encoding"]) == ("/wA=", "base64")
    assert (deleted["type"], "content" in deleted) == ("file.deleted", False)
    assert not {"previous", "mode", "size"} & set(created), "an old client sees v1's frame"


@pytest.mark.parametrize(
    ("query", "replayed"),
    [("cursor=evt_1", ["evt_2", "evt_3"]), ("", ["evt_1", "evt_2", "evt_3"]), ("from=now", []), ("cursor=what", [])],
)
def test_what_is_replayed_depends_on_the_cursor(client, query, replayed):
    for text in "123":
        client.write("/a", text)
    with client.socket(query) as socket:
        client.write("/end")
        assert [frame["eventId"] for frame in frames(socket, len(replayed) + 1)] == [*replayed, "evt_4"]


def test_a_replayed_change_that_is_no_longer_the_newest_has_no_content(client):
    client.write("/a", "1")
    client.write("/a", "2")
    with client.socket("") as socket:
        older, newer = frames(socket, 2)
    assert ("content" in older, newer["content"]) == (False, "2")


def test_frames_chain_by_previous_and_marks_prove_exactly_their_position(client):
    client.write("/before")
    with client.socket("marks=1&cursor=evt_1") as socket:
        (first,) = frames(socket, 1, marks=True)
        assert (first["type"], first["position"], first["previous"]) == ("mark", 1, 1)
        assert first["treeDigest"] == client.ok("GET", "fs/digest")["treeDigest"]
        for text in "123":
            client.write("/a", text)
        chain = frames(socket, 3)
        assert [(frame["previous"], frame["eventId"]) for frame in chain] == [
            *((1, "evt_2"), (2, "evt_3"), (3, "evt_4")),
        ]
        assert (chain[0]["mode"], chain[0]["size"]) == ("644", 1)
        proof = mark(socket)
        digest = client.ok("GET", "fs/digest")
        assert (proof["position"], proof["previous"], proof["treeDigest"], proof["epoch"]) == (
            *(4, 4, digest["treeDigest"], digest["epoch"]),
        )


def test_only_paths_asked_for_are_told(client):
    with client.socket("from=now&path=/a/**&path=/b/*/x") as socket:
        for path in ("/c/1", "/a/1/2", "/b/x", "/b/1/x", "/b/1/2/x", "/a/end"):
            client.write(path)
        assert [frame["path"] for frame in frames(socket, 3)] == ["/a/1/2", "/b/1/x", "/a/end"]


def test_a_ping_is_answered_and_nonsense_is_ignored(client):
    with client.socket("from=now") as socket:
        socket.send("not json")
        socket.send('{"type":"ping"}')
        answer = json.loads(socket.recv(timeout=20))
        assert answer["type"] == "pong"
        assert "timestamp" in answer


def test_a_refusal_before_the_upgrade_is_plain_json(client):
    url = f"{client.http.url.replace('http', 'ws', 1)}/v1/workspaces/{client.workspace}/fs/ws"
    for suffix, headers, status, code in (
        ("", {}, 401, "login_required"),
        ("?token=nonsense", {}, 401, "token_invalid"),
        ("?marks=1&cursor=evt_5", {"Authorization": f"Bearer {client.http.token}"}, 410, "cursor_expired"),
        ("?marks=1&epoch=other", {"Authorization": f"Bearer {client.http.token}"}, 410, "cursor_expired"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(url + suffix, additional_headers=headers)
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["code"] == code
    assert client.ask("GET", "fs/ws").status == 426


def test_the_token_may_stand_in_the_query_and_never_reaches_the_log(client, shared_server):
    url = f"{client.http.url.replace('http', 'ws', 1)}/v1/workspaces/{client.workspace}/fs/ws"
    with connect(f"{url}?token={client.http.token}&from=now") as socket:
        client.write("/a")
        frames(socket, 1)
    deadline = time.monotonic() + 10
    while not any(
        entry["method"] == "WS" and client.workspace in entry["path"] for entry in shared_server.access_log()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log = (shared_server.data / "access.log").read_text()
    assert client.http.token not in log
    assert "token=" not in log


def test_a_reader_far_behind_is_sent_back_to_its_cursor(client):
    for first in range(0, 4_200, 600):
        client.bulk(*({"path": f"/f{n % 9}", "content": str(n)} for n in range(first, first + 600)))
    with client.socket("marks=1&cursor=evt_1") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=20)
    assert closed.value.rcvd.code == 1013
    with client.socket("cursor=evt_1") as socket:
        assert frames(socket, 4_199)[-1]["eventId"] == "evt_4200", "an old client, without marks, is served in full"


def test_a_revoked_sign_in_closes_its_sockets_within_a_second(client):
    other = client.other()
    grant = other.http.sign_in(OWNER, PASSWORD)
    with other.socket("from=now") as socket:
        other.write("/a")
        frames(socket, 1)
        began = time.monotonic()
        other.http.ok("POST", "/oauth/revoke", form={"token": grant["refresh_token"], "client_id": "relayfile-cli"})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert time.monotonic() - began < 1
    assert closed.value.rcvd.code == 4401
    assert other.ask("GET", "fs/digest").json["code"] == "token_revoked"
