"""The control socket, over a real unix socket."""

import contextlib
import json
from pathlib import Path

import aiohttp
import pytest

from relayfile.core.merge import Trees
from relayfile.credentials.home import SECRETS_MARK, Home
from relayfile.errors import Halted, LoginRequired, Unavailable
from relayfile.mirror import registry, status
from relayfile.mirror.conflicts import Conflict
from relayfile.mirror.control import Control
from relayfile.mirror.picture import Picture, Progress
from relayfile.mirror.registry import Record
from relayfile.mirror.resolve import RESOLVED, Settlement
from relayfile.mirror.trees import Node
from relayfile.mirror.verify import Difference, Verdict
from relayfile.model import Digest, Stat, TreePath, Version
from relayfile.wire import control
from simulation.world import digest_of, path

RECORD = Record("m1", "rw_1", "acme", "/work/acme", "http://one")


class Daemon:
    routes = ()

    def __init__(self):
        self.asked = []
        self.error = None

    def fragment(self):
        return status.fragment(RECORD, Picture("live", observed=3, equal=True, proven_at=1.0), {}, pid=1)

    async def current(self, deadline_s):
        yield Progress(1, 2, 10, 20, 5.0)
        if self.error:
            raise self.error

    async def verify(self, deadline_s, *, deep, mend):
        self.asked.append((deadline_s, deep, mend))
        yield Progress(1, 2, 10, 20)
        if self.error:
            raise self.error
        known = Version(3, Digest(b"d" * 32), 9, "644")
        yield Verdict(
            equal_to=7,
            differences=[Difference(TreePath("a"), "rotten", None, known)],
            count=1,
            files=2,
            size_bytes=20,
            mended=0,
            drifted=False,
            not_kept=1,
            halted=None,
        )

    async def why(self, path):
        self.asked.append(path)
        if self.error:
            raise self.error
        version = control.Version(revision=3, digest="ab" * 32, size=1234, mode="644")
        return control.Account(
            path=f"/{path}",
            base=version,
            local=version | {"revision": None},
            remote=version,
            modified_at="2026-01-01T00:00:00.000Z",
            deleted_revision=None,
            refused=[],
            sent=None,
            placing=None,
            decisions=[
                control.Decision(at="2026-01-01T00:00:00.000Z", did="placed", revision=3, message="took rev_3")
            ],
            local_name=None,
            files_below=0,
            next="nothing to do",
        )

    def decide(self, decision):
        self.asked.append(decision)

    async def conflicts(self):
        mine = Version(0, digest_of(b"mine"), 4, "755")
        sides = [Node(Trees(path(name), None, mine, None), Stat(1, 1, 4, 1, 1, "755"), 0) for name in ("b c", "a")]
        absent = Node(Trees(path("a"), None, None, None), None, 0)
        known = Conflict(path("a"), path("b c"), 1.5, 7, sides[0], sides[1])
        return [known, Conflict(path("a"), path("b c"), 1.5, 0, sides[0], absent)]

    async def resolve(self, copy, keep):
        self.asked.append((copy, keep))
        return Settlement("changed", "it was changed just now") if keep == "theirs" else RESOLVED

    def stop(self):
        self.asked.append("stop")


@pytest.fixture
def daemon():
    return Daemon()


@contextlib.asynccontextmanager
async def connected(folder: Path, daemon, runtime_dir=None):
    async with Control(folder, daemon, runtime_dir):
        home = Home(folder.parent.parent)
        connector = aiohttp.UnixConnector(registry.control_socket(home, folder.name))
        async with aiohttp.ClientSession("http://mirror", connector=connector) as http:
            yield http


@pytest.fixture
async def http(place, daemon):
    folder = Home(place).prepare("mirrors", "m1")
    async with connected(folder, daemon) as session:
        yield session
    assert [one.name for one in folder.iterdir()] == [SECRETS_MARK], "nothing is left of the socket"


async def test_only_the_owner_may_open_it(http, place):
    assert (place / "mirrors" / "m1" / "control.sock").stat().st_mode & 0o777 == 0o600


async def test_status_is_rendered_as_text_or_json(http):
    async with http.get("/status?format=text&width=80&color=0") as answer:
        assert "equal to evt_3" in await answer.text()
    async with http.get("/status?format=json") as answer:
        assert (await answer.json())["workspace_name"] == "acme"
    async with http.get("/status?width=nonsense") as answer:
        assert answer.status == 200
    async with http.get("/health") as answer:
        assert (await answer.json())["ok"]


async def test_a_pull_tells_its_progress_and_then_how_it_ended(http, daemon):
    async with http.post("/pull") as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert lines == [
        {"files_done": 1, "files_total": 2, "bytes_done": 10, "bytes_total": 20, "rate": 5.0},
        {"exit": 0, "message": "equal to evt_3"},
    ]
    daemon.error = Halted("a person must decide", hint="`relayfile resume`")
    async with http.post("/pull") as answer:
        last = json.loads((await answer.text()).splitlines()[-1])
    assert last == {"exit": 6, "message": "a person must decide · `relayfile resume`"}


async def test_a_path_is_accounted_for_as_text_or_json(http, daemon):
    async with http.get("/why", params={"path": "/a b/ä", "format": "text"}) as answer:
        said = await answer.text()
    assert said.splitlines() == [
        "/a b/ä",
        "  server: rev_3  abababababab  1,234 bytes  644",
        "  here:   abababababab  1,234 bytes  644  modified 2026-01-01T00:00:00.000Z",
        "  base:   rev_3  abababababab  1,234 bytes  644",
        "  next:   nothing to do",
        "  2026-01-01T00:00:00.000Z  took rev_3",
    ]
    async with http.get("/why?path=a&format=json") as answer:
        assert (await answer.json())["remote"]["digest"] == "ab" * 32
    async with http.get("/why?path=../out") as answer:
        assert answer.status == 400
    daemon.error = Unavailable("the disk is full")
    async with http.get("/why?path=a") as answer:
        assert (answer.status, await answer.text()) == (503, "the disk is full\n")
    assert daemon.asked == ["a b/ä", "a", "a"]


async def test_a_verification_tells_its_progress_and_then_its_verdict(http, daemon):
    async with http.post("/verify?deep=1&mend=0&deadline_s=9") as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert daemon.asked == [(9.0, True, False)]
    assert lines[0]["files_done"] == 1
    assert lines[1] == {
        "exit": 6,
        "message": "1 path differs from evt_7 (1 path not kept here); 2 files read again",
        "equal_to": None,
        "files_read": 2,
        "bytes_read": 20,
        "mended": 0,
        "sum_mended": False,
        "differences": [
            {
                "path": "/a",
                "why": "rotten",
                "disk": None,
                "server": {"revision": 3, "digest": "64" * 32, "size": 9, "mode": "644"},
            }
        ],
        "differences_count": 1,
    }
    daemon.error = LoginRequired("sign in", hint="`relayfile login`")
    async with http.post("/verify") as answer:
        last = json.loads((await answer.text()).splitlines()[-1])
    assert last == {"exit": 4, "message": "sign in · `relayfile login`"}
    assert daemon.asked[1][1:] == (False, False)


async def test_decisions_and_the_end_reach_the_daemon(http, daemon):
    for deletes in ("accept", "restore"):
        async with http.post(f"/resume?deletes={deletes}") as answer:
            assert answer.status == 200
    async with http.post("/resume?deletes=perhaps") as answer:
        assert answer.status == 400
    async with http.post("/stop") as answer:
        assert (await answer.json()) == {"stopping": True}
    assert daemon.asked == ["accept", "restore", "stop"]


async def test_conflicts_are_listed_with_both_sides(http):
    async with http.get("/conflicts") as answer:
        known, unknown = await answer.json()
    side = {"size": 4, "digest": digest_of(b"mine").hex(), "mode": "755"}
    assert known == {
        "path": "/a",
        "copy": "/b c",
        "made_at": "1970-01-01T00:00:01.500Z",
        "revision": "rev_7",
        "mine": side,
        "theirs": side,
    }
    assert (unknown["revision"], unknown["theirs"]) == (None, None)


async def test_a_decision_about_a_conflict_is_answered_with_what_came_of_it(http, daemon):
    async with http.post("/resolve?copy=/b%20c&keep=mine") as answer:
        assert await answer.json() == {"code": None, "message": ""}
    async with http.post("/resolve?copy=/b%20c&keep=theirs") as answer:
        assert await answer.json() == {"code": "changed", "message": "it was changed just now"}
    assert daemon.asked == [("b c", "mine"), ("b c", "theirs")]
    for nonsense in ("copy=/a&keep=all", "keep=mine", "copy=/../a&keep=mine"):
        async with http.post(f"/resolve?{nonsense}") as answer:
            assert answer.status == 400


async def test_a_home_with_a_long_path_has_its_socket_elsewhere_and_a_link_to_it(place, daemon):
    folder = Home(place / ("long" * 30)).prepare("mirrors", "m1")
    runtime = place / "run"
    runtime.mkdir()
    async with connected(folder, daemon, str(runtime)) as session, session.get("/health") as answer:
        assert answer.status == 200
        assert (folder / "control.sock").is_symlink()
    assert not list(runtime.iterdir())


async def test_what_a_killed_daemon_left_does_not_keep_the_next_one_from_listening(place, daemon):
    import socket

    folder = Home(place).prepare("mirrors", "m1")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(folder / "control.sock"))
    dead.close()
    async with connected(folder, daemon) as session, session.get("/health") as answer:
        assert answer.status == 200
