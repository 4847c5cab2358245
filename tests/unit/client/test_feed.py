"""The feed against a scripted server: delta, live, gaps, cuts, 1013, 410, and resuming from exactly where it was."""

import hashlib
import json
from contextlib import aclosing

import pytest
from aiohttp import web

from relayfile.client.feed import Batch, batches
from relayfile.client.transport_async import AsyncClient
from relayfile.errors import CursorExpired, Forbidden, NotFound
from relayfile.model import Cursor, Delete, Digest, Put, TreePath
from relayfile.wire import delta
from scripted import Scripted, Tickets, error

DELTA = "GET /v1/workspaces/rw_1/fs/delta"
NOTHING = Cursor("", 0)
LIVE = "GET /v1/workspaces/rw_1/fs/ws"


def put(path, position, body=b"x"):
    return delta.Item(path, position, "put", hashlib.sha256(body).digest(), len(body), "644", body)


async def stream(request, frames, *, cut=False):
    response = web.StreamResponse(headers={"Content-Type": delta.CONTENT_TYPE})
    await response.prepare(request)
    for frame in frames:
        await response.write(delta.encode(frame))
    if cut:
        request.transport.abort()
    else:
        await response.write_eof()
    return response


class World:
    """A log whose delta answers and live sockets are given one after another; the last of each is repeated."""

    def __init__(self, deltas, lives=()):
        self.deltas, self.lives = list(deltas), list(lives)
        self.asked, self.sockets, self.connections, self.pauses = [], [], [], []

    async def delta(self, request):
        self.asked.append(dict(request.query))
        answer = self.deltas.pop(0) if len(self.deltas) > 1 else self.deltas[0]
        return await answer(request) if callable(answer) else await stream(request, answer)

    async def live(self, request):
        self.sockets.append(dict(request.query))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        frames, code = self.lives.pop(0) if self.lives else ([], None)
        for frame in frames:
            await socket.send_str(json.dumps(frame) + "\n")
        if code is None:
            await socket.receive()
        else:
            await socket.close(code=code)
        return socket

    async def read(self, count, cursor=NOTHING, start=None):
        """The first `count` batches."""
        found = []
        routes = {DELTA: self.delta, LIVE: self.live}
        async with Scripted(routes) as server, AsyncClient(server.url, Tickets()) as client:

            async def pause(seconds):
                self.pauses.append(seconds)

            def connection(state, cause):
                self.connections.append((state, cause.code if cause else None))

            feed = batches(client, "rw_1", cursor, start, on_connection=connection, pause=pause)
            async with aclosing(feed):
                async for batch in feed:
                    found.append(batch)
                    if len(found) == count:
                        return found
        return found


def event(position, previous, path="/live.txt", body="hi", **more):
    return {
        "eventId": f"evt_{position}",
        "type": "file.updated",
        "path": path,
        "revision": f"rev_{position}",
        "contentHash": hashlib.sha256(body.encode()).hexdigest(),
        "content": body,
        "inlineContent": True,
        "previous": previous,
        **more,
    }


def mark(position, previous, digest=b"d" * 32, epoch="e"):
    return {"type": "mark", "position": position, "previous": previous, "treeDigest": digest.hex(), "epoch": epoch}


WHOLE = [delta.Head("e", 3), put("/a", 1), put("/b", 3), delta.End(3, b"t" * 32)]


async def test_a_bootstrap_is_the_delta_from_zero_and_says_where_its_generation_began():
    world = World([WHOLE])
    (batch,) = await world.read(1)
    x = Digest(hashlib.sha256(b"x").digest())
    assert batch == Batch(
        changes=[Put(TreePath("a"), 1, x, 1, "644", b"x"), Put(TreePath("b"), 3, x, 1, "644", b"x")],
        cursor=Cursor("e", 3),
        head=3,
        start=3,
        end=True,
        tree_digest=b"t" * 32,
        received_bytes=batch.received_bytes,
    )
    assert world.asked == [{"since": "0", "inline_bytes": str(delta.INLINE_BYTES)}]


async def test_a_generation_that_is_resumed_carries_its_start_and_its_epoch():
    world = World([[delta.Head("e", 9), put("/c", 8), delta.End(9)]])
    (batch,) = await world.read(1, Cursor("e", 3), start=7)
    assert (batch.start, batch.end, batch.tree_digest) == (7, True, None)
    assert world.asked[0] | {"inline_bytes": ""} == {"since": "3", "epoch": "e", "start": "7", "inline_bytes": ""}


async def test_after_the_end_it_lives_on_the_socket_and_no_generation_is_open():
    world = World(
        [WHOLE],
        [([event(4, 3), mark(4, 4), {"type": "pong", "timestamp": ""}, event(6, 4, type="file.deleted")], None)],
    )
    _, one, at_mark, deleted = await world.read(4)
    assert isinstance(one.changes[0], Put)
    assert one.changes[0].body == b"hi"
    assert (one.cursor, one.head, one.live, one.start, one.tree_digest) == (Cursor("e", 4), 4, True, None, None)
    assert (at_mark.changes, at_mark.cursor.position, at_mark.tree_digest) == ([], 4, b"d" * 32)
    assert deleted.changes == [Delete(TreePath("live.txt"), 6)]
    assert world.sockets == [{"cursor": "evt_3", "marks": "1", "epoch": "e"}]
    assert [state for state, _ in world.connections] == ["connecting", "catching-up", "live"]
    assert not world.pauses


@pytest.mark.parametrize(
    "left_out", [event(9, 7), mark(9, 8), mark(3, 3, epoch="other")], ids=["event", "mark", "epoch"]
)
async def test_a_gap_sends_it_back_to_the_delta_from_its_cursor(left_out):
    again = [delta.Head("e", 9), put("/c", 9), delta.End(9)]
    world = World([WHOLE, again], [([left_out], None)])
    _, batch = await world.read(2)
    assert batch.cursor == Cursor("e", 9)
    assert world.asked[1]["since"] == "3"
    assert "start" not in world.asked[1]


@pytest.mark.parametrize("code", [1013, 1001, 1000])
async def test_a_closed_socket_is_resumed_through_the_delta_at_once(code):
    again = [delta.Head("e", 5), put("/c", 5), delta.End(5)]
    world = World([WHOLE, again], [([event(4, 3)], code)])
    _, live, batch = await world.read(3)
    assert (live.cursor.position, batch.cursor.position) == (4, 5)
    assert world.asked[1]["since"] == "4"
    assert not world.pauses


async def test_a_frame_that_was_had_already_is_left_out():
    world = World([WHOLE], [([event(2, 1), event(4, 3)], None)])
    _, batch = await world.read(2)
    assert batch.cursor.position == 4


async def test_what_came_before_a_cut_counts_and_the_rest_is_asked_for_again():
    async def half(request):
        return await stream(request, [delta.Head("e", 9), put("/a", 1), put("/b", 4), delta.Mark(4)], cut=True)

    async def short(request):
        return await stream(request, [delta.Head("e", 9), put("/c", 6)])

    rest = [delta.Head("e", 9), put("/d", 9), delta.End(9)]
    world = World([half, short, rest])
    first, second, third = await world.read(3)
    assert [batch.cursor.position for batch in (first, second, third)] == [4, 6, 9]
    assert [batch.start for batch in (first, second, third)] == [9, 9, 9]
    assert [one["since"] for one in world.asked] == ["0", "4", "6"]
    assert [one.get("start") for one in world.asked] == [None, "9", "9"]
    assert [state for state, _ in world.connections].count("offline") == 2
    assert len(world.pauses) == 2


async def test_trouble_is_told_waited_out_and_backed_off():
    async def busy(_request):
        return error(503, "unavailable")

    async def proxy(_request):
        return web.Response(body=b"<html>", content_type="text/html")

    async def garbled(request):
        return await stream(request, [put("/a", 1)])

    world = World([busy, busy, proxy, garbled, WHOLE])
    (batch,) = await world.read(1)
    assert batch.end
    assert [cause for _, cause in world.connections if cause] == [
        "unavailable",
        "unavailable",
        "not_relayfile",
        "protocol_mismatch",
    ]
    assert world.pauses[1] > world.pauses[0] * 0.9
    assert world.pauses[3] > world.pauses[0]


async def test_a_pause_the_server_asks_for_is_kept():
    async def busy(_request):
        return web.json_response({"code": "unavailable", "message": "no"}, status=429, headers={"Retry-After": "7"})

    world = World([busy, WHOLE])
    await world.read(1)
    assert 7 <= world.pauses[0] < 8


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (410, "cursor_expired", CursorExpired),
        (410, "view_changed", CursorExpired),
        (410, "workspace_deleted", NotFound),
        (404, "workspace_not_found", NotFound),
        (403, "forbidden", Forbidden),
    ],
)
async def test_what_waiting_cannot_mend_is_raised(status, code, raised):
    async def refuse(_request):
        return error(status, code)

    with pytest.raises(raised) as caught:
        await World([refuse]).read(1, Cursor("e", 5))
    assert caught.value.code == code


async def test_410_and_404_that_are_not_our_words_are_trouble_and_no_verdict():
    async def gone(_request):
        return web.Response(status=410, body=b"<html>", content_type="text/html")

    async def no_route(_request):
        return error(404, "not_found")

    world = World([gone, no_route, WHOLE])
    (batch,) = await world.read(1, Cursor("e", 1))
    assert batch.end


async def test_a_log_of_another_epoch_is_a_new_generation():
    with pytest.raises(CursorExpired):
        await World([[delta.Head("other", 9), delta.End(9)]]).read(1, Cursor("e", 5))


async def test_a_path_that_cannot_exist_is_set_apart_and_stops_nothing():
    world = World(
        [[delta.Head("e", 3), put("/../x", 1), put("/ok", 2), delta.Item("/a\0b", 3, "delete"), delta.End(3)]],
        [([event(4, 3, path="/a//b"), event(5, 4)], None)],
    )
    caught_up, bad, good = await world.read(3)
    assert [change.path for change in caught_up.changes] == ["ok"]
    assert [path for path, _ in caught_up.refused] == ["/../x", "/a\0b"]
    assert (bad.refused[0][0], bad.cursor.position) == ("/a//b", 4)
    assert good.cursor.position == 5


async def test_a_long_log_comes_in_batches_each_of_which_can_be_resumed():
    items = [put(f"/f{n}", n) for n in range(1, 1301)]
    found = await World([[delta.Head("e", 1300, 1_300, 1_300), *items, delta.End(1300)]]).read(3)
    assert [len(batch.changes) for batch in found] == [512, 512, 276]
    assert [batch.cursor.position for batch in found] == [512, 1024, 1300]
    assert [batch.end for batch in found] == [False, False, True]
    assert [batch.ahead for batch in found] == [(788, 788), (276, 276), (0, 0)]


async def test_a_refused_token_is_replaced_and_nobody_notices():
    async def picky(request):
        if request.headers["Authorization"] == "Bearer t1":
            return error(401, "token_expired")
        return await stream(request, WHOLE)

    world = World([picky])
    await world.read(1)
    assert [state for state, _ in world.connections][:2] == ["connecting", "catching-up"]
    assert len(world.asked) == 2
