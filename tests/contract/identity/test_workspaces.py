"""Workspaces, who may enter them, and the tokens of one workspace (3-protocol B.2, B.3.3; R4, R26)."""

import base64
import itertools
import json

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from people import Person, events_of

_names = itertools.count()


@pytest.fixture
def workspace(owner):
    """A fresh workspace of the owner."""
    return owner.http.ok("POST", "/api/v1/workspaces", body={"name": f"work {next(_names)}"})


def part(text):
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def test_a_workspace_is_created_listed_and_taken(shared, owner, workspace):
    assert workspace["workspaceId"].startswith("rw_")
    assert (workspace["role"], workspace["relayfileUrl"]) == ("owner", shared.url)
    assert workspace["relaycastApiKey"], "v1's TypeScript SDK takes no answer without one"
    assert workspace in owner.http.ok("GET", "/api/v1/workspaces")
    again = owner.http.ask("POST", "/api/v1/workspaces", body={"name": workspace["name"]})
    assert (again.status, again.json["code"], again.json["error"]) == (409, "workspace_exists", "workspace_exists")


@pytest.mark.parametrize("name", ["a/b", "x" * 101, "a\nb", "rw_0123456789abcdef", 7])
def test_a_name_that_would_confuse_is_refused(owner, name):
    assert owner.http.ask("POST", "/api/v1/workspaces", body={"name": name}).status == 400


def test_a_deleted_workspace_is_gone_for_good_and_its_name_is_free(owner, workspace):
    path = f"/api/v1/workspaces/{workspace['workspaceId']}"
    assert owner.http.ask("DELETE", path).status == 204
    for method, below in (("GET", "/resolve"), ("POST", "/join"), ("DELETE", "")):
        answer = owner.http.ask(method, path + below)
        assert (answer.status, answer.json["code"]) == (410, "workspace_deleted")
    assert workspace not in owner.http.ok("GET", "/api/v1/workspaces")
    made = owner.http.ok("POST", "/api/v1/workspaces", body={"name": workspace["name"]})
    assert made["workspaceId"] != workspace["workspaceId"]


def test_who_is_not_a_member_cannot_tell_it_from_one_that_never_was(stranger, workspace):
    for name in (workspace["workspaceId"], "rw_ffffffffffffffff"):
        answer = stranger.http.ask("GET", f"/api/v1/workspaces/{name}/resolve")
        assert (answer.status, answer.json["code"]) == (404, "workspace_not_found")
    assert stranger.http.ok("GET", "/api/v1/workspaces") == []


def test_a_joined_token_is_one_any_v1_server_would_verify(shared, owner, workspace):
    id_ = workspace["workspaceId"]
    joined = owner.http.ok("POST", f"/api/v1/workspaces/{id_}/join", body={"agentName": "scribe"})
    for field in ("workspaceId", "token", "relayfileUrl", "wsUrl", "relaycastApiKey"):
        assert joined[field]
    assert joined["wsUrl"] == f"ws{shared.url.removeprefix('http')}/v1/workspaces/{id_}/fs/ws"
    keys = KeySet.import_key_set(owner.http.ok("GET", "/.well-known/jwks.json"))
    token = jwt.decode(joined["token"], keys, algorithms=["RS256"])
    assert token.header["kid"]
    claims = token.claims
    assert claims["workspace_id"] == id_, "v1's TypeScript SDK looks for this one"
    assert (claims["wks"], claims["sub"], claims["agent_name"], claims["aud"]) == (
        id_,
        "scribe",
        "scribe",
        "relayfile",
    )
    assert claims["exp"] - claims["iat"] == 3_600
    assert set(claims["scopes"]) == {"fs:read", "fs:write", "ops:read", "sync:read", "sync:trigger"}
    assert claims["fam"] == owner.grant["family"]
    assert [row["workspaceId"] for row in owner.workspaces(joined["token"])] == [id_]
    assert events_of(shared, owner.grant["family"])[-1]["reason"] == "join"


def test_a_token_of_one_workspace_opens_no_other_and_manages_nothing(owner, workspace):
    other = owner.http.ok("POST", "/api/v1/workspaces", body={})
    id_ = workspace["workspaceId"]
    owner.http.token = owner.http.ok("POST", f"/api/v1/workspaces/{id_}/join")["token"]
    assert owner.http.ask("GET", f"/api/v1/workspaces/{id_}/resolve").status == 200
    answer = owner.http.ask("GET", f"/api/v1/workspaces/{other['workspaceId']}/resolve")
    assert (answer.status, answer.json["message"]) == (403, "workspace mismatch")
    assert owner.http.ask("POST", "/api/v1/workspaces", body={}).status == 403
    assert owner.http.ask("GET", "/api/v1/auth/events").status == 403
    assert owner.http.ask("POST", f"/api/v1/workspaces/{id_}/join").status == 403
    assert owner.http.ask("DELETE", f"/api/v1/workspaces/{id_}").status == 403


def test_a_changed_token_is_none(owner, workspace):
    token = owner.http.ok("POST", f"/api/v1/workspaces/{workspace['workspaceId']}/join")["token"]
    head, _, mac = token.split(".")
    claims = (
        base64.urlsafe_b64encode(json.dumps(claims_of(token) | {"wks": "rw_other"}).encode()).rstrip(b"=").decode()
    )
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for forged in (f"{head}.{claims}.{mac}", f"{unsigned}.{claims}.", f"{head}.{claims}."):
        assert owner.whoami(forged).json["code"] == "token_invalid"


def test_join_gives_no_more_than_was_asked_and_held(person, owner, workspace):
    path = f"/api/v1/workspaces/{workspace['workspaceId']}/join"
    narrow = owner.http.ok("POST", path, body={"scopes": ["relayfile:fs:read:/docs/**", "admin:read"]})
    assert narrow["scopes"] == ["relayfile:fs:read:/docs/**"]
    nothing = owner.http.ask("POST", path, body={"scopes": ["admin:read"]})
    assert (nothing.status, nothing.json["code"]) == (400, "invalid_scope")
    assert owner.http.ask("POST", path, body={"permissions": {"readonly": ["/a"]}}).status == 400


def test_a_narrow_sign_in_cannot_widen_itself_by_joining(owner, workspace, shared):
    narrow = Person(shared)
    narrow.sign_in(scope="relayfile:fs:read:/docs/**")
    path = f"/api/v1/workspaces/{workspace['workspaceId']}/join"
    wide = narrow.http.ask("POST", path, body={"scopes": ["fs:read"]})
    assert (wide.status, wide.json["code"]) == (403, "scope_insufficient")
    assert narrow.http.ok("POST", path, body={"scopes": ["relayfile:fs:read:/docs/a"]})["token"]
    narrow.http.close()


def test_a_delegation_renews_itself_until_its_day_is_over_or_it_is_revoked(owner, workspace, shared):
    path = f"/api/v1/workspaces/{workspace['workspaceId']}/relayfile/delegated-token"
    asked = {"agentName": "ci", "relayfileMountPaths": ["/docs"], "delegationTtlSeconds": 7_200}
    bundle = owner.http.ok("POST", path, body=asked)
    assert bundle["relayfileScopes"][:2] == ["relayfile:fs:read:/docs/**", "relayfile:fs:write:/docs/**"]
    assert bundle["relayfileRefreshTokenExpiresAt"] == bundle["delegationNotAfter"]
    family = claims_of(bundle["relayfileToken"])["fam"]
    assert family != owner.grant["family"]
    form = {"refreshToken": bundle["relayfileRefreshToken"]}
    renewed = owner.http.ok("POST", "/v1/tokens/refresh", body=form)
    assert renewed["refreshToken"] != bundle["relayfileRefreshToken"]
    assert claims_of(renewed["accessToken"])["sub"] == "ci"
    assert owner.sessions()[family]["kind"] == "delegation"
    # A delegation's token is no sign-in.
    assert owner.renew(renewed["refreshToken"]).json["error"] == "invalid_grant"
    owner.http.ok("DELETE", f"/api/v1/auth/sessions/{owner.grant['family']}")
    refusal = owner.http.ask("POST", "/v1/tokens/refresh", body={"refreshToken": renewed["refreshToken"]})
    assert (refusal.status, refusal.json["code"]) == (401, "workspace_token_revoked")
    assert owner.whoami(renewed["accessToken"]).json["code"] == "token_revoked"
    assert [event["event"] for event in events_of(shared, family)] == ["issued", "rotated", "revoked", "rejected"]


def test_a_mount_session_has_what_the_v1_mount_needs(owner, workspace):
    path = f"/api/v1/workspaces/{workspace['workspaceId']}/relayfile/mount-session"
    session = owner.http.ok("POST", path, body={"localDir": "/w", "remotePath": "/docs", "agentName": "m"})
    for field in (
        "relayfileBaseUrl",
        "relayfileToken",
        "wsUrl",
        "expiresAt",
        "suggestedRefreshAt",
        "relaycastApiKey",
    ):
        assert session[field]
    assert {"relayfile:fs:write:/docs/**", "relayfile:fs:write:/docs/*"} <= set(session["scopes"]), (
        "the v1 mount client takes a mirror for read-only unless it finds the second form"
    )
    for wrong, code in (
        ({"localDir": "/w", "mode": "nfs"}, "invalid_mode"),
        ({}, "invalid_local_dir"),
        ({"localDir": "/w", "remotePath": "docs"}, "invalid_remote_path"),
    ):
        answer = owner.http.ask("POST", path, body=wrong)
        assert (answer.status, answer.json["code"], answer.json["error"]) == (400, code, code)


def test_a_joined_token_makes_a_mount_session_of_its_own_agent_and_no_longer_life(owner, workspace):
    """v1's SDK joins, then asks for the mount session with what it got."""
    path = f"/api/v1/workspaces/{workspace['workspaceId']}"
    asked = {"agentName": "scribe", "scopes": ["relayfile:fs:manage:/docs/**"]}
    joined = owner.http.ok("POST", f"{path}/join", body=asked)
    owner.http.token = joined["token"]
    mount = {"localDir": "/w", "remotePath": "/docs/a", "agentName": "somebody-else"}
    session = owner.http.ok("POST", f"{path}/relayfile/mount-session", body=mount)
    claims = claims_of(session["relayfileToken"])
    assert (claims["sub"], claims["exp"] <= claims_of(joined["token"])["exp"]) == ("scribe", True)
    assert "relayfile:fs:write:/docs/a/*" in claims["scopes"]
    wider = owner.http.ask("POST", f"{path}/relayfile/mount-session", body=mount | {"remotePath": "/"})
    assert (wider.status, wider.json["code"]) == (403, "scope_insufficient")
    assert owner.http.ask("POST", f"{path}/relayfile/delegated-token", body={}).status == 403


def test_people_see_their_own_sign_ins_and_the_owner_everyones(owner, stranger):
    theirs, mine = stranger.sessions(), owner.sessions()
    assert set(theirs) == {stranger.grant["family"]}
    assert theirs[stranger.grant["family"]]["current"] is True
    assert set(theirs) < set(mine)
    row = mine[owner.grant["family"]]
    assert (row["current"], row["client"], row["host"], row["pid"]) == (True, "relayfile/9.9.9 daemon", "box7", 4242)
    refused = stranger.http.ask("DELETE", f"/api/v1/auth/sessions/{owner.grant['family']}")
    assert (refused.status, refused.json["code"]) == (404, "session_not_found")
    assert owner.http.ask("DELETE", f"/api/v1/auth/sessions/{stranger.grant['family']}").status == 204
    assert stranger.whoami().json["code"] == "token_revoked"


def test_events_page_by_number_and_belong_to_their_account(owner, stranger):
    own = stranger.http.ok("GET", "/api/v1/auth/events")
    assert {event["family"] for event in own} == {stranger.grant["family"]}
    first = owner.http.ok("GET", "/api/v1/auth/events?limit=2")
    rest = owner.http.ok("GET", f"/api/v1/auth/events?after={first[-1]['n']}&limit=1000")
    assert len(first) == 2
    assert [event["n"] for event in first + rest] == sorted(event["n"] for event in first + rest)
    assert set(first[0]) == {"n", "at", "event", "family", "generation", "client", "host", "pid", "reason"}
    assert owner.http.ask("GET", "/api/v1/auth/events?after=x").status == 400
