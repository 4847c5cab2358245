"""The client library against the real server: sign-in, pushes, the feed from zero to live, bodies, revocation."""

import asyncio
import hashlib
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

import logins
from relayfile.client import api, login
from relayfile.client.exchange import TokenExchange
from relayfile.client.feed import batches
from relayfile.client.gate import Gate
from relayfile.client.push import Conflict, Push, Refused, Stored, blobs, push
from relayfile.client.transport_async import AsyncClient
from relayfile.client.transport_sync import SyncClient
from relayfile.core.session import Phase
from relayfile.errors import LoginRequired, NotFound, RevisionMismatch
from relayfile.model import Cursor, Delete, Digest, Put, Secret, TreePath
from servers import OWNER, PASSWORD


async def in_thread(work):
    return await asyncio.to_thread(work)


@asynccontextmanager
async def daemon(session, url):
    gate = Gate(session, in_thread)
    task = asyncio.create_task(gate.run())
    try:
        async with AsyncClient(url, gate) as client:
            yield client, gate
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def signed_in(place, url, role="owner"):
    made = logins.session(place / "cloud-credentials.json", role=role, exchange=TokenExchange("test"))
    found = login.with_password(url, OWNER, Secret(PASSWORD))
    made.adopt(found.grant, scope=found.scope)
    return made


def edit(name, body, over=0, **more):
    return Push(TreePath(name), f"{name}-{over}-{hashlib.sha256(body or b'').hexdigest()[:8]}", over, body, **more)


async def test_edits_travel_from_one_client_to_another_through_the_whole_library(  # noqa: PLR0915 - one journey
    place, start_server
):
    url = start_server().url
    session = signed_in(place, url)
    with SyncClient.signed_in(session) as commands:
        workspace = (await in_thread(lambda: commands.call(api.create_workspace("acme")))).workspace_id
        large = bytes(range(256)) * 20_000
        async with daemon(session, url) as (client, _):
            outcomes = await push(
                client,
                workspace,
                [
                    edit("a.txt", b"one"),
                    edit("b.bin", b"\xff\x00", mode="755"),
                    edit("link", b"a.txt", mode="120000"),
                    edit("large", large),
                ],
            )
            assert [type(outcome) for outcome in outcomes] == [Stored] * 4
            again = await push(client, workspace, [edit("a.txt", b"one")])
            assert again == outcomes[:1], "the same key gives the same result"
            assert await push(client, workspace, [edit("a.txt", b"other", over=99)]) == [
                Conflict(TreePath("a.txt"), outcomes[0].revision)
            ]
            (refused,) = await push(client, workspace, [edit("x" * 300 + "/y", b"z")])
            assert isinstance(refused, Refused)

            seen = []
            feed = batches(client, workspace, Cursor("", 0), on_connection=lambda state, _: seen.append(state))
            async with aclosing(feed):
                first = await anext(feed)
                assert {change.path: change.mode for change in first.changes} == {
                    "a.txt": "644",
                    "b.bin": "755",
                    "link": "120000",
                    "large": "644",
                }
                assert first.end
                assert first.start == first.head == first.cursor.position
                told = await client.call(api.digest(workspace))
                assert (told.position, bytes.fromhex(told.tree_digest)) == (first.cursor.position, first.tree_digest)
                by_path = {change.path: change for change in first.changes}
                assert by_path["a.txt"].body == b"one"
                assert by_path["large"].body is None

                wanted = [by_path["large"].digest, by_path["b.bin"].digest, Digest(b"?" * 32)]
                found = {digest: body async for digest, body in blobs(client, workspace, wanted)}
                assert found == {wanted[0]: large, wanted[1]: b"\xff\x00", wanted[2]: None}

                revision = await in_thread(
                    lambda: commands.call(api.write_file(workspace, TreePath("live.md"), b"hi", over=0, key="k1"))
                )
                async with asyncio.timeout(5):
                    live = await anext(feed)
                    while not live.changes:
                        live = await anext(feed)
                assert isinstance(live.changes[0], Put)
                assert (live.changes[0].path, live.changes[0].body, live.cursor.position) == (
                    "live.md",
                    b"hi",
                    revision,
                )
                await push(client, workspace, [edit("live.md", None, over=revision)])
                async with asyncio.timeout(5):
                    gone = await anext(feed)
                    while not gone.changes:
                        gone = await anext(feed)
                assert gone.changes == [Delete(TreePath("live.md"), gone.cursor.position)]
                assert seen == ["connecting", "catching-up", "live"]
        page = await in_thread(lambda: commands.call(api.tree_page(workspace)))
        assert [entry.path for entry in page.entries] == ["/a.txt", "/b.bin", "/large", "/link"]
        with pytest.raises(RevisionMismatch):
            await in_thread(
                lambda: commands.call(api.write_file(workspace, TreePath("a.txt"), b"", over=99, key="k2"))
            )
        with pytest.raises(NotFound):
            await in_thread(lambda: commands.call(api.read_file(workspace, TreePath("none"))))
        await in_thread(lambda: commands.call(api.delete_workspace(workspace)))
        with pytest.raises(NotFound) as caught:
            await in_thread(lambda: commands.call(api.tree_page(workspace)))
        assert caught.value.code == "workspace_deleted"


async def test_expiries_are_invisible_and_a_revoked_login_parks_until_the_next(
    place, start_server, expected_warnings
):
    expected_warnings.append("auth-failed")
    url = start_server(access_ttl="2s", refresh_overlap="0s").url
    session = signed_in(place, url)
    with SyncClient.signed_in(logins.session(session.file.path, exchange=TokenExchange("test"))) as commands:
        async with daemon(session, url) as (client, gate):
            for _ in range(20):
                assert (await client.call(api.whoami())).username == OWNER
                assert (await in_thread(lambda: commands.call(api.whoami()))).username == OWNER
                await asyncio.sleep(0.2)
            events = await client.call(api.auth_events())
            kinds = [event.event for event in events]
            assert set(kinds) <= {"issued", "rotated"}
            assert 2 <= kinds.count("rotated") <= 4.5 / (0.58 * 2) + 1
            (mine,) = await client.call(api.sessions())
            await client.call(api.revoke_session(mine.id))
            async with asyncio.timeout(10):
                while gate.login.phase is not Phase.AUTH_FAILED:
                    waiting = asyncio.create_task(client.call(api.whoami()))
                    await gate.changed()
            with pytest.raises(LoginRequired):
                await in_thread(lambda: commands.call(api.whoami()))
            await in_thread(lambda: signed_in(place, url))
            async with asyncio.timeout(2):
                assert (await waiting).username == OWNER


async def test_a_revoked_login_is_told_apart_and_a_logout_reaches_the_server(place, start_server):
    url = start_server().url
    session = signed_in(place, url, role="other")
    with SyncClient(url, session.token) as commands:
        assert (await in_thread(lambda: commands.call(api.whoami()))).username == OWNER
        token = session.token()
        assert session.logout().told
    with SyncClient(url, lambda: token) as commands, pytest.raises(LoginRequired) as caught:
        await in_thread(lambda: commands.call(api.whoami()))
    assert caught.value.code == "token_revoked"
