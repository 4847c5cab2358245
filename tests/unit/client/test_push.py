"""Pushes and bodies against a scripted server."""

import hashlib
import json

import pytest
from aiohttp import web

from relayfile.client import api
from relayfile.client import push as module
from relayfile.client.push import Conflict, Large, Push, Refused, Stored, Torn, TornError, blobs, push
from relayfile.client.transport_async import PIECE_BYTES, AsyncClient
from relayfile.errors import NotFound, ProtocolMismatch, Unavailable
from relayfile.model import Digest, TreePath
from relayfile.wire import delta
from scripted import Scripted, Tickets, error

BULK = "POST /v1/workspaces/rw_1/fs/bulk"
FILE = "PUT /v1/workspaces/rw_1/fs/file"
BLOBS = "POST /v1/workspaces/rw_1/fs/blobs"


def edit(name, body=b"x", over=0, **more):
    return Push(TreePath(name), f"key-{name}", over, body, **more)


def bulk_server(answer_one, bulks):
    async def bulk(request):
        files = (await request.json())["files"]
        bulks.append(files)
        results, errors = [], []
        for n, file in enumerate(files, 1):
            told = answer_one(file)
            if told is None:
                results.append({"path": file["path"], "revision": f"rev_{n}"})
            else:
                errors.append({"path": file["path"], "message": "no", **told})
        body = {
            "written": len(results),
            "errorCount": len(errors),
            "errors": errors,
            "results": results,
            "correlationId": "c",
        }
        return web.json_response(body, status=202)

    return bulk


async def pushed(pushes, routes):
    async with Scripted(routes) as server, AsyncClient(server.url, Tickets()) as client:
        return await push(client, "rw_1", pushes)


async def test_each_push_has_its_own_outcome_in_the_order_given():
    said = {
        "/stored": None,
        "/conflict": {"code": "conflict", "currentRevision": "rev_9"},
        "/absent": {"code": "not_found"},
        "/refused": {"code": "forbidden"},
    }
    bulks = []
    outcomes = await pushed(
        [
            edit("refused"),
            edit("conflict", over=3),
            edit("absent", None, over=4),
            edit("stored", b"\xff\x00", mode="755"),
        ],
        {BULK: bulk_server(lambda file: said[file["path"]], bulks)},
    )
    assert outcomes == [
        Refused(TreePath("refused"), "forbidden", "no"),
        Conflict(TreePath("conflict"), 9),
        Conflict(TreePath("absent"), 0),
        Stored(TreePath("stored"), 4),
    ]
    by_path = {file["path"]: file for file in bulks[0]}
    assert by_path["/conflict"]["ifMatch"] == "rev_3"
    assert by_path["/absent"] | {"contentIdentity": 0} == {
        "path": "/absent", "op": "delete", "ifMatch": "rev_4", "contentIdentity": 0,
    }  # fmt: skip
    assert (by_path["/stored"]["content"], by_path["/stored"]["encoding"], by_path["/stored"]["mode"]) == (
        "/wA=",
        "base64",
        493,
    )
    assert by_path["/refused"]["ifMatch"] == "0"
    assert by_path["/refused"]["contentIdentity"] == {
        "kind": "relayfile",
        "key": "key-refused",
        "ttlSeconds": 604_800,
    }


async def test_a_symbolic_link_travels_as_its_target():
    bulks = []
    await pushed([edit("link", b"to/there", mode="120000")], {BULK: bulk_server(lambda _: None, bulks)})
    assert (bulks[0][0]["type"], bulks[0][0]["target"]) == ("symlink", "to/there")


async def test_many_pushes_are_split_by_number_and_the_same_path_is_never_twice_in_one():
    bulks = []
    pushes = [edit(f"f{n}") for n in range(450)] + [edit("f449", b"y", over=1)]
    outcomes = await pushed(pushes, {BULK: bulk_server(lambda _: None, bulks)})
    assert [len(files) for files in bulks] == [200, 200, 50, 1]
    assert len(outcomes) == 451


async def test_a_request_that_is_too_large_is_halved_until_it_fits_and_a_single_one_goes_raw():
    bulks, raw = [], []
    fits = bulk_server(lambda _: None, bulks)

    async def narrow(request):
        if len((await request.json())["files"]) > 1 or b"huge" in await request.read():
            return error(413, "payload_too_large")
        return await fits(request)

    async def put(request):
        raw.append((request.query["path"], await request.read(), request.headers["If-Match"]))
        return web.json_response({"targetRevision": "rev_77"}, status=202)

    outcomes = await pushed([edit("a"), edit("huge"), edit("c")], {BULK: narrow, FILE: put})
    assert [type(outcome) for outcome in outcomes] == [Stored, Stored, Stored]
    assert outcomes[1].revision == 77
    assert raw == [("/huge", b"x", "0")]


async def test_a_large_body_travels_alone_and_raw(monkeypatch):
    monkeypatch.setattr(module, "LARGE_BYTES", 1000)
    seen = []

    async def put(request):
        seen.append(request.headers)
        name = request.query["path"]
        if name == "/moved":
            return error(409, "revision_conflict", currentRevision="rev_8")
        if name == "/gone":
            return error(404, "not_found")
        if name == "/over":
            return error(413, "payload_too_large")
        return web.json_response({"targetRevision": "rev_5"}, status=202)

    body = b"z" * 2000
    pushes = [
        edit("big", body, mode="755"),
        edit("moved", body, over=3),
        edit("gone", body, over=3),
        edit("over", body),
    ]
    outcomes = await pushed(pushes, {FILE: put})
    assert outcomes[:3] == [Stored(TreePath("big"), 5), Conflict(TreePath("moved"), 8), Conflict(TreePath("gone"), 0)]
    assert isinstance(outcomes[3], Refused)
    assert outcomes[3].code == "payload_too_large"
    assert seen[0]["X-Relayfile-Mode"] == "755"
    assert json.loads(seen[0]["X-Relayfile-Content-Identity"])["key"] == "key-big"


@pytest.mark.parametrize("told", [{"code": "internal_error"}, {"code": "busy"}])
async def test_a_path_the_server_could_not_store_now_is_trouble_and_not_a_verdict(told):
    with pytest.raises(Unavailable):
        await pushed([edit("a")], {BULK: bulk_server(lambda _: told, [])})


async def test_an_answer_that_says_nothing_of_a_path_is_trouble():
    async def silent(_request):
        return web.json_response({"written": 0, "errorCount": 0, "errors": [], "results": [], "correlationId": ""})

    with pytest.raises(Unavailable):
        await pushed([edit("a")], {BULK: silent})


async def test_a_workspace_that_is_gone_is_said():
    async def gone(_request):
        return error(410, "workspace_deleted")

    with pytest.raises(NotFound):
        await pushed([edit("a")], {BULK: gone})


def streamed(body, *, torn=False):
    async def pieces():
        for at in range(0, len(body), 100_000):
            if torn and at + 100_000 >= len(body):
                raise TornError
            yield body[at : at + 100_000]

    return Large(len(body), pieces)


async def test_a_large_body_is_sent_piece_by_piece_as_one_write():
    body, seen = bytes(range(256)) * 5_000, []

    async def put(request):
        seen.append((request.headers["If-Match"], request.headers["Content-Length"], await request.read()))
        return web.json_response({"targetRevision": "rev_7"}, status=202)

    pushes = [edit("a"), edit("big", streamed(body), over=3), edit("b")]
    assert await pushed(pushes, {BULK: bulk_server(lambda _: None, []), FILE: put}) == [
        Stored("a", 1),
        Stored("big", 7),
        Stored("b", 1),
    ]
    assert seen == [("rev_3", str(len(body)), body)]


async def test_a_server_never_has_the_whole_of_a_body_that_was_torn():
    whole = []

    async def put(request):
        whole.append(await request.read())
        return web.json_response({"targetRevision": "rev_7"}, status=202)

    torn = edit("big", streamed(bytes(1_000_000), torn=True))
    assert await pushed([torn], {FILE: put}) == [Torn("big")]
    assert whole == []


async def test_a_large_body_that_is_refused_before_it_came_is_sent_again_with_another_token():
    body, tokens = bytes(3_000_000), []

    async def put(request):
        tokens.append(request.headers["Authorization"])
        if len(tokens) == 1:
            return error(401, "token_expired")
        return web.json_response({"targetRevision": "rev_7", "size": len(await request.read())}, status=202)

    assert await pushed([edit("big", streamed(body))], {FILE: put}) == [Stored("big", 7)]
    assert len(set(tokens)) == 2


# ----------------------------------------------------------------------------------------------------- blobs


def digest(body):
    return Digest(hashlib.sha256(body).digest())


async def fetched(digests, routes):
    async with Scripted(routes) as server, AsyncClient(server.url, Tickets()) as client:
        return {found: body async for found, body in blobs(client, "rw_1", digests)}


def stream_of(found, *, end=True):
    async def answer(request):
        asked = (await request.json())["digests"]
        body = b"".join(delta.encode(delta.Blob(bytes.fromhex(one), found.get(bytes.fromhex(one)))) for one in asked)
        body += delta.encode(delta.End(0)) if end else b""
        return web.Response(body=body, content_type=delta.CONTENT_TYPE)

    return answer


async def test_each_body_comes_once_and_an_unknown_one_is_none():
    known, unknown = digest(b"one"), digest(b"two")
    found = await fetched([known, unknown, known], {BLOBS: stream_of({known: b"one"})})
    assert found == {known: b"one", unknown: None}


async def test_a_body_that_fits_no_frame_is_none():
    big = digest(b"big")
    assert await fetched([big], {BLOBS: stream_of({})}) == {big: None}


def ranges_of(body, asked, *, etag=True):
    """Answers as a server does that knows ranges; without `etag` as one that takes the content for another by now."""

    async def answer(request):
        asked.append((request.headers.get("Range"), request.headers.get("If-Range")))
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            return web.Response(status=416)
        if not start or not etag:
            return web.Response(body=body, content_type="application/octet-stream")
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        return web.Response(status=206, body=body[start:], headers=headers, content_type="application/octet-stream")

    return answer


async def pieces(answer, body, start):
    big = digest(body)
    routes = {f"GET /v1/workspaces/rw_1/fs/blob/{big.hex()}": answer}
    async with Scripted(routes) as server, AsyncClient(server.url, Tickets()) as client:
        return [one async for one in client.pieces(api.blob("rw_1", big, start))]


@pytest.mark.parametrize(("start", "etag", "first"), [(0, True, 0), (700_000, True, 700_000), (700_000, False, 0)])
async def test_a_large_body_comes_in_pieces_from_where_it_was_cut(start, etag, first):
    body, asked = bytes(range(256)) * 5000, []
    found = await pieces(ranges_of(body, asked, etag=etag), body, start)
    assert max(len(piece) for _, piece in found) <= PIECE_BYTES
    assert b"".join(piece for _, piece in found) == body[first:]
    assert [at for at, _ in found] == [first + sum(len(one) for _, one in found[:n]) for n in range(len(found))]
    tag = f'"{digest(body).hex()}"'
    assert asked == [(f"bytes={start}-", tag) if start else (None, None)]


async def test_a_body_that_has_no_byte_there_is_refused_for_good():
    with pytest.raises(ProtocolMismatch):
        await pieces(ranges_of(b"abc", []), b"abc", 3)


async def test_a_body_that_does_not_fit_its_digest_is_not_used():
    with pytest.raises(Unavailable) as caught:
        await fetched([digest(b"one")], {BLOBS: stream_of({digest(b"one"): b"other"})})
    assert caught.value.code == "damaged_body"


async def test_a_stream_of_bodies_that_was_cut_is_trouble():
    with pytest.raises(Unavailable):
        await fetched([digest(b"one")], {BLOBS: stream_of({digest(b"one"): b"one"}, end=False)})
