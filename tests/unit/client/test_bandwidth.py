"""A limit on contents, on a virtual clock and a scripted server: what waits, for how long, and what never does."""

import asyncio
import hashlib
from contextlib import aclosing

import pytest
from aiohttp import web

from relayfile.client import api
from relayfile.client.bandwidth import STEP_BYTES, Bandwidth, Limit
from relayfile.client.feed import batches
from relayfile.client.push import Large, Push, Stored, blobs, push
from relayfile.client.transport_async import AsyncClient
from relayfile.model import Cursor, Digest, TreePath
from relayfile.wire import data, delta
from scripted import Scripted, Tickets

RATE = 100_000
BODY = bytes(range(256)) * 4_000
DIGEST = Digest(hashlib.sha256(BODY).digest())
WORKSPACE = "/v1/workspaces/rw_1"


class Virtual:
    """A clock that goes on only while somebody waits for it."""

    def __init__(self):
        self.now_s = 0.0

    async def sleep(self, seconds):
        self.now_s += seconds

    def limit(self):
        return Limit(RATE, lambda: self.now_s, self.sleep)


class Server:
    """Takes and gives one content."""

    def __init__(self):
        self.got, self.inline = [], []

    def routes(self):
        return {
            f"PUT {WORKSPACE}/fs/file": self.put,
            f"POST {WORKSPACE}/fs/bulk": self.bulk,
            f"POST {WORKSPACE}/fs/blobs": self.blobs,
            f"GET {WORKSPACE}/fs/blob/{DIGEST.hex()}": self.blob,
            f"GET {WORKSPACE}/fs/delta": self.delta,
        }

    async def put(self, request):
        assert "Transfer-Encoding" not in request.headers
        self.got.append(await request.read())
        return web.json_response({"targetRevision": "rev_7"}, status=202)

    async def bulk(self, request):
        [file] = (await request.json())["files"]
        self.got.append(file["content"].encode())
        results = [{"path": file["path"], "revision": "rev_7"}]
        told = {"written": 1, "errorCount": 0, "errors": [], "results": results, "correlationId": "c"}
        return web.json_response(told, status=202)

    async def blobs(self, _):
        body = delta.encode(delta.Blob(DIGEST, BODY)) + delta.encode(delta.End(0))
        return web.Response(body=body, content_type=delta.CONTENT_TYPE)

    async def blob(self, _):
        return web.Response(body=BODY, content_type=data.BINARY_CONTENT_TYPE)

    async def delta(self, request):
        self.inline.append(request.query["inline_bytes"])
        item = delta.Item("/a", 1, "put", DIGEST, len(BODY), "644", None)
        frames = (delta.Head("e", 1, 1, len(BODY)), item, delta.End(1))
        return web.Response(body=b"".join(map(delta.encode, frames)), content_type=delta.CONTENT_TYPE)


@pytest.fixture
def clock():
    return Virtual()


@pytest.fixture
async def place(clock):
    """(server, client): both directions limited."""
    server = Server()
    limits = Bandwidth(clock.limit(), clock.limit())
    async with (
        Scripted(server.routes()) as scripted,
        AsyncClient(scripted.url, Tickets(), bandwidth=limits) as client,
    ):
        yield server, client


def assert_took(clock, size):
    """As long as the rate asks for, less one burst; and no longer."""
    assert (size - RATE) / RATE <= clock.now_s <= (size + STEP_BYTES) / RATE


async def pieces():
    for at in range(0, len(BODY), 300_000):
        yield BODY[at : at + 300_000]


@pytest.mark.parametrize("body", [BODY * 5, Large(len(BODY), pieces)], ids=["whole", "large"])
async def test_what_is_sent_keeps_to_the_rate_and_arrives_whole(place, clock, body):
    server, client = place
    [outcome] = await push(client, "rw_1", [Push(TreePath("a"), "key", 0, body)])
    assert outcome == Stored(TreePath("a"), 7)
    assert server.got == [BODY if isinstance(body, Large) else body]
    assert_took(clock, len(server.got[0]))


async def test_small_files_sent_together_keep_to_the_rate_too(place, clock):
    server, client = place
    await push(client, "rw_1", [Push(TreePath("a"), "key", 0, b"a" * 1_000_000)])
    assert server.got == [b"a" * 1_000_000]
    assert_took(clock, 1_000_000)


async def test_what_is_fetched_keeps_to_the_rate(place, clock):
    _, client = place
    assert [one async for one in blobs(client, "rw_1", [DIGEST])] == [(DIGEST, BODY)]
    assert_took(clock, len(BODY))
    got = [piece async for _, piece in client.pieces(api.blob("rw_1", DIGEST, 0))]
    assert b"".join(got) == BODY
    assert max(map(len, got)) <= STEP_BYTES
    assert_took(clock, 2 * len(BODY))


async def test_the_log_does_not_stand_in_line_behind_contents(clock):
    """The bucket is empty for ever, and the log is read, without the contents that would come with it."""

    async def never(_):
        await asyncio.Event().wait()

    server = Server()
    limit = Limit(RATE, lambda: clock.now_s, never)
    async with (
        Scripted(server.routes()) as scripted,
        AsyncClient(scripted.url, Tickets(), bandwidth=Bandwidth(limit, limit)) as client,
        asyncio.timeout(20),
    ):
        blocked = asyncio.ensure_future(limit.take(10 * RATE))
        feed = batches(client, "rw_1", Cursor("", 0), on_connection=lambda *_: None)
        async with aclosing(feed):
            first = await anext(feed)
        assert ([change.path for change in first.changes], first.cursor.position) == (["a"], 1)
        assert server.inline == ["0"]
        assert not blocked.done()
        blocked.cancel()


async def test_without_a_limit_nothing_waits(clock):
    limit = Limit(0, lambda: clock.now_s, clock.sleep)
    assert limit.free
    await limit.take(1 << 40)
    assert clock.now_s == 0
