"""Device sign-in: the page a person approves at, and what the waiting program hears (RFC 8628)."""

import re

import pytest

from people import Person
from servers import OWNER, PASSWORD
from waiting import until

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Browser:
    """A browser with a cookie jar of one, at the device page."""

    def __init__(self, server):
        self.http = Person(server).http
        self.http.agent = "Mozilla/5.0"
        self.cookie = {}

    def open(self, user_code):
        return self._seen(self.http.ask("GET", f"/device?user_code={user_code}", headers=self.cookie))

    def send(self, headers=None, **fields):
        return self._seen(self.http.ask("POST", "/device", form=fields, headers=self.cookie | (headers or {})))

    def mark(self, page):
        return re.search(r'name="mark" value="([\w-]+)"', page.body.decode())[1]

    def _seen(self, answer):
        if "set-cookie" in answer.headers:
            self.cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        return answer


@pytest.fixture
def browser(shared):
    made = Browser(shared)
    yield made
    made.http.close()


@pytest.fixture
def begun(person):
    """A sign-in that waits for a person."""
    form = {"client_id": "relayfile-cli", "refresh_nonce_supported": "1"}
    return person.http.ok("POST", "/oauth/device_authorization", form=form)


def poll(person, begun):
    return person.token(grant_type=GRANT, device_code=begun["device_code"])


def test_a_person_approves_and_the_program_is_signed_in_once(shared, person, browser, begun):
    assert begun["verification_uri"] == f"{shared.url}/device"
    assert begun["verification_uri_complete"] == f"{shared.url}/device?user_code={begun['user_code']}"
    waiting = poll(person, begun)
    assert (waiting.status, waiting.json["error"]) == (400, "authorization_pending")
    page = browser.open(begun["user_code"])
    shown = page.body.decode()
    for fact in (begun["user_code"], "relayfile/9.9.9 daemon", "box7", "4242", "change files in your workspaces"):
        assert fact in shown
    fields = {"mark": browser.mark(page), "user_code": begun["user_code"], "username": OWNER, "answer": "approve"}
    wrong = browser.send(**fields, password="wrong")
    assert wrong.status == 403
    assert "Wrong user name or password" in wrong.body.decode()
    assert f'value="{OWNER}"' in wrong.body.decode()
    approved = browser.send(**fields, password=PASSWORD)
    assert approved.status == 200
    assert "Approved" in approved.body.decode()
    grant = until(
        lambda: (answer := poll(person, begun)).status == 200 and answer.json, within_s=10, what="a pair", every_s=1
    )
    assert grant["username"] == OWNER
    assert person.whoami(grant["access_token"]).status == 200
    [event] = [event for event in shared.audit() if event["family"] == grant["family"]]
    assert (event["event"], event["reason"], event["host"]) == ("issued", "device", "box7")
    assert poll(person, begun).json["error"] == "expired_token"
    assert browser.open(begun["user_code"]).status == 404


def test_a_person_says_no(person, browser, begun):
    page = browser.open(begun["user_code"])
    denied = browser.send(mark=browser.mark(page), user_code=begun["user_code"], answer="deny")
    assert "Denied" in denied.body.decode()
    assert poll(person, begun).json["error"] == "access_denied"


def test_asking_too_often_is_told_to_slow_down(person, begun):
    poll(person, begun)
    assert poll(person, begun).json["error"] == "slow_down"


def test_a_code_is_read_whatever_its_case_and_dashes(browser, begun):
    typed = begun["user_code"].lower().replace("-", "%20")
    assert begun["user_code"] in browser.open(typed).body.decode()


def test_a_form_from_elsewhere_approves_nothing(shared, person, browser, begun):
    page = browser.open(begun["user_code"])
    mark = browser.mark(page)
    fields = {"user_code": begun["user_code"], "username": OWNER, "password": PASSWORD, "answer": "approve"}
    assert browser.send(**fields).status == 403  # no mark
    assert browser.send(**fields, mark=mark, headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    other = Browser(shared)
    other.open(begun["user_code"])
    assert other.send(**fields, mark=mark).status == 403  # another browser's cookie
    other.cookie = {}
    assert other.send(**fields, mark=mark).status == 403  # no cookie
    other.http.close()
    assert poll(person, begun).json["error"] == "authorization_pending"


def test_the_mark_of_one_code_is_no_mark_for_another(person, browser, begun):
    second = person.http.ok("POST", "/oauth/device_authorization", form={"client_id": "relayfile-cli"})
    mark = browser.mark(browser.open(begun["user_code"]))
    answer = browser.send(
        mark=mark, user_code=second["user_code"], username=OWNER, password=PASSWORD, answer="approve"
    )
    assert answer.status == 403


def test_what_a_program_says_of_itself_is_shown_and_not_run(person, browser):
    person.http.agent = "<script>alert(1)</script>"
    begun = person.http.ok("POST", "/oauth/device_authorization", form={"client_id": "relayfile-cli"})
    page = browser.open(begun["user_code"])
    assert "<script" not in page.body.decode()
    assert "&lt;script&gt;" in page.body.decode()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


def test_the_pages_need_nothing_from_elsewhere(browser, begun):
    for page in (browser.open(""), browser.open(begun["user_code"])):
        html = page.body.decode()
        assert not re.search(r'(?:src|href|action)="(?!/)', html)
        style = re.search(r'rel="stylesheet" href="([^"]+)"', html)[1]
        assert browser.http.ask("GET", style).headers["content-type"].startswith("text/css")
    assert "url(" not in browser.http.ask("GET", style).body.decode()


def test_guessing_codes_is_slowed_down(start_server):
    browser = Browser(start_server())
    statuses = [browser.open("BBBB-BBBB").status for _ in range(21)]
    assert statuses == 20 * [404] + [429]
    browser.http.close()
