"""Both transports against a scripted server: what answers mean, what is repeated, and what never is."""

import asyncio
import json
import socket
import threading

import pytest
from aiohttp import web

from relayfile.client import answers, api
from relayfile.client.answers import Answer
from relayfile.client.origin import Origin
from relayfile.client.transport_async import AsyncClient
from relayfile.client.transport_sync import SyncClient
from relayfile.errors import (
    CursorExpired,
    Forbidden,
    LoginRequired,
    NotFound,
    ProtocolMismatch,
    RevisionMismatch,
    Unavailable,
    UsageError,
)
from relayfile.model import Cursor, Secret, TreePath
from scripted import Scripted, Tickets, error

HEALTH = {"status": "ok", "features": [], "product": "relayfile", "version": "1"}


def answer(status, body, content_type="application/json", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {"content-type": content_type, **headers}, raw)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_request", UsageError),
        (401, "token_expired", LoginRequired),
        (403, "forbidden", Forbidden),
        (404, "not_found", NotFound),
        (410, "workspace_deleted", NotFound),
        (409, "revision_conflict", RevisionMismatch),
        (409, "workspace_exists", UsageError),
        (410, "cursor_expired", CursorExpired),
        (413, "payload_too_large", UsageError),
        (422, "identity_reused", UsageError),
        (429, "rate_limited", Unavailable),
        (500, "internal_error", Unavailable),
        (501, "bulk_read_unsupported", ProtocolMismatch),
        (503, "unavailable", Unavailable),
    ],
)
def test_a_refusal_is_told_by_status_and_code(status, code, kind):
    told = answers.failure(
        answer(status, {"code": code, "message": "why", "hint": "do", "correlationId": "c", "x": 1})
    )
    assert type(told) is kind
    assert (told.message, told.code) == ("why", code)


def test_a_refusal_carries_what_a_program_needs():
    moved = answers.failure(answer(409, {"code": "revision_conflict", "message": "m", "currentRevision": "rev_7"}))
    assert isinstance(moved, RevisionMismatch)
    assert moved.current == 7
    busy = answers.failure(answer(503, {"code": "unavailable", "message": "m", "retryAfterSeconds": 2.5}))
    assert isinstance(busy, Unavailable)
    assert busy.retry_after_s == 2.5


@pytest.mark.parametrize(
    "strange",
    [
        answer(403, b"<html>", "text/html"),
        answer(401, b"", "text/plain"),
        answer(404, {"message": "no code"}),
        answer(410, b"[]"),
        answer(302, b"", "text/html", location="http://portal"),
    ],
)
def test_what_is_not_our_json_says_only_that_it_did_not_work_now(strange):
    told = answers.failure(strange)
    assert isinstance(told, Unavailable)
    assert told.code == "not_relayfile"
    with pytest.raises(Unavailable):
        answers.nothing(strange)


def test_a_success_that_is_html_is_a_portal_and_json_of_another_shape_is_another_version():
    with pytest.raises(Unavailable):
        api.health().read(answer(200, b"<html>", "text/html"))
    with pytest.raises(ProtocolMismatch):
        api.health().read(answer(200, {"status": 5}))


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert answers.retry_after_s(answer(429, b"", **{"retry-after": "12"})) == 12
    date = answer(429, b"", **{"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"})
    assert answers.retry_after_s(date, now=90.0) == 10
    assert answers.retry_after_s(answer(429, b"", **{"retry-after": "soon"})) is None
    assert answers.retry_after_s(answer(429, b"")) is None


def test_requests_are_described_as_the_wire_has_them():
    write = api.write_file("rw_1", TreePath.parse("/a b/ü.md"), b"hi", over=5, key="k", mode="755")
    assert write.target == "/v1/workspaces/rw_1/fs/file?path=%2Fa%20b%2F%C3%BC.md"
    assert dict(write.headers)["If-Match"] == "rev_5"
    assert dict(api.write_file("rw_1", TreePath("a"), b"", over=0, key="k").headers)["If-Match"] == "0"
    assert dict(api.delete_file("rw_1", TreePath("a"), over=None).headers)["If-Match"] == "*"
    link = api.write_file("rw_1", TreePath("a"), b"to", over=None, key="k", mode="120000")
    assert json.loads(link.body)["target"] == "to"
    assert ("since", "0") in api.delta_stream("rw_1", Cursor("old", 0), 5, 10).query
    assert "epoch" not in dict(api.delta_stream("rw_1", Cursor("old", 0), 5, 10).query)
    assert api.tree_page("../x").path == "/v1/workspaces/..%2Fx/fs/tree"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h", "http://h"),
        ("https://H:443/cloud/", "https://h/cloud"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
    ],
)
def test_an_address_has_one_spelling(text, url):
    assert Origin.parse(text).url == url


@pytest.mark.parametrize(
    "text", ["", "h:80", "ftp://h", "http://", "http://h:x", "http://u:p@h", "http://h?x", "http://h/ b"]
)
def test_what_is_no_address_is_refused_without_showing_a_password(text):
    with pytest.raises(UsageError) as caught:
        Origin.parse(text)
    assert "u:p" not in caught.value.message


def test_loopback_is_known():
    assert Origin.parse("http://127.0.0.5").loopback
    assert not Origin.parse("https://example.org").loopback


# ------------------------------------------------------------------------------------------------------ sync


async def in_thread(work):
    return await asyncio.to_thread(work)


def client(url, **more):
    made = SyncClient(url, **more)
    made._sleep = lambda _: None
    return made


async def test_transient_trouble_is_repeated_and_a_connection_is_kept():
    ports, left = set(), [error(503, "unavailable"), web.Response(body=b"<html>", content_type="text/html")]

    async def health(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        return left.pop(0) if left else web.json_response(HEALTH)

    async with Scripted({"GET /health": health}) as server:
        with client(server.url) as mine:
            found = await in_thread(lambda: [mine.call(api.health()) for _ in range(3)])
    assert {one.status for one in found} == {"ok"}
    assert len(ports) == 1
    assert server.seen[0].headers["User-Agent"].startswith("relayfile/")
    assert server.seen[0].headers["X-Correlation-Id"]


async def test_what_is_not_transient_is_not_repeated():
    async def no(_request):
        return error(403, "forbidden")

    async with Scripted({"GET /health": no}) as server:
        with client(server.url) as mine, pytest.raises(Forbidden):
            await in_thread(lambda: mine.call(api.health()))
    assert len(server.seen) == 1


async def test_a_write_without_a_key_is_not_repeated_when_its_answer_was_lost():
    async def lost(request):
        request.transport.abort()
        return web.Response()

    async with Scripted({"POST /api/v1/workspaces": lost, "GET /health": lost}) as server:
        with client(server.url) as mine:
            with pytest.raises(Unavailable):
                await in_thread(lambda: mine.call(api.create_workspace("x")))
            assert len(server.seen) == 1
            with pytest.raises(Unavailable):
                await in_thread(lambda: mine.call(api.health()))
            assert len(server.seen) == 4


async def test_a_refused_token_is_renewed_once_and_the_request_repeated():
    tokens = []

    async def whoami(request):
        tokens.append(request.headers["Authorization"])
        if tokens[-1] != "Bearer new":
            return error(401, "token_expired")
        return web.json_response(
            {
                "account": "a",
                "username": "u",
                "kind": "owner",
                "family": None,
                "generation": None,
                "scope": "",
                "expires_at": "",
            }
        )

    async with Scripted({"GET /api/v1/auth/whoami": whoami}) as server:
        with client(server.url, token=lambda: Secret("old"), renew=lambda _, *, over: Secret("new")) as mine:
            assert (await in_thread(lambda: mine.call(api.whoami()))).username == "u"
        with client(server.url, token=lambda: Secret("old"), renew=lambda _, *, over: Secret("older")) as mine:
            with pytest.raises(LoginRequired) as caught:
                await in_thread(lambda: mine.call(api.whoami()))
            assert caught.value.code == "token_expired"
    assert tokens == ["Bearer old", "Bearer new", "Bearer old", "Bearer older"]


@pytest.mark.parametrize(("code", "over"), [("token_revoked", True), ("token_expired", False)])
async def test_whether_a_401_says_that_the_sign_in_is_over_is_passed_on(code, over):
    async def whoami(request):
        return error(401, code)

    told = []
    async with Scripted({"GET /api/v1/auth/whoami": whoami}) as server:
        renew = lambda _, *, over: told.append(over) or Secret("new")  # noqa: E731
        with client(server.url, token=lambda: Secret("old"), renew=renew) as mine, pytest.raises(LoginRequired):
            await in_thread(lambda: mine.call(api.whoami()))
    assert told == [over]


def test_a_server_that_is_not_there_is_said_with_what_to_check():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with client(f"http://127.0.0.1:{taken.getsockname()[1]}") as mine, pytest.raises(Unavailable) as caught:
            mine.call(api.health())
    assert caught.value.code == "offline"
    assert caught.value.exit_code == 75
    assert caught.value.hint


def test_a_connection_closed_while_idle_is_replaced_without_a_word():
    served = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve():
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    served.append(connection.recv(65_536))
                    body = json.dumps(HEALTH).encode()
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    connection.sendall(head.encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        with client(f"http://127.0.0.1:{listening.getsockname()[1]}") as mine:
            assert mine.call(api.health()).status == "ok"
            assert mine.call(api.health()).status == "ok"
        thread.join()
    assert len(served) == 2


# ----------------------------------------------------------------------------------------------------- async


async def test_many_requests_share_their_connections_and_a_refused_token_is_replaced():
    tickets = Tickets()

    async def whoami(request):
        if request.headers["Authorization"] == "Bearer t1":
            return error(401, "token_expired")
        return web.json_response(HEALTH)

    async with Scripted({"GET /health": whoami}) as server, AsyncClient(server.url, tickets) as mine:
        request = api.Request("GET", "/health", api.health().read)
        assert (await mine.call(request)).status == "ok"
    assert tickets.refused == ["t1"]


async def test_fresh_tokens_that_are_refused_are_trouble_and_a_proxys_401_is_no_word_about_a_token():
    tickets = Tickets()

    async def never(_request):
        return error(401, "token_invalid")

    async def proxy(_request):
        return web.Response(status=401, body=b"<html>", content_type="text/html")

    async with Scripted({"GET /a": never, "GET /b": proxy}) as server, AsyncClient(server.url, tickets) as mine:
        with pytest.raises(Unavailable) as caught:
            await mine.call(api.Request("GET", "/a", answers.nothing))
        assert caught.value.code == "token_rejected"
        assert tickets.refused == ["t1", "t2"]
        with pytest.raises(Unavailable) as caught:
            await mine.call(api.Request("GET", "/b", answers.nothing))
        assert caught.value.code == "not_relayfile"
        assert len(tickets.refused) == 2


async def test_a_server_that_is_away_or_breaks_off_is_unavailable():
    async def cut(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x")
        request.transport.abort()
        return response

    async with Scripted({"GET /health": cut}) as server, AsyncClient(server.url, None) as mine:
        with pytest.raises(Unavailable) as caught:
            await mine.call(api.health())
        assert caught.value.code == "disconnected"
        url = server.url
    async with AsyncClient(url, None) as mine:
        with pytest.raises(Unavailable) as caught:
            await mine.call(api.health())
        assert caught.value.code == "offline"


async def test_a_socket_closed_because_the_login_was_revoked_says_so_to_the_gate():
    tickets = Tickets()

    async def live(request):
        assert request.headers["Authorization"] == "Bearer t1"
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.close(code=4401)
        return ws

    async def refused(_request):
        return error(401, "token_revoked")

    async with (
        Scripted({"GET /live": live, "GET /refused": refused}) as server,
        AsyncClient(server.url, tickets) as mine,
    ):
        async with mine.socket("/live") as opened:
            assert await opened.receive() is None
            assert opened.close_code == 4401
        assert tickets.refused == ["t1"]
        with pytest.raises(Unavailable):
            async with mine.socket("/refused"):
                pass
        assert tickets.refused == ["t1", "t2"]
