"""What may be tried at the doors where people sign in: guessing, borrowing a page, sending an answer elsewhere."""

import contextlib
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from people import Person
from servers import PASSWORD

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def strict_server(start_server):
    """A server of its own: its limits are used up."""
    return start_server()


def tried(server, name, password, headers=None):
    """The status of one try, on a connection of its own."""
    with contextlib.closing(Person(server).http) as http:
        body = {"username": name, "password": password}
        return http.ask("POST", "/api/v1/cli/login", body=body, headers=headers).status


def test_guesses_sent_all_at_once_are_counted_like_guesses_one_by_one(strict_server):
    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(lambda number: tried(strict_server, "owner", f"wrong {number}"), range(60)))
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 12, "ten in five minutes, and those that were being checked meanwhile"
    assert tried(strict_server, "owner", PASSWORD) == 429, "the right one is not told apart from a wrong one now"


def test_nobody_gets_more_guesses_by_claiming_other_addresses(strict_server):
    statuses = [
        tried(strict_server, f"name{number}", "wrong", {"X-Forwarded-For": f"10.0.0.{number}"})
        for number in range(14)
    ]
    assert 429 in statuses


def test_an_unknown_name_takes_as_long_as_a_wrong_password(strict_server):
    took = {"owner": [], "nobody": []}
    for _ in range(4):
        for name, times in took.items():
            began = time.perf_counter()
            assert tried(strict_server, name, "wrong") == 401
            times.append(time.perf_counter() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert 0.5 < known / unknown < 2, took


def test_user_codes_cannot_be_tried_one_after_another(strict_server):
    def code(number):
        with contextlib.closing(Person(strict_server).http) as http:
            return http.ask("GET", f"/device?user_code=BCDFGHJ{'BCDFGHJKLM'[number % 10]}").status

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(code, range(60)))
    assert statuses.count(404) < 30
    assert 429 in statuses


def test_device_codes_that_are_none_say_only_that(person):
    for code in ("x", "A" * 43, "%00", "é" * 20):
        answer = person.token(grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=code)
        assert (answer.status, answer.json["error"]) == (400, "expired_token")


@pytest.mark.parametrize("form", ["device", "loopback"])
def test_pages_cannot_be_framed_cached_or_made_to_run_scripts(person, form):
    begun = person.http.ok("POST", "/oauth/device_authorization", form={"client_id": "relayfile-cli"})
    target = {
        "device": f"/device?user_code={begun['user_code']}",
        "loopback": "/api/v1/cli/login?redirect_uri=http://127.0.0.1:5/",
    }[form]
    answer = person.http.ask("GET", target)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize(
    "agent", [f"relayfile/1 ({SCRIPT}; <img src=x onerror=alert(1)>; 1)", f'relayfile/{SCRIPT}" (a; b; 1)', SCRIPT]
)
def test_what_a_program_calls_itself_is_text_on_the_page(shared, agent):
    with contextlib.closing(Person(shared).http) as http:
        http.agent = agent
        begun = http.ok("POST", "/oauth/device_authorization", form={"client_id": "relayfile-cli", "profile": SCRIPT})
        page = http.ask("GET", f"/device?user_code={begun['user_code']}").body.decode()
    assert begun["user_code"] in page
    assert "<script" not in page
    assert "<img" not in page


def test_what_the_query_says_is_text_on_the_page(person):
    for target in (
        "/device?user_code=" + quote('"><script>'),
        "/api/v1/cli/login?redirect_uri=http://127.0.0.1:5/&state=" + quote('"><script>alert(1)</script>'),
        "/api/v1/cli/login?redirect_uri=" + quote('http://127.0.0.1:5/"><script>'),
    ):
        assert "<script" not in person.http.ask("GET", target).body.decode()


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost.evil.example:1/",
        "http://127.0.0.1:1@evil.example/",
        "http://127.0.0.1:1;@evil.example/",
        "http://[::1]:80/",
        "https://127.0.0.1:1/",
        "javascript:alert(1)",
        "http:127.0.0.1:1",
        "http://127.0.0.1:1\r\nX: y/",
        "http://127.0.0.1:1\t/",
        "http://0.0.0.0:1/",
    ],
)
def test_a_loopback_sign_in_leads_nowhere_else(person, target):
    answer = person.http.ask("GET", f"/api/v1/cli/login?redirect_uri={quote(target)}")
    assert (answer.status, answer.json["code"]) == (400, "invalid_redirect_uri")


def test_a_mark_for_one_address_is_none_for_another(person):
    page = person.http.ask("GET", "/api/v1/cli/login?redirect_uri=http://127.0.0.1:5/")
    mark = re.search(r'name="mark" value="([\w-]+)"', page.body.decode())[1]
    cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    form = {"mark": mark, "redirect_uri": "http://127.0.0.1:6/", "username": "owner", "password": PASSWORD}
    stolen = person.http.ask("POST", "/api/v1/cli/login", form={**form, "answer": "approve"}, headers=cookie)
    assert stolen.status == 403
    assert "location" not in {name.lower() for name in stolen.headers}
    assert "did not come from this server" in stolen.body.decode()


def test_a_state_cannot_add_a_header_or_a_parameter(person):
    target = "http://127.0.0.1:5/back"
    state = "s\r\nSet-Cookie: a=b&access_token=mine"
    page = person.http.ask("GET", f"/api/v1/cli/login?redirect_uri={target}&state={quote(state)}")
    mark = re.search(r'name="mark" value="([\w-]+)"', page.body.decode())[1]
    cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    form = {"mark": mark, "redirect_uri": target, "state": state, "answer": "deny"}
    answer = person.http.ask("POST", "/api/v1/cli/login", form=form, headers=cookie)
    assert answer.status == 303
    assert answer.headers["location"].startswith(target + "?state=s%0D%0A")
    assert "access_token=mine" not in answer.headers["location"]
    assert "set-cookie" not in {name.lower() for name in answer.headers}
