"""`/oauth/token` and the tokens it gives: sign-in, renewal, repeat, theft, end (3-protocol A7, 4-sessions C)."""

import secrets
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from people import AGENT, Person, events_of
from servers import OWNER, PASSWORD
from waiting import until


def test_a_sign_in_answers_everything_a_client_must_know(shared, owner):
    grant = owner.grant
    assert grant["token_type"] == "Bearer"
    assert 0.9 * 1_800 <= grant["expires_in"] <= 1_800
    assert grant["refresh_token_expires_in"] == pytest.approx(30 * 86_400, abs=2)
    assert grant["generation"] == 1
    assert grant["api_url"] == shared.url
    assert grant["refresh_token"].startswith(f"cld_rt_{grant['family']}.1.")
    assert grant["access_token"].startswith("cld_at_")
    me = owner.whoami().json
    assert (me["username"], me["kind"], me["family"], me["generation"]) == (OWNER, "owner", grant["family"], 1)
    assert me["account"] == grant["account"]


@pytest.mark.parametrize("given", [{"password": "wrong"}, {"username": "nobody-at-all"}])
def test_a_wrong_password_and_an_unknown_name_are_told_alike(person, given):
    answer = person.token(**{"grant_type": "password", "username": OWNER, "password": PASSWORD, **given})
    assert answer.status == 400
    assert (answer.json["error"], answer.json["error_reason"]) == ("invalid_grant", "wrong_password")
    assert answer.json["error_description"] == "wrong user name or password"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"client_id": "someone-else", "grant_type": "password"}, 401, "invalid_client"),
        ({"client_id": "", "grant_type": "password"}, 401, "invalid_client"),
        ({}, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"grant_type": "password", "username": OWNER}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "refresh_nonce": "not hex"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b", "scope": "admin:read"}, 400, "invalid_scope"),
        ({"grant_type": "refresh_token", "refresh_token": "cld_rt_x"}, 400, "invalid_grant"),
    ],
)
def test_a_request_that_cannot_be_met_says_why_in_the_standard_words(person, fields, status, error):
    answer = person.token(**fields)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert answer.json["request_id"]


def test_a_body_that_is_no_form_is_refused(person):
    answer = person.http.ask("POST", "/oauth/token", body={"grant_type": "password"})
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    twice = person.http.ask(
        "POST",
        "/oauth/token",
        raw=b"client_id=relayfile-cli&client_id=x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (twice.status, twice.json["error"]) == (400, "invalid_request")


def test_a_renewal_gives_the_next_generation_and_the_old_access_token_lives_on(owner):
    answer = owner.renew(owner.grant["refresh_token"])
    assert answer.status == 200
    assert answer.headers["x-refresh-outcome"] == "rotated"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["generation"] == 2
    assert answer.json["family"] == owner.grant["family"]
    assert owner.whoami(owner.grant["access_token"]).status == 200
    assert owner.whoami(answer.json["access_token"]).json["generation"] == 2


def test_the_same_attempt_is_answered_with_the_same_successor(shared, owner):
    nonce = secrets.token_hex(16)
    first = owner.renew(owner.grant["refresh_token"], nonce)
    again = owner.renew(owner.grant["refresh_token"], nonce)
    assert again.headers["x-refresh-outcome"] == "retry"
    assert again.json["refresh_token"] == first.json["refresh_token"]
    assert again.json["access_token"] != first.json["access_token"]
    assert [event["event"] for event in events_of(shared, owner.grant["family"])] == ["issued", "rotated", "replayed"]


def test_a_consumed_token_with_another_nonce_ends_the_family_and_is_recorded(shared, owner):
    renewed = owner.renew(owner.grant["refresh_token"]).json
    thief = Person(shared)
    thief.http.agent = "curl/8"
    answer = thief.renew(owner.grant["refresh_token"])
    assert answer.status == 400
    assert answer.json["error"] == "invalid_grant"
    assert answer.json["error_reason"] == "reuse_detected"
    assert (answer.json["family"], answer.json["generation"]) == (owner.grant["family"], 1)
    for token in (owner.grant["access_token"], renewed["access_token"]):
        refusal = owner.whoami(token)
        assert (refusal.status, refusal.json["code"]) == (401, "token_revoked")
    assert owner.renew(renewed["refresh_token"]).json["error_reason"] == "reuse_detected"
    told = events_of(shared, owner.grant["family"])
    assert [event["event"] for event in told] == ["issued", "rotated", "reused", "rejected"]
    by_owner, by_thief = told[1], told[2]
    assert (by_owner["client"], by_owner["host"], by_owner["pid"]) == ("relayfile/9.9.9 daemon", "box7", 4242)
    assert (by_thief["client"], by_thief["host"], by_thief["pid"]) == ("curl/8", "127.0.0.1", None)
    assert (by_thief["generation"], by_thief["reason"]) == (1, "reuse_detected")
    thief.http.close()


def test_many_copies_of_one_attempt_at_once_make_one_rotation(shared, owner):
    nonce, start = secrets.token_hex(16), threading.Barrier(24)

    def renew(_):
        somebody = Person(shared)
        start.wait()
        answer = somebody.renew(owner.grant["refresh_token"], nonce)
        somebody.http.close()
        return answer

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(renew, range(24)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    told = [event["event"] for event in events_of(shared, owner.grant["family"])]
    assert told.count("rotated") == 1
    assert told.count("replayed") == 23


def test_many_holders_of_one_token_at_once_get_at_most_one_pair_and_the_family_ends(shared, owner):
    start = threading.Barrier(16)

    def renew(_):
        somebody = Person(shared)
        start.wait()
        answer = somebody.renew(owner.grant["refresh_token"])
        somebody.http.close()
        return answer

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(answer.status for answer in pool.map(renew, range(16)))
    assert statuses == [200] + 15 * [400]
    told = [event["event"] for event in events_of(shared, owner.grant["family"])]
    assert (told.count("rotated"), told.count("reused"), told.count("rejected")) == (1, 1, 14)


def test_signing_out_ends_the_family_and_its_access_tokens(shared, owner):
    form = {"client_id": "relayfile-cli", "token": owner.grant["refresh_token"]}
    assert owner.http.ask("POST", "/oauth/revoke", form=form).status == 200
    assert owner.whoami().json["code"] == "token_revoked"
    last = events_of(shared, owner.grant["family"])[-1]
    assert (last["event"], last["reason"]) == ("revoked", "logged_out")
    assert owner.http.ask("POST", "/oauth/revoke", form=form | {"token": "cld_rt_nothing"}).status == 200


def test_a_sign_in_that_could_not_be_saved_is_on_record_as_that_and_a_made_up_reason_as_none(shared, person):
    for said, recorded in (("not_saved", "not_saved"), ("replaced", "replaced"), ("made up", "logged_out")):
        grant = person.sign_in()
        form = {"client_id": "relayfile-cli", "token": grant["refresh_token"], "reason": said}
        assert person.http.ask("POST", "/oauth/revoke", form=form).status == 200
        assert events_of(shared, grant["family"])[-1]["reason"] == recorded
        refused = person.renew(grant["refresh_token"]).json
        assert refused["error_reason"] == recorded


def test_a_narrow_sign_in_stays_narrow(person):
    person.sign_in(scope="fs:read")
    assert person.grant["scope"] == "fs:read"
    assert person.http.ask("POST", "/api/v1/workspaces", body={"name": "x"}).status == 403
    assert person.http.ask("GET", "/api/v1/auth/sessions").status == 403
    assert person.renew(person.grant["refresh_token"]).json["scope"] == "fs:read"


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "login_required"), ("cld_at_unknown", "token_invalid"), ("a.b.c", "token_invalid"), ("x", "token_invalid")],
)
def test_a_401_says_what_is_wrong_with_the_token(person, token, code):
    answer = person.whoami(token)
    assert (answer.status, answer.json["code"]) == (401, code)


def test_the_old_prefixes_of_tokens_are_ignored(owner):
    for prefix in ("relay_pa_", "relay_ws_", "relay_id_", "relay_ag_"):
        assert owner.whoami(prefix + owner.grant["access_token"]).status == 200


def test_the_owners_word_signs_in_once_and_another_takes_its_place(shared, person):
    file = shared.data / "owner-signin"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    word = file.read_text().strip()
    form = {"grant_type": "urn:relayfile:params:oauth:grant-type:owner-signin", "owner_signin": word}
    assert person.token(**form).json["username"] == OWNER
    again = person.token(**form)
    assert (again.status, again.json["error_reason"]) == (400, "wrong_owner_signin")
    assert file.read_text().strip() != word


def test_an_access_token_expires_by_itself_and_says_so(start_server):
    server = start_server(access_ttl="1s", refresh_overlap="0s")
    somebody = Person(server)
    somebody.sign_in()
    assert somebody.whoami().status == 200
    expired = until(
        lambda: (answer := somebody.whoami()).status == 401 and answer, within_s=3, what="the token expires"
    )
    assert expired.json["code"] == "token_expired"
    assert somebody.renew(somebody.grant["refresh_token"]).status == 200
    somebody.http.close()


def test_guessing_passwords_is_slowed_down_and_guessing_tokens_ends_nothing(start_server):
    server = start_server()
    somebody = Person(server)
    grant = somebody.sign_in()
    wrong = grant["refresh_token"][:-4] + ("aaaa" if not grant["refresh_token"].endswith("aaaa") else "bbbb")
    answers = [somebody.renew(wrong) for _ in range(31)]
    assert {answer.json["error_reason"] for answer in answers[:30]} == {"malformed"}
    assert (answers[30].status, answers[30].json["error"]) == (429, "slow_down")
    assert somebody.renew(grant["refresh_token"]).status == 200
    told = [event for event in server.audit() if event["event"] == "rejected"]
    assert len(told) == 30
    guesses = [somebody.token(grant_type="password", username=OWNER, password=str(n)) for n in range(11)]
    assert [answer.status for answer in guesses] == 10 * [400] + [429]
    assert int(guesses[10].headers["retry-after"]) > 60
    somebody.http.close()


def test_sign_ins_outlive_a_crash_of_the_server_and_no_token_is_stored_anywhere(start_server):
    server = start_server()
    somebody = Person(server)
    grant = somebody.sign_in()
    nonce = secrets.token_hex(16)
    renewed = somebody.renew(grant["refresh_token"], nonce).json
    somebody.http.close()
    server.kill()
    secret = [
        pair[key].split(".")[-1].encode() for pair in (grant, renewed) for key in ("access_token", "refresh_token")
    ]
    secret += [PASSWORD.encode(), nonce.encode()]
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert not [path for path in [*files, server.log] for word in secret if word in path.read_bytes()]
    for path in (server.data / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    server.start()
    somebody.http.url = server.url
    assert somebody.whoami(renewed["access_token"]).status == 200
    again = somebody.renew(grant["refresh_token"], nonce)
    assert (again.headers["x-refresh-outcome"], again.json["refresh_token"]) == ("retry", renewed["refresh_token"])
    assert somebody.renew(renewed["refresh_token"]).json["generation"] == 3
    somebody.http.close()


def test_the_metadata_says_where_everything_is(shared, person):
    told = person.http.ok("GET", "/.well-known/oauth-authorization-server")
    assert told["issuer"] == shared.url
    assert told["token_endpoint"] == f"{shared.url}/oauth/token"
    assert told["refresh_nonce_supported"] is True
    assert person.http.ask("POST", told["token_endpoint"].removeprefix(shared.url), form={}).status == 401
    assert person.http.agent == AGENT
