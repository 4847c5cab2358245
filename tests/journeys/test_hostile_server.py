"""A mirror of a server that means harm: nothing outside the root is touched, the cause is named, it lives on."""

import json
import subprocess

import pytest
from aiohttp import web

from hostile import EPOCH, Hostile, digest_of, put
from machines import files_below
from relayfile.mirror import overlaps
from relayfile.wire import delta
from relayfile.wire.delta import End, Head, Item, Mark, encode
from waiting import until

OK = put("/ok", 100, b"honest")


@pytest.fixture
def outside(place):
    """What lies beside the root; nothing may be made, changed or taken away there."""
    folder = place / "outside"
    folder.mkdir()
    (folder / "canary").write_text("alive")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["canary"]
    assert (folder / "canary").read_text() == "alive"


@pytest.fixture(autouse=True)
def root(place):
    """For every test, so that it is made before the machines and removed after their daemons have ended."""
    yield place / "root"
    subprocess.run(["rm", "-rf", place / "root"], check=True)  # deeper than Python's own removal can go


def mounted(machine, server, root):
    """A mirror of `server` that runs."""
    machine.run("login", server.url, "--username", "ada", "--password-stdin", stdin="p\n")
    machine.run("mount", "w", root)
    return machine


def until_applied(machine, root, path):
    until(lambda: path in files_below(root), within_s=15, what=f"{path} is there", evidence=machine.evidence)


def not_kept(machine, root):
    return {one["path"]: one["reason"] for one in machine.mirror(root)["not_kept"]}


def test_no_path_and_no_link_leads_out_of_the_root(new_machine, root, outside):
    bad = [
        "/../outside/a",
        "//outside/b",
        "/a/../../outside/c",
        "/a\0b",
        "/" + "n" * 300,
        "/./x",
        "",
        "/a\\b",
        "../d",
    ]
    ours = ["/.relay/id", "/.RELAY/stage/x"]
    links = {
        "/l": b"/etc",
        "/m": b"../outside",
        "/n": b"a/../../outside",
        "/o": b"x\0y",
        "/p": b"t" * 5_000,
        "/q": b"",
    }
    deep = "/" + "d/" * 1_100 + "z"
    items = [put(path, at) for at, path in enumerate([*bad, *ours, deep], 1)]
    items += [put(path, 50 + at, target, mode="120000") for at, (path, target) in enumerate(links.items())]
    through = {f"{path}{path[1:]}": target for path, target in links.items()}  # /ll, /mm …: and a file below each
    items += [put(path, 60 + at, target, mode="120000") for at, (path, target) in enumerate(through.items())]
    items += [put(f"{path}/pwned", 70 + at) for at, path in enumerate(through)]
    items += [put("/d2", 90, b"ok", mode="120000"), put("/d2/x", 91), put("/fine", 92, b"ok", mode="120000")]
    with Hostile(*items, OK) as server:
        machine = mounted(new_machine(), server, root)
        until((root / "ok").exists, within_s=15, what="the honest file is there", evidence=machine.evidence)
        told = machine.until_mirror(
            root, lambda one: len(one["not_kept"]) >= 10, within_s=10, what="everything refused is listed"
        )
        assert told["engine_starts"] == 1
        reasons = not_kept(machine, root)
        assert reasons["/../outside/a"].endswith("it has a segment '..'")
        assert "may lie outside" in reasons["m"]
        assert {reasons[path[1:]] for path in [*through, "/d2"]} == {overlaps.REASON}, "a folder wins over a link"
        assert "for themselves" in reasons[".RELAY/stage/x"]
        found = subprocess.run(["find", ".", "-type", "l"], cwd=root, capture_output=True, check=True)
        assert found.stdout == b"./fine\n", "no other link was made"
        for path in [*through, "/d2"]:
            assert (root / path[1:]).is_dir()
        read = subprocess.run(["cat", deep[1:]], cwd=root, capture_output=True, check=True)
        assert read.stdout == b"x", "deeper than Python recurses"
        machine.run("status")
        machine.run("stop", root)


def test_content_that_is_not_what_it_is_called_never_reaches_the_disk(new_machine, root, outside):
    good = digest_of(b"good")
    lies = {
        "/inline": put("/inline", 1, b"evil", digest=good),
        "/longer": put("/longer", 2, b"four", size=3),
        "/negative": put("/negative", 3, b"four", size=-4),
        "/huge": put("/huge", 4, b"four", size=1 << 63),
        "/nothing": Item("/nothing", 5, "put", good, 0),
        "/short": put("/short", 6, b"x", digest=b"abc"),
        "/none": put("/none", 7, b"x", digest=b""),
        "/endless": put("/endless", 8, b"x", digest=b"d" * 5_000),
    }
    with Hostile(*lies.values(), OK) as server:
        server.bodies[good] = b"evil"
        machine = mounted(new_machine(), server, root)
        until_applied(machine, root, "ok")
        until(lambda: server.requests["fs/blobs"], within_s=10, what="the content is asked for by its digest")
        assert files_below(root) == {"ok": b"honest"}
        listed = not_kept(machine, root)
        assert set(listed) >= {path for path in lies if path != "/inline"}, listed
        assert "-4 bytes" in listed["/negative"]
        server.bodies[good] = b"good"
        until_applied(machine, root, "inline")
        assert (root / "inline").read_bytes() == b"good"
        assert machine.mirror(root)["engine_starts"] == 1


def stream(*frames):
    return b"".join(map(encode, frames))


HUGE = 1 << 63
STREAMS = {
    "a position that fits no table": stream(Head(EPOCH, HUGE), put("/p", HUGE), End(HUGE)),
    "a position below nothing": stream(Head(EPOCH, 101), put("/p", -1), End(101)),
    "a mark that fits no table": stream(Head(EPOCH, 101), Mark(HUGE)),
    "no head": stream(put("/p", 101), End(101)),
    "a frame of four gigabytes": b"\xff\xff\xff\xff" + b"x" * 1_000,
    "a frame that never ends": (60 << 20).to_bytes(4, "big") + b"\x81" * 1_000,
    "frames of another kind": stream(Head(EPOCH, 101)) + (3).to_bytes(4, "big") + b"abc",
    "an end before its items": stream(Head(EPOCH, 101), End(3)),
    "an epoch of a megabyte": stream(Head("e" * (1 << 20), 101), End(101)),
    "nothing": b"",
}
NAMED = {"a position that fits no table", "a frame of four gigabytes", "frames of another kind", "no head"}
TEXTS = {
    "no JSON": "{",
    "a mark of no digest": '{"type":"mark","position":100,"treeDigest":"zz","epoch":"e1","previous":100}',
    "a mark that fits no table": f'{{"type":"mark","position":{HUGE},"treeDigest":"","epoch":"e1","previous":100}}',
    "an event of no digest": '{"eventId":"evt_101","type":"file.created","path":"/p","revision":"rev_101",'
    '"contentHash":"zz","previous":100}',
    "an event that fits no table": f'{{"eventId":"evt_{HUGE}","type":"file.created","path":"/p","revision":"r",'
    '"contentHash":"","previous":100}',
}


def test_a_stream_of_nonsense_is_named_and_waited_out(new_machine, root, outside):
    machine = new_machine()
    machine.expected += ["."]
    with Hostile(OK) as server:
        mounted(machine, server, root)
        machine.until_live(root)
        began = machine.mirror(root)
        for number, (what, text) in enumerate([*STREAMS.items(), *TEXTS.items()]):
            asked = server.requests["fs/delta"]
            server.frames, server.live = (text, ()) if isinstance(text, bytes) else (None, (text,))
            server.hang_up()
            until(
                lambda asked=asked: server.requests["fs/delta"] > asked,
                within_s=20,
                what=f"it asks again for {what}",
                evidence=machine.evidence,
            )
            if what in NAMED:
                told = machine.until_mirror(
                    root, lambda one: one["state"] == "offline", within_s=10, what=f"it is offline for {what}"
                )
                assert told["cause"]["message"], what
            server.frames, server.live = None, ()
            server.items = [OK, put(f"/after{number}", 101 + number, what.encode())]
            server.hang_up()
            until_applied(machine, root, f"after{number}")
        now = machine.mirror(root)
        assert (now["pid"], now["engine_starts"]) == (began["pid"], 1)
        assert now["observed"] == server.head


def test_a_log_that_goes_back_changes_nothing(new_machine, root, outside):
    with Hostile(put("/a", 50, b"new"), put("/a", 3, b"old"), put("/b", 2), OK) as server:
        machine = mounted(new_machine(), server, root)
        until_applied(machine, root, "ok")
        assert (root / "a").read_bytes() == b"new"
        server.items = [put("/a", 7, b"older still"), put("/b", 8)]
        server.frames = stream(Head(EPOCH, 8), *server.items, End(8))
        asked = server.requests["fs/delta"]
        server.hang_up()
        until(lambda: server.requests["fs/delta"] > asked, within_s=20, what="it asked again")
        server.items, server.frames = [OK, put("/last", 101)], None
        server.hang_up()
        until_applied(machine, root, "last")
        assert files_below(root)["a"] == b"new"
        assert machine.mirror(root)["observed"] >= 100


def test_a_token_follows_no_redirect_and_an_answer_has_an_end(new_machine, root, outside):
    async def endless(request):
        answer = web.StreamResponse()
        answer.content_type = "application/json"
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b" " * (1 << 20))
        except ConnectionError:
            return answer

    with Hostile(OK) as server, Hostile() as thief:
        machine = mounted(new_machine(), server, root)
        machine.until_live(root)

        async def elsewhere(request):
            raise web.HTTPTemporaryRedirect(thief.url + request.path_qs)

        for route in ("fs/delta", "fs/ws", "fs/digest", "/api/v1/workspaces"):
            server.instead[route] = elsewhere
        server.hang_up()
        told = machine.until_mirror(
            root, lambda one: one["state"] == "offline", within_s=15, what="the mirror says that it is offline"
        )
        assert told["cause"]["message"]
        assert machine.try_("workspace", "list").code != 0
        assert not thief.requests, "not one request went there"
        server.instead = {"/api/v1/workspaces": endless}
        ran = machine.try_("workspace", "list")
        assert ran.code == 76, ran
        assert "bytes" in ran.err
        machine.until_live(root)


def test_a_sign_in_page_elsewhere_and_nonsense_intervals_do_no_harm(new_machine):
    async def begun(request):
        address = "file:///etc/passwd\x1b[2J"
        told = {"device_code": "d", "user_code": "\x1b]0;x\x07", "verification_uri": address, "interval": -5}
        return web.json_response({**told, "verification_uri_complete": address, "expires_in": 600})

    with Hostile() as server:
        server.instead["/oauth/device_authorization"] = begun
        machine = new_machine()
        ran = machine.try_("login", server.url)
        assert ran.code == 0, ran
        assert "\x1b" not in ran.err
        assert json.loads(machine.credentials.read_text())["apiUrl"] == server.url


def test_frames_are_what_the_honest_server_sends():
    assert list(delta.FrameReader().feed(stream(Head(EPOCH, 1), OK, End(1)))) == [Head(EPOCH, 1), OK, End(1)]
