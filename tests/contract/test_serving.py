"""The life of a server process: its lease, its address, what a crash, a restart and a restored database leave."""

import contextlib
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys

import pytest

from relayfile.wire import delta
from servers import PASSWORD, clean_environment

DELTA = {"Accept": delta.CONTENT_TYPE}
TABLES = ["schema_step", "continuity", "account"]


@pytest.fixture
def observer():
    """A signed-in connection to a server that may have been restarted meanwhile."""
    opened = []

    def observe(server):
        opened.append(server.observer())
        return opened[-1]

    yield observe
    for http in opened:
        http.close()


def workspace(http, name="w"):
    return http.ok("POST", "/api/v1/workspaces", body={"name": name})["workspaceId"]


def frames(http, at, query="since=0"):
    answer = http.ask("GET", f"/v1/workspaces/{at}/fs/delta?{query}", headers=DELTA)
    assert answer.status == 200, answer.body
    return list(delta.FrameReader().feed(answer.body))


def serve(folder, *options):
    return subprocess.run(
        [sys.executable, "-m", "relayfile", "serve", "--data", str(folder), *options],
        env=clean_environment(folder.parent),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_second_server_on_the_same_data_says_who_holds_it_and_exits_7(server):
    second = serve(server.data, "--listen", "127.0.0.1:0")
    assert second.returncode == 7
    assert str(server.process.pid) in second.stderr


def test_an_address_that_is_taken_is_a_misconfiguration(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = serve(place / "data", "--listen", f"127.0.0.1:{port}")
    assert ran.returncode == 78
    assert str(port) in ran.stderr


def test_a_data_folder_that_is_a_file_is_a_misconfiguration(place):
    (place / "data").write_text("")
    assert serve(place / "data", "--listen", "127.0.0.1:0").returncode == 78


def spoiled(database, how):
    if how == "garbage":
        database.write_bytes(b"garbage")
    elif how in TABLES:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (how,)).fetchall()
            [(size,)] = connection.execute("PRAGMA page_size").fetchall()
        with database.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)
    else:
        database.unlink()
        database.mkdir()
    return database.read_bytes() if database.is_file() else None


@pytest.mark.parametrize(
    ("how", "code", "next_step"),
    [("garbage", 70, "a backup"), *((table, 70, "a backup") for table in TABLES), ("a folder", 78, "move it away")],
)
def test_a_spoiled_database_is_named_left_as_it_is_and_the_next_step_told(server, how, code, next_step):
    server.stop()
    database = server.data / "relayfile.db"
    for name in ("relayfile.db-wal", "relayfile.db-shm"):
        (server.data / name).unlink(missing_ok=True)
    left = spoiled(database, how)
    ran = serve(server.data, "--listen", "127.0.0.1:0")
    assert ran.returncode == code
    assert str(database) in ran.stderr
    assert "Nothing was changed" in ran.stderr
    assert next_step in ran.stderr
    assert "Traceback" not in ran.stderr
    assert left is None or database.read_bytes() == left


def test_the_ready_file_holds_the_real_address_and_nothing_is_readable_by_others(start_server, place):
    server = start_server(options=("--ready-file", str(place / "ready")))
    assert (place / "ready").read_text().strip() == server.url
    assert server.stop() == 0
    for folder, _, names in os.walk(server.data):
        for name in names:
            assert (os.stat(os.path.join(folder, name)).st_mode & 0o077) == 0, name  # noqa: PTH116, PTH118


def test_what_was_acknowledged_survives_kill_9(server, observer):
    http = observer(server)
    at = workspace(http)
    http.bulk(at, [(f"/f{number}", str(number)) for number in range(300)])
    http.put(at, "/last", b"x" * 2_000_000)
    before = http.ok("GET", f"/v1/workspaces/{at}/fs/digest")
    server.kill()
    http = observer(server.start())
    assert http.ok("GET", f"/v1/workspaces/{at}/fs/digest") == before
    assert http.content(at, "/last") == b"x" * 2_000_000


def test_a_restored_database_gets_a_new_epoch_and_never_hands_out_a_position_twice(start_server, observer, place):
    server = start_server(expected=["every workspace goes on"])
    http = observer(server)
    at = workspace(http)
    http.bulk(at, [("/a", "1")])
    server.stop()
    shutil.copytree(server.data, place / "backup")
    http = observer(server.start())
    http.bulk(at, [("/b", "1"), ("/c", "1")])
    epoch, known = frames(http, at)[0].epoch, 3
    server.stop()
    for name in ("relayfile.db", "relayfile.db-wal", "relayfile.db-shm"):
        (server.data / name).unlink(missing_ok=True)
        if (place / "backup" / name).exists():
            shutil.copy(place / "backup" / name, server.data / name)
    http = observer(server.start())
    expired = http.ask("GET", f"/v1/workspaces/{at}/fs/delta?since={known}&epoch={epoch}", headers=DELTA)
    assert (expired.status, expired.json["code"]) == (410, "cursor_expired")
    assert frames(http, at)[0].epoch != epoch
    http.bulk(at, [("/d", "1")])
    assert frames(http, at)[-1].cursor > known


def test_a_high_water_that_is_garbage_is_told_at_the_start_with_what_follows_and_only_once(start_server, observer):
    server = start_server(expected=["every workspace goes on"])
    http = observer(server)
    at = workspace(http)
    http.bulk(at, [("/a", "1")])
    server.stop()
    (server.data / "high-water").write_text("not the count that was written here")
    http = observer(server.start())
    told = [line for line in server.said().splitlines() if "every workspace goes on" in line]
    assert len(told) == 1
    assert str(server.data / "high-water") in told[0]
    epoch = frames(http, at)[0].epoch
    server.stop()
    http = observer(server.start())
    assert frames(http, at)[0].epoch == epoch
    assert server.said().count("every workspace goes on") == 1


def test_pruned_tombstones_expire_the_cursors_that_would_miss_them(start_server, observer):
    server = start_server(options=("--prune-tombstones", "0"))
    http = observer(server)
    at = workspace(http)
    http.bulk(at, [("/a", "1"), ("/b", "1"), ("/c", "1")])
    http.delete(at, "/b")
    epoch = frames(http, at)[0].epoch
    server.stop()
    http = observer(server.start())  # it prunes as it starts

    def answer(query):
        found = http.ask("GET", f"/v1/workspaces/{at}/fs/delta?epoch={epoch}&{query}", headers=DELTA)
        return found.status, found.json["code"] if found.status != 200 else ""

    assert answer("since=0") == (200, "")
    assert answer("since=3") == (410, "cursor_expired")
    assert answer("since=1&start=3") == (410, "cursor_expired")
    assert answer("since=4") == (200, "")
    assert answer("since=1&start=4") == (200, ""), "a generation begun after the deletion misses nothing"


@pytest.mark.parametrize("size", [5_000, 1_200_000])
def test_a_disk_that_fills_up_is_told_to_the_client_alone_and_keeps_no_piece(server, observer, size):
    http, pid = observer(server), server.process.pid
    at, body = workspace(http), b"x" * size
    said = server.said()

    def put():
        headers = {"Content-Type": "application/octet-stream"}
        return http.ask("PUT", f"/v1/workspaces/{at}/fs/file?path=/a", raw=body, headers=headers)

    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4_096, usual[1]))
    refused = put()
    assert (refused.status, refused.json["code"]) == (503, "storage_unavailable")
    assert not list((server.data / "blobs" / "incoming").iterdir())
    assert server.said() == said
    resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
    assert put().status == 202
    assert http.content(at, "/a") == body


def test_a_body_limit_can_be_set_and_is_named(start_server, observer):
    server = start_server(options=("--body-limit", "1"))
    http = observer(server)
    at = workspace(http)
    refused = http.ask("POST", f"/v1/workspaces/{at}/fs/bulk", raw=b" " * 1_048_577)
    assert (refused.status, refused.json["limitBytes"]) == (413, 1_048_576)


def test_the_access_log_tells_each_request_without_its_query(server, observer):
    http = observer(server)
    at = workspace(http)
    http.ask("GET", f"/v1/workspaces/{at}/fs/tree?path=/&secret=hunter2", headers={"X-Correlation-Id": "seen-1"})
    http.ask("GET", "/v1/nowhere")
    server.stop()
    log = [json.loads(line) for line in (server.data / "access.log").read_text().splitlines()]
    (entry,) = [each for each in log if each["correlationId"] == "seen-1"]
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", f"/v1/workspaces/{at}/fs/tree", 200)
    assert entry["account"].startswith("ac_")
    assert entry["client"] == "test-observer/1"
    assert entry["ms"] >= 0
    assert [each["status"] for each in log if each["path"] == "/v1/nowhere"] == [404]
    text = (server.data / "access.log").read_text()
    assert "hunter2" not in text
    assert http.token not in text
    assert PASSWORD not in text + server.said()
