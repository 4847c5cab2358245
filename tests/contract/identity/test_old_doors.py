"""The doors of v1 clients: what they answered on the cloud, they answer here (3-protocol B.3.1, B.3.2; R2)."""

import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from people import Person, events_of
from servers import OWNER, PASSWORD

REFUSED = "Invalid or expired refresh token"


@pytest.fixture
def strict(start_server):
    """Without an overlap: the cloud of the field report."""
    return start_server(access_ttl="30m", refresh_overlap="0s")


def family_of(token):
    return token.removeprefix("cld_rt_").split(".")[0]


def test_without_overlap_a_consumed_token_gets_403_and_kills_nothing(strict):
    daemon, command = Person(strict), Person(strict)
    r1 = daemon.sign_in_as_v1()
    r2 = command.renew_as_v1(r1["refreshToken"])
    assert r2.status == 200
    assert set(r2.json) == {
        *("accessToken", "accessTokenExpiresAt", "refreshToken", "refreshTokenExpiresAt", "apiUrl", "tokenType")
    }
    for _ in range(3):
        refusal = daemon.renew_as_v1(r1["refreshToken"])
        assert refusal.status == 403
        assert (refusal.json["error"], refusal.json["message"]) == ("invalid_grant", REFUSED)
    r3 = command.renew_as_v1(r2.json["refreshToken"])
    assert r3.status == 200
    for token in (r1["accessToken"], r2.json["accessToken"], r3.json["accessToken"]):
        assert daemon.whoami(token).status == 200
    told = [event["event"] for event in events_of(strict, family_of(r1["refreshToken"]))]
    assert told == ["issued", "rotated", "superseded", "superseded", "superseded", "rotated"]
    assert daemon.sessions()[family_of(r1["refreshToken"])]["old_clients"] is True
    daemon.http.close()
    command.http.close()


def test_a_password_grant_without_the_nonce_capability_is_a_v1_door_too(strict):
    somebody = Person(strict)
    grant = somebody.sign_in(refresh_nonce_supported="")
    assert somebody.renew(grant["refresh_token"], "").status == 200
    again = somebody.renew(grant["refresh_token"], "")
    assert (again.status, again.json["error"], again.json["error_reason"]) == (400, "invalid_grant", "superseded")
    assert somebody.whoami().status == 200
    somebody.http.close()


def test_within_the_overlap_old_clients_share_the_current_pair(shared, person):
    r1 = person.sign_in_as_v1()["refreshToken"]
    r2 = person.renew_as_v1(r1).json["refreshToken"]
    raced = person.renew_as_v1(r1)
    assert raced.json["refreshToken"] == r2
    assert raced.headers["x-refresh-outcome"] == "legacy_race"
    assert [event["event"] for event in events_of(shared, family_of(r1))] == ["issued", "rotated", "replayed"]


def test_a_missing_token_and_no_json_are_400(person):
    answer = person.http.ask("POST", "/api/v1/auth/token/refresh", body={})
    assert (answer.status, answer.json["error"]) == (400, "Missing refreshToken")
    raw = person.http.ask(
        "POST", "/api/v1/auth/token/refresh", raw=b"{not json", headers={"Content-Type": "application/json"}
    )
    assert (raw.status, raw.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "https://127.0.0.1:5000/callback",
        "http://evil.example:5000/callback",
        "http://127.0.0.1.evil.example:5000/",
        "http://127.0.0.1:5000@evil.example/",
        "http://user@127.0.0.1:5000/",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:99999/",
        "//evil.example:80/",
        "http://evil.example\\@127.0.0.1:80/",
    ],
)
def test_tokens_are_sent_to_this_machine_and_nowhere_else(person, target):
    answer = person.http.ask("GET", f"/api/v1/cli/login?redirect_uri={quote(target)}")
    assert (answer.status, answer.json["code"]) == (400, "invalid_redirect_uri")
    form = {"redirect_uri": target, "username": OWNER, "password": PASSWORD, "answer": "approve"}
    assert person.http.ask("POST", "/api/v1/cli/login", form=form).status == 400


def test_a_person_signs_a_program_on_their_machine_in_by_the_page(shared, person):
    target = "http://127.0.0.1:5123/callback"
    page = person.http.ask("GET", f"/api/v1/cli/login?redirect_uri={quote(target)}&state=s%26t")
    assert page.status == 200
    assert "127.0.0.1:5123" in page.body.decode()
    assert "form-action 'self' http://127.0.0.1:5123" in page.headers["content-security-policy"]
    mark = re.search(r'name="mark" value="([\w-]+)"', page.body.decode())[1]
    cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    form = {"mark": mark, "redirect_uri": target, "state": "s&t", "username": OWNER, "answer": "approve"}
    wrong = person.http.ask("POST", "/api/v1/cli/login", form=form | {"password": "wrong"}, headers=cookie)
    assert wrong.status == 403
    assert "Wrong user name or password" in wrong.body.decode()
    foreign = person.http.ask("POST", "/api/v1/cli/login", form=form | {"password": PASSWORD})
    assert foreign.status == 403
    denied = person.http.ask("POST", "/api/v1/cli/login", form=form | {"answer": "deny"}, headers=cookie)
    assert denied.headers["location"] == f"{target}?state=s%26t&error=access_denied"
    answer = person.http.ask("POST", "/api/v1/cli/login", form=form | {"password": PASSWORD}, headers=cookie)
    assert answer.status == 303
    assert answer.headers["location"].startswith(target + "?")
    query = {name: value[0] for name, value in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert (query["state"], query["api_url"]) == ("s&t", shared.url)
    assert person.whoami(query["access_token"]).status == 200
    assert person.renew_as_v1(query["refresh_token"]).status == 200
