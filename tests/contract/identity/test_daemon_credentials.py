"""Credentials of daemons: enrolment, renewal, what a thief gets, and whose word ends them (R10, R11)."""

import base64
import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon_keys import ACCESS, EXCHANGE, REFRESH, DaemonKey, b64
from people import Person, add_account, events_of
from servers import OWNER
from waiting import until


@pytest.fixture
def workspace(owner):
    """A workspace of the owner's."""
    return owner.http.ok("POST", "/api/v1/workspaces", body={"name": secrets.token_hex(4)})["workspaceId"]


@pytest.fixture
def key():
    return DaemonKey()


@pytest.fixture
def enrolled(owner, workspace, key):
    """A daemon credential: what the server answered."""
    answer = key.enrol(owner, workspace)
    assert answer.status == 200, answer
    return answer.json


def get(person, token, path):
    """What the server says to `GET path` with this token."""
    kept, person.http.token = person.http.token, token
    try:
        return person.http.ask("GET", path)
    finally:
        person.http.token = kept


def test_a_client_can_tell_that_the_server_has_daemon_credentials(person):
    told = person.http.ok("GET", "/.well-known/oauth-authorization-server")
    assert told["dpop_signing_alg_values_supported"] == ["ES256"]
    assert EXCHANGE in told["grant_types_supported"]


def test_an_enrolment_answers_a_family_of_its_own_bound_to_the_key(shared, owner, workspace, key, enrolled):
    assert enrolled["family"] != owner.grant["family"]
    assert (enrolled["kind"], enrolled["generation"], enrolled["jkt"]) == ("daemon", 1, key.thumbprint)
    assert (enrolled["workspace"], enrolled["mirror"]) == (workspace, "m1")
    assert (enrolled["token_type"], enrolled["issued_token_type"]) == ("Bearer", REFRESH)
    assert 0.9 * 900 <= enrolled["expires_in"] <= 900
    assert enrolled["refresh_token_expires_in"] == pytest.approx(30 * 86_400, abs=2)
    assert enrolled["scope"] == "fs:read fs:write ops:read sync:read sync:trigger"
    assert (enrolled["api_url"], enrolled["username"]) == (shared.url, OWNER)
    row = owner.sessions()[enrolled["family"]]
    assert (row["kind"], row["mirror"], row["workspace"]) == ("daemon", "m1", workspace)
    assert (row["parent"], row["username"], row["current"]) == (owner.grant["family"], OWNER, False)
    assert (row["client"], row["host"], row["pid"]) == ("relayfile/9.9.9 daemon", "box7", 4242)
    [issued] = events_of(shared, enrolled["family"])
    assert (issued["event"], issued["reason"], issued["generation"]) == ("issued", "enrolment", 1)


def test_a_renewal_gives_an_access_token_and_the_same_refresh_token_each_time(shared, owner, key, enrolled):
    tokens = {enrolled["access_token"]}
    owner.http.agent = "relayfile/9.9.9 (daemon; box8; 77)"
    for _ in range(3):
        answer = key.renew(owner, enrolled["refresh_token"])
        assert (answer.status, answer.headers["x-refresh-outcome"]) == (200, "renewed")
        assert answer.json["refresh_token"] == enrolled["refresh_token"]
        assert (answer.json["family"], answer.json["generation"]) == (enrolled["family"], 1)
        tokens.add(answer.json["access_token"])
    assert len(tokens) == 4
    assert all(owner.whoami(token).json["family"] == enrolled["family"] for token in tokens)
    row = owner.sessions()[enrolled["family"]]
    assert (row["host"], row["pid"], row["last_host"], row["last_pid"]) == ("box7", 4242, "box8", 77)
    assert row["last_used_at"] > row["created_at"]
    assert [event["event"] for event in events_of(shared, enrolled["family"])] == ["issued"] + 3 * ["renewed"]


def test_many_renewals_at_once_are_no_race(shared, owner, key, enrolled):
    start = threading.Barrier(8)
    key.renew(owner, enrolled["refresh_token"])

    def renew(_):
        somebody = Person(shared)
        start.wait()
        answer = key.renew(somebody, enrolled["refresh_token"])
        somebody.http.close()
        return answer.status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(renew, range(8))) == 8 * [200]
    assert {event["event"] for event in events_of(shared, enrolled["family"])} == {"issued", "renewed"}


def test_it_reaches_the_files_of_its_workspace_and_nothing_else(owner, workspace, enrolled):
    token = enrolled["access_token"]
    other = owner.http.ok("POST", "/api/v1/workspaces", body={"name": secrets.token_hex(4)})["workspaceId"]
    assert get(owner, token, f"/v1/workspaces/{workspace}/fs/tree?path=/").status == 200
    refused = get(owner, token, f"/v1/workspaces/{other}/fs/tree?path=/")
    assert (refused.status, refused.json["message"]) == (403, "workspace mismatch")
    assert [row["workspaceId"] for row in get(owner, token, "/api/v1/workspaces").json] == [workspace]
    assert get(owner, token, "/api/v1/auth/sessions").status == 403
    assert get(owner, token, "/api/v1/auth/events").status == 403
    kept, owner.http.token = owner.http.token, token
    assert owner.http.ask("DELETE", "/api/v1/auth/sessions?all=1").status == 403
    assert owner.http.ask("POST", f"/api/v1/workspaces/{workspace}/join", body={"agentName": "a"}).status == 403
    assert owner.http.ask("DELETE", f"/api/v1/workspaces/{workspace}").status == 403
    owner.http.token = kept


def test_a_thief_without_the_key_gets_nothing_and_ends_nothing(shared, owner, key, enrolled):
    thief, his_key = Person(shared), DaemonKey()
    thief.http.agent = "curl/8"
    for answer in (thief.renew(enrolled["refresh_token"]), his_key.renew(thief, enrolled["refresh_token"])):
        assert (answer.status, answer.json["error"], answer.json["error_reason"]) == (
            400,
            "invalid_dpop_proof",
            "unproven",
        )
    assert thief.renew_as_v1(enrolled["refresh_token"]).status == 403
    body = {"refreshToken": enrolled["refresh_token"]}
    assert thief.http.ask("POST", "/v1/tokens/refresh", body=body).status == 401
    assert key.renew(owner, enrolled["refresh_token"]).status == 200
    told = [(event["event"], event["client"]) for event in events_of(shared, enrolled["family"])]
    assert told == [
        ("issued", "relayfile/9.9.9 daemon"),
        *2 * [("rejected", "curl/8")],
        ("renewed", "relayfile/9.9.9 daemon"),
    ]
    thief.http.close()


def test_a_proof_serves_once(owner, key, enrolled):
    assert key.renew(owner, enrolled["refresh_token"]).status == 200
    proof = key.proof(f"{owner.http.url}/oauth/token")
    assert key.renew(owner, enrolled["refresh_token"], proof=proof).status == 200
    again = key.renew(owner, enrolled["refresh_token"], proof=proof)
    assert (again.status, again.json["error"]) == (400, "invalid_dpop_proof")
    assert key.renew(owner, enrolled["refresh_token"]).status == 200


def test_a_proof_that_enrolled_cannot_enrol_again(owner, workspace, key, enrolled):
    assert key.nonce
    proof = key.proof(f"{owner.http.url}/oauth/token")
    form = {
        "grant_type": EXCHANGE,
        "subject_token": owner.grant["access_token"],
        "subject_token_type": ACCESS,
        "requested_token_type": REFRESH,
        "workspace": workspace,
        "mirror": "m2",
    }
    assert key.ask(owner, form, proof=proof).status == 200
    before = owner.sessions().keys()
    again = key.ask(owner, form, proof=proof)
    assert (again.status, again.json["error"]) == (400, "invalid_dpop_proof")
    assert owner.sessions().keys() == before


@pytest.mark.parametrize("nonce", [None, "", "made up", "I3FOudgdN-ToE5xNnNgeLBaw315nPg6BZMEC7Lsq-1c"])
def test_a_missing_or_foreign_nonce_is_answered_with_a_good_one_and_uses_nothing_up(
    shared, owner, key, enrolled, nonce
):
    answer = key.renew(owner, enrolled["refresh_token"], nonce=nonce, jti="once")
    assert (answer.status, answer.json["error"]) == (400, "use_dpop_nonce")
    assert answer.headers["dpop-nonce"] == key.nonce
    assert answer.headers["cache-control"] == "no-store"
    assert key.renew(owner, enrolled["refresh_token"], jti="once").status == 200
    assert [event["event"] for event in events_of(shared, enrolled["family"])] == ["issued", "renewed"]


@pytest.mark.parametrize("iat", [0, 1_000_000_000, 99_999_999_999])
def test_no_clock_of_the_client_is_asked(owner, key, enrolled, iat):
    assert key.renew(owner, enrolled["refresh_token"], iat=iat).status == 200


def other_key(key, url):
    return key.proof(url, header={"jwk": DaemonKey().jwk})


def tampered(key, url):
    head, body, mac = key.proof(url).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{b64(json.dumps(claims | {'jti': 'another'}).encode())}.{mac}"


BAD = {
    "signed with another key": other_key,
    "changed after it was signed": tampered,
    "for GET": lambda key, url: key.proof(url, htm="GET"),
    "for another path": lambda key, url: key.proof(url.replace("token", "revoke")),
    "for another server": lambda key, _: key.proof("https://elsewhere.example/oauth/token"),
    "for no address": lambda key, _: key.proof("http://[::1"),
    "without a jti": lambda key, url: key.proof(url, jti=None),
    "with an empty jti": lambda key, url: key.proof(url, jti=""),
    "with an endless jti": lambda key, url: key.proof(url, jti="x" * 257),
    "without iat": lambda key, url: key.proof(url, iat=None),
    "without an address": lambda key, url: key.proof(url, htu=None),
    "of another type": lambda key, url: key.proof(url, header={"typ": "JWT"}),
    "of another algorithm": lambda key, url: key.proof(url, header={"alg": "ES384"}),
    "unsigned": lambda key, url: key.proof(url, header={"alg": "none"}).rpartition(".")[0] + ".",
    "with a shared secret": lambda key, url: key.proof(
        url, header={"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}
    ),
    "with a private key": lambda key, url: key.proof(url, header={"jwk": {**key.jwk, "d": "AA"}}),
    "without a key": lambda key, url: key.proof(url, header={"jwk": {}}),
    "with a point off the curve": lambda key, url: key.proof(
        url, header={"jwk": {**key.jwk, "x": b64(b"\x01" * 32)}}
    ),
    "with a curve nobody knows": lambda key, url: key.proof(url, header={"jwk": {**key.jwk, "crv": "P-999"}}),
    "with a key that is a list": lambda key, url: key.proof(url, header={"jwk": []}),
    "with numbers for a key": lambda key, url: key.proof(url, header={"jwk": {**key.jwk, "x": 7}}),
    "no token at all": lambda *_: "x",
    "three empty parts": lambda *_: "..",
    "not even ASCII": lambda *_: "é.é.é",
    "endless": lambda key, url: key.proof(url, more="x" * 5_000),
    "nested without end": lambda *_: f"{b64(b'[' * 2_500)}.e30.AA",
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_proof_that_does_not_hold_is_refused_and_never_a_verdict(shared, owner, key, enrolled, make):
    key.renew(owner, enrolled["refresh_token"])
    answer = key.renew(owner, enrolled["refresh_token"], proof=make(key, f"{owner.http.url}/oauth/token"))
    assert (answer.status, answer.json["error"]) == (400, "invalid_dpop_proof")
    assert "reuse" not in answer.body.decode()
    assert key.renew(owner, enrolled["refresh_token"]).status == 200


def test_an_address_may_be_written_in_other_ways(owner, key, enrolled):
    host = owner.http.url.removeprefix("http://")
    for htu in (f"HTTP://{host}/oauth/token", f"http://{host}/oauth/token?x=1#y"):
        assert key.renew(owner, enrolled["refresh_token"], htu=htu).status == 200


def test_two_proofs_are_no_proof(owner, key, enrolled):
    key.renew(owner, enrolled["refresh_token"])
    url = f"{owner.http.url}/oauth/token"
    one, two = key.proof(url), key.proof(url)
    form = f"grant_type=refresh_token&client_id=relayfile-cli&refresh_token={enrolled['refresh_token']}"
    connection = owner.http._connect()
    connection.putrequest("POST", "/oauth/token")
    for name, value in (
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", str(len(form))),
        ("DPoP", one),
        ("DPoP", two),
    ):
        connection.putheader(name, value)
    connection.endheaders(form.encode())
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    assert (answer.status, told["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"subject_token": ""}, ("invalid_request", "invalid_request")),
        ({"subject_token": "cld_at_unknown"}, ("invalid_request", "token_invalid")),
        ({"subject_token_type": REFRESH}, ("invalid_request", "invalid_request")),
        ({"subject_token_type": ""}, ("invalid_request", "invalid_request")),
        ({"requested_token_type": ACCESS}, ("invalid_request", "invalid_request")),
        ({"workspace": ""}, ("invalid_request", "invalid_request")),
        ({"workspace": "rw_0000000000000000"}, ("invalid_request", "workspace_not_found")),
        ({"mirror": ""}, ("invalid_request", "invalid_request")),
        ({"mirror": "x" * 81}, ("invalid_request", "invalid_request")),
        ({"mirror": "a\x1bb"}, ("invalid_request", "invalid_request")),
        ({"scope": "account:manage"}, ("invalid_scope", "invalid_scope")),
        ({"scope": "admin:read"}, ("invalid_scope", "invalid_scope")),
        ({"scope": "nonsense"}, ("invalid_scope", "invalid_scope")),
    ],
)
def test_an_enrolment_that_cannot_be_met_says_why_and_makes_nothing(owner, workspace, key, changed, told):
    before = owner.sessions().keys()
    answer = key.enrol(owner, workspace, **changed)
    assert (answer.json["error"], answer.json["error_reason"]) == told
    assert 400 <= answer.status < 500
    assert owner.sessions().keys() == before


def test_an_enrolment_without_a_proof_is_refused(owner, workspace):
    answer = owner.token(
        grant_type=EXCHANGE,
        subject_token=owner.grant["access_token"],
        subject_token_type=ACCESS,
        requested_token_type=REFRESH,
        workspace=workspace,
        mirror="m",
    )
    assert (answer.status, answer.json["error"]) == (400, "invalid_dpop_proof")


def test_only_a_persons_own_sign_in_enrols_and_only_where_they_are_a_member(
    owner, workspace, key, enrolled, stranger
):
    joined = owner.http.ok("POST", f"/api/v1/workspaces/{workspace}/join", body={"agentName": "a"})["token"]
    for token in (enrolled["access_token"], joined):
        answer = key.enrol(owner, workspace, subject_token=token)
        assert (answer.json["error"], answer.json["error_reason"]) == ("invalid_request", "not_a_sign_in")
    answer = key.enrol(stranger, workspace)
    assert answer.json["error_reason"] == "workspace_not_found"


def test_a_daemon_may_do_no_more_than_the_sign_in_that_enrolled_it(shared, owner, workspace, key):
    narrow = Person(shared)
    narrow.sign_in(scope="relayfile:fs:read:/docs/** relayfile:fs:write:/docs/a/**")
    assert key.enrol(narrow, workspace).json["scope"] == "relayfile:fs:read:/docs/** relayfile:fs:write:/docs/a/**"
    narrower = key.enrol(narrow, workspace, scope="relayfile:fs:read:/docs/b.txt")
    assert narrower.json["scope"] == "relayfile:fs:read:/docs/b.txt"
    for more in ("fs:read", "relayfile:fs:write:/docs/**", "relayfile:fs:read:/other"):
        assert key.enrol(narrow, workspace, scope=more).json["error"] == "invalid_scope"
    narrow.http.close()


def test_signing_out_leaves_the_daemon_alone_and_revoking_the_sign_in_ends_it_too(shared, owner, workspace, key):
    somebody = Person(shared)
    somebody.sign_in()
    first = key.enrol(somebody, workspace, "a").json
    form = {"client_id": "relayfile-cli", "token": somebody.grant["refresh_token"]}
    assert somebody.http.ask("POST", "/oauth/revoke", form=form).status == 200
    assert somebody.whoami().json["endedBy"] == OWNER
    assert key.renew(owner, first["refresh_token"]).status == 200

    somebody.sign_in()
    second = key.enrol(somebody, workspace, "b").json
    owner.http.agent = "relayfile/9.9.9 (cli; desk3; 7)"
    assert owner.http.ask("DELETE", f"/api/v1/auth/sessions/{somebody.grant['family']}").status == 204
    refused = key.renew(owner, second["refresh_token"])
    assert (refused.status, refused.json["error"], refused.json["error_reason"]) == (400, "invalid_grant", "revoked")
    assert (refused.json["ended_by"], refused.json["ended_from"]) == (OWNER, "desk3")
    assert refused.json["ended_at"].endswith("Z")
    assert f"revoked by {OWNER} from desk3" in refused.json["error_description"]
    told = somebody.whoami(second["access_token"]).json
    assert (told["code"], told["reason"], told["endedBy"], told["endedFrom"]) == (
        "token_revoked",
        "revoked",
        OWNER,
        "desk3",
    )
    assert key.renew(owner, first["refresh_token"]).status == 200
    somebody.http.close()


def test_a_daemon_is_revoked_by_itself_and_its_sign_in_lives(owner, key, enrolled):
    assert owner.http.ask("DELETE", f"/api/v1/auth/sessions/{enrolled['family']}").status == 204
    assert key.renew(owner, enrolled["refresh_token"]).json["error_reason"] == "revoked"
    assert owner.whoami(enrolled["access_token"]).status == 401
    assert owner.whoami().status == 200


def test_a_thief_of_the_sign_in_ends_that_and_not_the_daemon(shared, workspace, key):
    somebody = Person(shared)
    somebody.sign_in()
    daemon = key.enrol(somebody, workspace).json
    somebody.renew(somebody.grant["refresh_token"])
    refused = somebody.renew(somebody.grant["refresh_token"]).json
    assert (refused["error_reason"], refused["ended_from"]) == ("reuse_detected", "box7")
    assert "ended_by" not in refused
    assert key.renew(somebody, daemon["refresh_token"]).status == 200
    somebody.http.close()


def test_a_mirrors_newer_credential_replaces_the_older_when_it_is_used_and_not_before(shared, owner, workspace, key):
    old, lost, elsewhere = (key.enrol(owner, workspace, mirror).json for mirror in ("m", "m", "n"))
    assert key.renew(owner, old["refresh_token"]).status == 200
    newer = DaemonKey()
    new = newer.enrol(owner, workspace, "m").json
    assert key.renew(owner, old["refresh_token"]).status == 200
    assert newer.renew(owner, new["refresh_token"]).status == 200
    for gone in (old, lost):
        refused = key.renew(owner, gone["refresh_token"]).json
        assert (refused["error"], refused["error_reason"]) == ("invalid_grant", "replaced")
        assert owner.whoami(gone["access_token"]).json["reason"] == "replaced"
    assert key.renew(owner, elsewhere["refresh_token"]).status == 200
    assert newer.renew(owner, new["refresh_token"]).status == 200
    assert events_of(shared, old["family"])[-1]["reason"] == "replaced"


def test_a_daemon_that_renews_without_pause_must_wait_and_loses_nothing(owner, key, enrolled):
    answers = [key.renew(owner, enrolled["refresh_token"]) for _ in range(11)]
    assert [answer.status for answer in answers] == 10 * [200] + [429]
    assert answers[10].json["error"] == "slow_down"
    assert 0 < int(answers[10].headers["retry-after"]) <= 61


def test_a_daemon_lives_no_longer_than_the_servers_own_lifetimes_let_it(start_server):
    server = start_server(access_ttl="2s", refresh_overlap="0s", options=["--refresh-ttl", "4s"])
    somebody, key = Person(server), DaemonKey()
    somebody.sign_in()
    workspace = somebody.http.ok("POST", "/api/v1/workspaces", body={"name": "w"})["workspaceId"]
    grant = key.enrol(somebody, workspace).json
    assert grant["expires_in"] <= 2
    assert grant["refresh_token_expires_in"] <= 4
    expired = until(
        lambda: (told := somebody.whoami(grant["access_token"])).status == 401 and told,
        within_s=4,
        what="the access token expires",
    )
    assert expired.json["code"] == "token_expired"
    renewed = key.renew(somebody, grant["refresh_token"])
    assert (renewed.status, renewed.json["refresh_token"]) == (200, grant["refresh_token"])

    def refused():
        """Idle since that renewal; asking with the wrong proof does not count as use."""
        answer = key.renew(somebody, grant["refresh_token"]) if time.monotonic() > idle_from + 4.2 else None
        return answer if answer is not None and answer.status == 400 else None

    idle_from = time.monotonic()
    answer = until(refused, within_s=6, what="the credential has been idle too long")
    assert (answer.json["error"], answer.json["error_reason"]) == ("invalid_grant", "expired")
    somebody.http.close()


def test_a_credential_outlives_a_crash_of_the_server_and_neither_it_nor_a_nonce_is_stored(start_server):
    server = start_server()
    somebody, key = Person(server), DaemonKey()
    somebody.sign_in()
    workspace = somebody.http.ok("POST", "/api/v1/workspaces", body={"name": "w"})["workspaceId"]
    grant = key.enrol(somebody, workspace).json
    proof = key.proof(f"{server.url}/oauth/token")
    assert key.renew(somebody, grant["refresh_token"], proof=proof).status == 200
    somebody.http.close()
    server.kill()
    secret = [grant[name].split(".")[-1].encode() for name in ("access_token", "refresh_token")]
    secret += [key.nonce.encode(), proof.encode()]
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert not [path for path in [*files, server.log] for word in secret if word in path.read_bytes()]
    server.start()
    somebody.http.url = server.url
    assert somebody.whoami(grant["access_token"]).status == 200
    replayed = key.renew(somebody, grant["refresh_token"], proof=proof)
    assert replayed.json["error"] == "invalid_dpop_proof"
    assert key.renew(somebody, grant["refresh_token"]).status == 200
    somebody.http.close()


def test_signing_out_everywhere_ends_every_credential_of_that_account_and_of_no_other(start_server):
    server = start_server()
    add_account(server.data, "ann", "her own secret")
    here, there, ann = Person(server), Person(server), Person(server)
    here.sign_in()
    there.sign_in()
    ann.sign_in("ann", "her own secret")
    workspace = here.http.ok("POST", "/api/v1/workspaces", body={"name": "w"})["workspaceId"]
    key, hers = DaemonKey(), DaemonKey()
    daemon = key.enrol(there, workspace).json
    her_workspace = ann.http.ok("POST", "/api/v1/workspaces", body={"name": "hers"})["workspaceId"]
    her_daemon = hers.enrol(ann, her_workspace).json
    delegated = here.http.ok("POST", f"/api/v1/workspaces/{workspace}/relayfile/delegated-token", body={})
    assert here.http.ask("DELETE", "/api/v1/auth/sessions").status == 400
    assert here.http.ask("DELETE", "/api/v1/auth/sessions?all=0").status == 400
    assert there.whoami().status == 200
    assert here.http.ok("DELETE", "/api/v1/auth/sessions?all=1") == {"ended": 4}
    for token in (here.grant["access_token"], there.grant["access_token"], daemon["access_token"]):
        told = here.whoami(token)
        assert (told.status, told.json["reason"], told.json["endedBy"]) == (401, "signed_out_everywhere", OWNER)
    assert here.whoami(delegated["relayfileToken"]).json["code"] == "token_revoked"
    assert there.renew(there.grant["refresh_token"]).json["error_reason"] == "signed_out_everywhere"
    assert key.renew(here, daemon["refresh_token"]).json["error_reason"] == "signed_out_everywhere"
    assert ann.whoami().status == 200
    assert hers.renew(ann, her_daemon["refresh_token"]).status == 200
    for one in (here, there, ann):
        one.http.close()


def test_guessing_with_a_stolen_token_is_slowed_down_and_its_owner_is_not(start_server):
    server = start_server()
    somebody, key = Person(server), DaemonKey()
    somebody.sign_in()
    workspace = somebody.http.ok("POST", "/api/v1/workspaces", body={"name": "w"})["workspaceId"]
    token = key.enrol(somebody, workspace).json["refresh_token"]
    answers = [somebody.renew(token) for _ in range(31)]
    assert {answer.json["error"] for answer in answers[:30]} == {"invalid_dpop_proof"}
    assert (answers[30].status, answers[30].json["error"]) == (429, "slow_down")
    assert key.renew(somebody, token).status == 200
    told = [event["reason"] for event in server.audit() if event["event"] == "rejected"]
    assert told == 30 * ["unproven"]
    somebody.http.close()
