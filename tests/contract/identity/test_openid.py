"""Sign-in through an OpenID Connect provider: a real one, and one that lies in every way we could think of."""

import html
import re
import time
from contextlib import closing
from urllib.parse import parse_qs, parse_qsl, quote, quote_plus, urlsplit

import pytest

from leaks import written_below
from openid_providers import (
    ADA,
    BOB,
    CLIENT_ID,
    CLIENT_SECRET,
    MALLORY,
    UNSURE,
    client_secret,
    ec_key,
    lying_provider,
    real_provider,
    rsa_key,
    serve_options,
)
from people import Person, add_account
from plain_http import PlainHttp
from relayfile.server.store.database import connect
from servers import OWNER, PASSWORD

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
BACK = "http://127.0.0.1:5123/callback"


class Browser:
    """A browser at our server: it keeps cookies, and goes where the pages send it only when told."""

    def __init__(self, server):
        self.http = PlainHttp(server.url, agent="Mozilla/5.0")
        self.folder = server.folder
        self.cookies = {}
        self.secrets = {CLIENT_SECRET, quote(CLIENT_SECRET), quote_plus(CLIENT_SECRET)}
        """What nobody may write down: cookies, and what the provider sends through the browser."""

    def get(self, path):
        return self._seen(self.http.ask("GET", path, headers=self._cookie()))

    def leave(self, path, **changes):
        """The page at `path`, and from it the way to the provider: the address the browser is sent to."""
        page = self.get(path).body.decode()
        form = re.search(r'<form method="post" action="([^"]+)" class="provider">(.*?)</form>', page, re.DOTALL)
        assert form, page
        pairs = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[2])
        fields = {name: html.unescape(value) for name, value in pairs} | {"answer": "provider"} | changes
        answer = self._seen(self.http.ask("POST", form[1], form=fields, headers=self._cookie()))
        assert answer.status == 200, answer.body
        assert "location" not in answer.headers, "the policy of a form would bind where the provider leads"
        return answer.headers["refresh"].removeprefix("0; url=")

    def come_back(self, address):
        """What our server says to the browser that the provider sent to `address`."""
        assert address.startswith(self.http.url)
        self.secrets.update(value for name, value in parse_qsl(urlsplit(address).query) if name in {"code", "state"})
        return self.get(address.removeprefix(self.http.url))

    def _cookie(self):
        return (
            {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        )

    def _seen(self, answer):
        if "set-cookie" in answer.headers:
            name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value
            self.secrets.add(value)
        return answer

    def written_down(self):
        """Where the server wrote down one of the secrets, long enough to be one."""
        secrets = [secret.encode() for secret in self.secrets if len(secret) >= 12]
        return [where for where, content in written_below(self.folder) if any(one in content for one in secrets)]


@pytest.fixture
def new_browser(place):
    """Makes browsers; in the end nothing that is secret between them and the server was written down there.

    It asks for `place` so that what the servers wrote is still to be read.
    """
    made = []

    def make(server):
        made.append(Browser(server))
        return made[-1]

    yield make
    for one in made:
        one.http.close()
    assert not (open_ := {where for one in made for where in one.written_down()}), open_


@pytest.fixture
def provider():
    with lying_provider() as made:
        yield made


@pytest.fixture
def home(start_server, provider, place):
    """A server whose provider may lie; everybody of example.org may come in, and ada is the owner."""
    secret = client_secret(place)
    options = serve_options(provider.issuer, secret, "--oidc-domain", "example.org")
    return start_server(options=options, expected=[r"a sign-in through .* proved nobody"])


@pytest.fixture
def browser(new_browser, home):
    return new_browser(home)


def begin(server):
    """A sign-in that waits for a person: the program that waits, and the page that is for the person."""
    person = Person(server)
    form = {"client_id": "relayfile-cli", "refresh_nonce_supported": "1"}
    begun = person.http.ok("POST", "/oauth/device_authorization", form=form)
    return person, begun, f"/device?user_code={begun['user_code']}"


def outcome(person, begun):
    """What the waiting program hears, asking as often as it may."""
    while True:
        answer = person.token(grant_type=GRANT, device_code=begun["device_code"])
        if answer.json.get("error") != "slow_down":
            return answer
        time.sleep(0.5)  # the server said so; it is counting real seconds


def sign_in(server, browser, provider):
    """Who the waiting program is signed in as, or the page that refused."""
    person, begun, page = begin(server)
    with closing(person.http):
        back = browser.come_back(provider.authorize(browser.leave(page)))
        heard = outcome(person, begun)
        if heard.status == 200:
            assert back.status == 200
            assert "Approved" in back.body.decode()
            return heard.json["username"]
        assert heard.json["error"] == "authorization_pending"
        assert back.status in {403, 503}, back.body
        return re.search(r'role="alert">([^<]*)<', back.body.decode())[1]


# ------------------------------------------------------------------------------------------- a real provider


def authorize_at(url, address, person, action=None):
    """A person at the real provider's page says yes, or no; where the browser is sent."""
    with closing(PlainHttp(url)) as http:
        form = {"action": action} if action else {"sub": person["sub"]}
        answer = http.ask("POST", address.removeprefix(url), form=form)
        assert answer.status == 302, answer.body
        return answer.headers.get("Location") or answer.headers["location"]


def test_people_sign_in_through_a_real_provider(start_server, new_browser, place):
    with real_provider(place, ADA, BOB, MALLORY, UNSURE) as url:
        options = serve_options(url, client_secret(place), "--oidc-domain", "example.org")
        server = start_server(options=[*options, "--oidc-account", f"{OWNER}=ada@example.org"])
        seen = {}
        for name, whom in {"ada": ADA, "bob": BOB, "mallory": MALLORY, "unsure": UNSURE, "ada again": ADA}.items():
            browser, (person, begun, page) = new_browser(server), begin(server)
            with closing(person.http):
                back = browser.come_back(authorize_at(url, browser.leave(page), whom))
                heard = outcome(person, begun).json
                seen[name] = heard.get("username") or re.search(r'alert">([^<]*)<', back.body.decode())[1]
        assert seen == {
            "ada": OWNER,
            "bob": "bob@example.org",
            "mallory": "The address mallory@evil.example is not among those that may sign in here.",
            "unsure": "The provider does not vouch for an e-mail address of yours.",
            "ada again": OWNER,
        }


def test_a_person_who_says_no_at_a_real_provider_may_go_on_with_a_password(start_server, new_browser, place):
    with real_provider(place, ADA) as url:
        options = serve_options(url, client_secret(place), "--oidc-domain", "example.org")
        server = start_server(options=options)
        browser, (person, begun, page) = new_browser(server), begin(server)
        back = browser.come_back(authorize_at(url, browser.leave(page), ADA, action="deny"))
        assert back.status == 403
        shown = browser.get(page).body.decode()
        mark = re.search(r'name="mark" value="([\w-]+)"', shown)[1]
        fields = {"mark": mark, "user_code": begun["user_code"], "username": OWNER, "password": PASSWORD}
        answer = browser.http.ask("POST", "/device", form=fields | {"answer": "approve"}, headers=browser._cookie())
        assert "Approved" in answer.body.decode()
        assert outcome(person, begun).json["username"] == OWNER
        person.http.close()


# --------------------------------------------------------------------------------------------- the way there and back


def test_the_page_shows_what_asks_before_the_provider_is_offered(home, browser):
    person, _, page = begin(home)
    person.http.close()
    shown = browser.get(page).body.decode()
    assert shown.index("box7") < shown.index("change files in your workspaces") < shown.index("Continue with Example")


def test_a_program_of_the_older_protocol_is_signed_in_through_the_provider(home, browser, provider):
    page = f"/api/v1/cli/login?redirect_uri={quote(BACK)}&state=mine%26more"
    back = browser.come_back(provider.authorize(browser.leave(page)))
    assert back.status == 303
    assert back.headers["location"].startswith(BACK + "?")
    told = {name: values[0] for name, values in parse_qs(urlsplit(back.headers["location"]).query).items()}
    assert told["state"] == "mine&more"
    person = Person(home)
    assert person.whoami(told["access_token"]).json["username"] == "ada@example.org"
    person.http.close()


def test_a_person_is_made_once_and_stays_who_they_are_when_their_address_changes(home, browser, provider):
    assert sign_in(home, browser, provider) == "ada@example.org"
    provider.person = ADA | {"email": "ada.lovelace@example.org"}
    assert sign_in(home, browser, provider) == "ada@example.org"
    provider.person = ADA | {"sub": "somebody who has her old address now"}
    assert sign_in(home, browser, provider) == (
        "There is an account &#39;ada@example.org&#39; already, and it is not known yours."
    )
    provider.person = ADA | {"email": "ada@elsewhere.example"}
    assert "not among those that may sign in" in sign_in(home, browser, provider)


def test_an_account_with_a_password_is_nobodys_by_its_name(home, browser, provider):
    add_account(home.data, "bob@example.org", "bob's own secret")
    provider.person = BOB
    assert "already" in sign_in(home, browser, provider)


def test_the_password_of_an_account_that_the_provider_made_is_nobodys(home, browser, provider):
    sign_in(home, browser, provider)
    person = Person(home)
    for guess in ("", "None", "!", "ada@example.org"):
        answer = person.token(grant_type="password", username="ada@example.org", password=guess)
        assert answer.status == 400
    person.http.close()


def test_an_address_comes_from_userinfo_when_the_token_has_none_and_only_for_the_same_person(home, browser, provider):
    provider.claims = {"email": None, "email_verified": None}
    provider.userinfo = ADA
    assert sign_in(home, browser, provider) == "ada@example.org"
    provider.userinfo = MALLORY
    assert "two different people" in sign_in(home, browser, provider)


def test_a_provider_that_changes_its_key_is_believed_and_asked_once(home, browser, provider, monkeypatch):
    assert sign_in(home, browser, provider) == "ada@example.org"
    provider.algorithm, provider.key = "ES256", ec_key("two")
    refused = sign_in(home, browser, provider)
    assert "key of its own" in refused, "asked for its keys a moment ago"
    assert provider.asked.count("GET /keys") == 1
    assert provider.asked.count("GET /.well-known/openid-configuration") == 1


# ------------------------------------------------------------------------------------------------------ lies


LIES = {
    "another issuer": {"iss": "https://evil.example"},
    "another program": {"aud": "somebody else"},
    "several programs, none named": {"aud": [CLIENT_ID, "other"]},
    "given to another program": {"aud": [CLIENT_ID, "other"], "azp": "other"},
    "another sign-in": {"nonce": "n" * 43},
    "no nonce": {"nonce": None},
    "expired": {"exp": 1_000_000},
    "from the future": {"iat": 9_999_999_999},
    "never ends": {"exp": None},
    "nobody": {"sub": ""},
    "no subject": {"sub": None},
    "a subject that is no text": {"sub": {"a": 1}},
}


def test_a_token_that_is_not_for_this_sign_in_proves_nobody(home, browser, provider):
    said = {}
    for lie, claims in LIES.items():
        provider.claims = claims
        said[lie] = sign_in(home, browser, provider)
    believed = {lie: answer for lie, answer in said.items() if not answer.startswith("Example did not prove who you")}
    assert not believed


def test_a_token_signed_by_nobody_by_another_or_by_what_everybody_knows_proves_nobody(home, browser, provider):
    real = provider.key
    provider.shown_keys = [real.as_dict(private=False)]
    provider.algorithm = "none"
    assert "key of its own" in sign_in(home, browser, provider)
    provider.algorithm, provider.key = "RS256", rsa_key("one")
    assert "key of its own" in sign_in(home, browser, provider)
    provider.algorithm, provider.key = "HS256", real
    provider.metadata = {"id_token_signing_alg_values_supported": ["HS256", "none", "RS256"]}
    assert "key of its own" in sign_in(home, browser, provider)


@pytest.mark.parametrize("changes", [{"iss": "https://evil.example"}, {"iss": ""}], ids=["other", "missing"])
def test_an_answer_of_another_provider_is_not_taken_to_this_one(home, browser, provider, changes):
    person, begun, page = begin(home)
    back = browser.come_back(provider.authorize(browser.leave(page), **changes))
    assert back.status == 403
    assert "POST /token" not in provider.asked, "the code was shown to nobody"
    assert outcome(person, begun).json["error"] == "authorization_pending"
    person.http.close()


def test_a_person_who_says_no_at_the_provider_is_led_back_to_the_page(home, browser, provider):
    person, begun, page = begin(home)
    no = provider.authorize(browser.leave(page), error="access_denied", code="")
    back = browser.come_back(no)
    assert (back.status, "told no" in back.body.decode()) == (403, True)
    assert html.unescape(re.search(r'<a href="([^"]+)"', back.body.decode())[1]) == page
    assert browser.get(page).status == 200
    assert outcome(person, begun).json["error"] == "authorization_pending"
    person.http.close()


def test_another_browser_cannot_come_back_in_place_of_the_one_that_left(home, browser, new_browser, provider):
    person, begun, page = begin(home)
    address = provider.authorize(browser.leave(page))
    other = new_browser(home)
    assert other.come_back(address).status == 403
    other.leave(page)  # with a cookie of its own
    assert other.come_back(address).status == 403
    assert "POST /token" not in provider.asked
    assert browser.come_back(address).status == 200
    assert browser.come_back(address).status == 403, "once"
    assert outcome(person, begun).status == 200
    person.http.close()


def test_a_state_is_good_for_ten_minutes(home, browser, provider):
    person, _, page = begin(home)
    person.http.close()
    address = provider.authorize(browser.leave(page))
    with closing(connect(next(home.data.glob("*.db")))) as connection, connection:
        connection.execute("UPDATE openid_attempt SET expires_at = 1")
    assert "took too long" in browser.come_back(address).body.decode()


def test_a_page_of_another_site_cannot_send_a_browser_to_the_provider(home, browser):
    person, begun, page = begin(home)
    person.http.close()
    browser.get(page)
    fields = {"user_code": begun["user_code"], "answer": "provider", "mark": "x" * 43}
    answer = browser.http.ask("POST", "/device", form=fields, headers=browser._cookie())
    assert answer.status == 403
    assert "refresh" not in answer.headers


def test_what_is_kept_of_a_sign_in_on_its_way_lets_nobody_in(home, browser, provider):
    person, _, page = begin(home)
    person.http.close()
    address = browser.leave(page)
    sent = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    kept = b"".join(path.read_bytes() for path in home.data.glob("*.db*"))
    for secret in (sent["state"], sent["nonce"], browser.cookies["relayfile_openid"]):
        assert secret.encode() not in kept


# --------------------------------------------------------------------------------------------------- trouble


DISCOVERY = "/.well-known/openid-configuration"


def page_says(browser, server):
    """The approval page, after the person chose the provider."""
    person, begun, page = begin(server)
    person.http.close()
    mark = re.search(r'name="mark" value="([\w-]+)"', browser.get(page).body.decode())[1]
    fields = {"user_code": begun["user_code"], "answer": "provider", "mark": mark}
    answer = browser.http.ask("POST", "/device", form=fields, headers=browser._cookie())
    assert 'name="password"' in answer.body.decode(), "a password still works"
    return html.unescape(re.search(r'role="alert">([^<]*)<', answer.body.decode())[1])


def test_a_provider_in_trouble_is_said_and_passwords_work(home, browser, provider):
    for answer in ((500, b"{}"), (200, b"<html>"), (200, b"[]"), (302, b"/elsewhere"), (200, b" " * 1_100_000)):
        provider.instead[DISCOVERY] = answer
        assert page_says(browser, home).startswith("Example cannot sign anybody in now"), answer[1][:20]
    del provider.instead[DISCOVERY]
    assert sign_in(home, browser, provider) == "ada@example.org", "nothing of it is remembered"


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://evil.example"}, "another name"),
        ({"token_endpoint": "file:///etc/passwd"}, "not https"),
        ({"jwks_uri": "ftp://127.0.0.1/keys"}, "not https"),
    ],
)
def test_a_provider_that_is_another_than_it_was_said_to_be_is_not_used(home, browser, provider, metadata, why):
    home.expected.append("calls itself")
    provider.metadata = metadata
    assert why in page_says(browser, home)


def test_a_client_secret_that_the_provider_refuses_is_told_to_the_operator(
    start_server, new_browser, place, provider
):
    secret = place / "wrong"
    secret.write_text("not the secret\n")
    options = serve_options(provider.issuer, secret, "--oidc-domain", "example.org")
    server = start_server(options=options, expected=["refuses this server: 401 invalid_client"])
    assert "refuses this server" in sign_in(server, new_browser(server), provider)
    assert server.expected[0] in server.said()
    assert "not the secret" not in server.said()


def test_leaving_for_the_provider_is_slowed_down(home, browser, provider):
    person, _, page = begin(home)
    person.http.close()
    for _ in range(30):
        browser.leave(page)
    with pytest.raises(AssertionError, match="429"):
        browser.leave(page)


def test_without_a_provider_nothing_is_offered(shared, new_browser):
    browser, (person, begun, page) = new_browser(shared), begin(shared)
    person.http.close()
    shown = browser.get(page).body.decode()
    assert "provider" not in shown
    assert browser.get("/openid/callback?state=x&code=y").status == 404
    mark = re.search(r'name="mark" value="([\w-]+)"', shown)[1]
    fields = {"user_code": begun["user_code"], "answer": "provider", "mark": mark}
    assert "Denied" in browser.http.ask("POST", "/device", form=fields, headers=browser._cookie()).body.decode()
