"""Sign-in against a scripted server, and at addresses where no relayfile server is."""

import asyncio
import time

import pytest
from aiohttp import web

from fake_authority import METADATA
from relayfile.client import login
from relayfile.errors import LoginRequired, ProtocolMismatch, Unavailable, UsageError
from relayfile.model import Secret
from scripted import Scripted, error

TOKEN = {
    "access_token": "cld_at_1",
    "expires_in": 1800.0,
    "refresh_token": "cld_rt_1",
    "refresh_token_expires_in": 2_592_000.0,
    "absolute_expires_at": "2099-01-01T00:00:00Z",
    "scope": "fs:read",
    "family": "f1",
    "generation": 1,
    "api_url": "http://inside:1",
    "account": "ac_1",
    "username": "ada",
}
PROBE = "GET /.well-known/oauth-authorization-server"


async def metadata(_request):
    return web.json_response(METADATA)


class Doors:
    """The token and device routes: answers one after another; what was sent."""

    def __init__(self, *said):
        self.said, self.forms = list(said), []

    async def token(self, request):
        self.forms.append(dict(await request.post()))
        status, body = self.said.pop(0)
        return web.json_response(body, status=status)

    async def device(self, request):
        self.forms.append(dict(await request.post()))
        return web.json_response(
            {
                "device_code": "dc",
                "user_code": "ABCD-EFGH",
                "verification_uri": "http://s/device",
                "verification_uri_complete": "http://s/device?user_code=ABCD-EFGH",
                "expires_in": 600,
                "interval": 2,
            }
        )

    def routes(self):
        return {PROBE: metadata, "POST /oauth/token": self.token, "POST /oauth/device_authorization": self.device}


async def signed(work, doors):
    async with Scripted(doors.routes()) as server:
        return server.url, await asyncio.to_thread(work, server.url)


async def test_a_password_gives_a_grant_for_the_address_that_was_asked():
    doors = Doors((200, TOKEN))
    before = time.time()
    url, found = await signed(lambda url: login.with_password(url, "ada", Secret("pw")), doors)
    assert found.scope == "fs:read"
    assert found.grant.api_url == url
    assert found.grant.access_token == Secret("cld_at_1")
    assert before + 1800 <= found.grant.access_expires_at <= time.time() + 1800
    assert (found.grant.family, found.grant.generation, found.grant.account) == ("f1", 1, "ada")
    assert doors.forms == [
        {
            "client_id": "relayfile-cli",
            "grant_type": "password",
            "username": "ada",
            "password": "pw",
            "refresh_nonce_supported": "1",
        }
    ]


async def test_a_login_for_old_clients_says_so():
    doors = Doors((200, TOKEN))
    await signed(lambda url: login.with_password(url, "ada", Secret("pw"), old_clients=True), doors)
    assert doors.forms[0]["allow_old_clients"] == "1"


async def test_a_device_sign_in_shows_a_code_waits_as_told_and_takes_what_was_approved():
    doors = Doors(
        (400, {"error": "authorization_pending"}),
        (400, {"error": "slow_down"}),
        (503, {"error": "temporarily_unavailable"}),
        (200, TOKEN),
    )
    shown, opened, slept = [], [], []
    _, found = await signed(lambda url: login.sign_in(url, shown.append, opened.append, sleep=slept.append), doors)
    assert found.grant.family == "f1"
    assert shown[0].user_code == "ABCD-EFGH"
    assert opened == ["http://s/device?user_code=ABCD-EFGH"]
    assert slept == [2.0, 2.0, 7.0]


@pytest.mark.parametrize("word", ["access_denied", "expired_token"])
async def test_a_person_who_says_no_or_does_not_come_ends_it(word):
    doors = Doors((400, {"error": word}))
    with pytest.raises(LoginRequired) as caught:
        await signed(lambda url: login.sign_in(url, lambda _: None, sleep=lambda _: None), doors)
    assert caught.value.code == word


async def test_the_owner_of_a_server_here_signs_in_by_its_file():
    doors = Doors((200, TOKEN))
    await signed(lambda url: login.as_owner(url, Secret("once")), doors)
    assert doors.forms[0]["owner_signin"] == "once"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_grant", "error_description": "wrong"}, LoginRequired),
        (400, {"error": "invalid_scope"}, UsageError),
        (429, {"error": "slow_down"}, Unavailable),
        (503, {"error": "temporarily_unavailable"}, Unavailable),
    ],
)
async def test_a_refusal_is_told_by_its_word_and_shows_no_password(status, body, kind):
    doors = Doors(*[(status, body)] * 3)
    with pytest.raises(kind) as caught:
        await signed(lambda url: login.with_password(url, "ada", Secret("pw-secret")), doors)
    assert "pw-secret" not in str(caught.value)


# ---------------------------------------------------------------------------------------------- wrong addresses


async def html(_request):
    return web.Response(body=b"<html>hello</html>", content_type="text/html")


async def other_oauth(_request):
    return web.json_response({"issuer": "somebody else"})


async def another_json(_request):
    return error(404, "nothing_here")


@pytest.mark.parametrize("answerer", [html, other_oauth, another_json])
async def test_an_address_that_is_not_relayfile_is_said_before_anything_is_sent(answerer):
    doors = Doors()
    async with Scripted({**doors.routes(), PROBE: answerer}) as server:
        for work in (login.probe, lambda url: login.with_password(url, "ada", Secret("pw"))):
            with pytest.raises(ProtocolMismatch) as caught:
                await asyncio.to_thread(work, server.url)
            assert caught.value.code == "not_relayfile"
            assert server.url in caught.value.message
            assert caught.value.exit_code == 76
    assert not doors.forms


async def test_a_proxy_that_cannot_reach_the_server_is_trouble_and_not_another_server():
    async def bad_gateway(_request):
        return web.Response(status=502, body=b"<html>", content_type="text/html")

    async with Scripted({PROBE: bad_gateway}) as server:
        with pytest.raises(Unavailable):
            await asyncio.to_thread(login.probe, server.url)


def test_what_is_no_address_is_said():
    with pytest.raises(UsageError) as caught:
        login.probe("relayfile.example")
    assert "https://HOST" in caught.value.hint


async def test_an_address_is_kept_in_its_one_spelling():
    async with Scripted({PROBE: metadata}) as server:
        assert await asyncio.to_thread(login.probe, server.url + "/") == server.url
