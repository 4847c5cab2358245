"""Tokens of programs without a person: made, used, listed, ended, over HTTP."""

import itertools
import sqlite3
from contextlib import closing

import pytest

from people import Person, events_of
from waiting import until

_names = itertools.count()
TOKENS = "/api/v1/auth/tokens"


@pytest.fixture
def workspace(owner):
    """A fresh workspace of the owner, with two files."""
    found = owner.http.ok("POST", "/api/v1/workspaces", body={"name": f"tokens {next(_names)}"})["workspaceId"]
    owner.http.bulk(found, [("/docs/a.md", "a"), ("/other/b.md", "b")])
    return found


@pytest.fixture
def make(owner):
    """Makes a token of the owner; answers what the server said."""

    def made(*scopes, name=None, ttl=3600.0, **more):
        body = {"name": name or f"ci{next(_names)}", "scopes": list(scopes), "ttl_seconds": ttl, **more}
        return owner.http.ask("POST", TOKENS, body=body)

    return made


@pytest.fixture
def program(shared):
    """Connections with a token in place of a person."""
    opened = []

    def with_token(token):
        opened.append(Person(shared))
        opened[-1].http.token = token
        return opened[-1].http

    yield with_token
    for one in opened:
        one.http.close()


def rows(owner, query=""):
    return {row["id"]: row for row in owner.http.ok("GET", TOKENS + query)}


def read(http, workspace, path):
    return http.ask("GET", f"/v1/workspaces/{workspace}/fs/file?path={path}")


def write(http, workspace, path):
    return http.ask(
        "PUT", f"/v1/workspaces/{workspace}/fs/file?path={path}", body={"content": "x"}, headers={"If-Match": "*"}
    )


def test_a_token_is_told_once_and_stored_nowhere(shared, owner, make):
    answer = make("fs:read")
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    token, row = answer.json["token"], answer.json["row"]
    assert token.startswith("cld_mt_")
    assert token not in str(owner.http.ok("GET", TOKENS + "?all=1"))
    assert not [path for path in shared.data.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert rows(owner)[row["id"]] == row
    assert (row["state"], row["username"], row["made_by"]) == ("live", "owner", "owner from box7")


def test_a_token_reads_where_it_may_and_nowhere_else(make, program, workspace):
    http = program(make("fs:read:/docs").json["token"])
    assert read(http, workspace, "/docs/a.md").json["content"] == "a"
    for answer in (read(http, workspace, "/other/b.md"), write(http, workspace, "/docs/a.md")):
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert set(http.tree(workspace)) == {"docs/a.md"}


def test_a_token_that_may_write_writes(make, program, workspace):
    http = program(make("fs:read", "fs:write:/docs").json["token"])
    assert write(http, workspace, "/docs/new.md").status in {200, 201, 202}
    assert write(http, workspace, "/other/new.md").status == 403


def test_a_token_of_one_workspace_enters_no_other(owner, make, program, workspace):
    other = owner.http.ok("POST", "/api/v1/workspaces", body={"name": f"tokens {next(_names)}"})["workspaceId"]
    http = program(make("fs:read", workspace=workspace).json["token"])
    assert read(http, workspace, "/docs/a.md").status == 200
    assert read(http, other, "/docs/a.md").status == 403
    assert [row["workspaceId"] for row in http.ok("GET", "/api/v1/workspaces")] == [workspace]


def test_a_token_says_who_it_is(make, program):
    answer = make("fs:read", name="the robot")
    me = program(answer.json["token"]).ok("GET", "/api/v1/auth/whoami")
    assert (me["username"], me["token"], me["family"], me["scope"]) == ("owner", "the robot", None, "fs:read")
    assert me["expires_at"] == answer.json["row"]["expires_at"]


def test_uses_are_listed_the_first_and_the_last(owner, make, program):
    answer = make("fs:read").json
    assert rows(owner)[answer["row"]["id"]]["first_used_at"] is None
    program(answer["token"]).ok("GET", "/api/v1/workspaces")
    row = rows(owner)[answer["row"]["id"]]
    assert row["created_at"] <= row["first_used_at"] == row["last_used_at"]


def test_a_revoked_token_is_refused_from_the_next_request_on_and_says_by_whom(shared, owner, make, program):
    answer = make("fs:read", name="short lived").json
    http = program(answer["token"])
    assert http.ask("GET", "/api/v1/workspaces").status == 200
    assert owner.http.ask("DELETE", f"{TOKENS}/{answer['row']['id']}").status == 204
    refused = http.ask("GET", "/api/v1/workspaces")
    assert (refused.status, refused.json["code"]) == (401, "token_revoked")
    assert "'short lived' was revoked by owner from box7" in refused.json["message"]
    assert answer["row"]["id"] not in rows(owner)
    gone = rows(owner, "?all=1")[answer["row"]["id"]]
    assert (gone["state"], gone["revoked_by"]) == ("revoked", "owner from box7")
    assert [event["event"] for event in events_of(shared, answer["row"]["id"])] == ["issued", "revoked"]
    assert owner.http.ask("DELETE", f"{TOKENS}/{answer['row']['id']}").status == 404


def test_an_expired_token_is_refused_and_says_when_it_ended(owner, make, program):
    answer = make("fs:read", name="over soon", ttl=0.5).json
    http = program(answer["token"])
    assert http.ask("GET", "/api/v1/workspaces").status == 200
    refused = until(
        lambda: (seen := http.ask("GET", "/api/v1/workspaces")).status == 401 and seen, within_s=5, what="it is over"
    )
    assert refused.json["code"] == "token_expired"
    assert f"'over soon' expired at {answer['row']['expires_at']}" in refused.json["message"]
    assert rows(owner, "?all=1")[answer["row"]["id"]]["state"] == "expired"


def test_a_name_is_free_again_once_its_token_is_over(owner, make):
    first = make("fs:read", name="again").json["row"]
    taken = make("fs:read", name="again")
    assert (taken.status, taken.json["code"]) == (409, "token_exists")
    owner.http.ask("DELETE", f"{TOKENS}/{first['id']}")
    assert make("fs:read", name="again").status == 201


def test_a_token_outlives_the_sign_in_that_made_it(shared, make, program, owner):
    token = make("fs:read").json["token"]
    another = Person(shared)
    another.sign_in()
    owner.http.ask(
        "POST", "/oauth/revoke", form={"client_id": "relayfile-cli", "token": owner.grant["refresh_token"]}
    )
    assert owner.whoami().status == 401
    assert program(token).ask("GET", "/api/v1/workspaces").status == 200
    another.http.close()


def test_a_token_makes_no_other_credential_and_ends_none(make, program, workspace, owner):
    answer = make("fs:read", "fs:write", "sync:read", "ops:read")
    http = program(answer.json["token"])
    body = {"name": "child", "scopes": ["fs:read"], "ttl_seconds": 60}
    below = f"/api/v1/workspaces/{workspace}"
    for method, path, sent in (
        ("POST", TOKENS, body),
        ("GET", TOKENS, None),
        ("DELETE", f"{TOKENS}/{answer.json['row']['id']}", None),
        ("GET", "/api/v1/auth/sessions", None),
        ("POST", "/api/v1/workspaces", {"name": "mine"}),
        ("POST", f"{below}/join", {}),
        ("POST", f"{below}/relayfile/delegated-token", {}),
        ("POST", f"{below}/relayfile/mount-session", {"localDir": "/x"}),
        ("DELETE", below, None),
    ):
        assert http.ask(method, path, body=sent).status == 403, path


@pytest.mark.parametrize(
    ("scopes", "ttl", "status", "code"),
    [
        (["account:manage"], 60, 400, "invalid_scope"),
        (["nonsense"], 60, 400, "invalid_scope"),
        ([], 60, 400, "invalid_scope"),
        (["fs:read"], 0, 400, "invalid_ttl"),
        (["fs:read"], 400 * 86_400, 400, "invalid_ttl"),
        (["fs:read"], "soon", 400, "bad_request"),
    ],
)
def test_what_no_token_can_be_is_refused(make, scopes, ttl, status, code):
    answer = make(*scopes, ttl=ttl)
    assert (answer.status, answer.json["code"]) == (status, code)


def test_a_narrow_sign_in_makes_no_wider_token(shared, make):
    narrow = Person(shared)
    narrow.sign_in(scope="account:manage relayfile:fs:read:/docs/**")
    body = {"name": "wide", "scopes": ["fs:read"], "ttl_seconds": 60}
    refused = narrow.http.ask("POST", TOKENS, body=body)
    assert (refused.status, refused.json["code"]) == (403, "scope_insufficient")
    assert narrow.http.ask("POST", TOKENS, body=body | {"scopes": ["fs:read:/docs/deep"]}).status == 201
    narrow.http.close()


def test_people_see_and_end_their_own_and_an_owner_everyones(owner, stranger, make):
    mine = make("fs:read").json["row"]["id"]
    theirs = stranger.http.ok("POST", TOKENS, body={"name": "x", "scopes": ["fs:read"], "ttl_seconds": 60})["row"][
        "id"
    ]
    assert set(rows(stranger)) == {theirs}
    assert {mine, theirs} <= set(rows(owner))
    assert stranger.http.ask("DELETE", f"{TOKENS}/{mine}").status == 404
    assert owner.http.ask("DELETE", f"{TOKENS}/{theirs}").status == 204


def test_a_token_can_do_no_more_than_its_makers_membership_gives_now(shared, stranger, program, workspace):
    made = stranger.http.ok("POST", TOKENS, body={"name": "x", "scopes": ["fs:read", "fs:write"], "ttl_seconds": 60})
    http = program(made["token"])
    assert read(http, workspace, "/docs/a.md").status == 404
    [database] = shared.data.glob("*.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO membership (workspace, account, role) VALUES (?, ?, 'viewer')",
            (workspace, made["row"]["account"]),
        )
    assert read(http, workspace, "/docs/a.md").status == 200
    assert write(http, workspace, "/docs/a.md").status == 403


def test_rules_bind_a_token_as_an_agent_and_never_as_the_workspaces_owner(make, program, owner, workspace):
    barred, free = (program(make("fs:read", "fs:write", name=name).json["token"]) for name in ("barred", "free"))
    marker = {"content": '{"semantics": {"permissions": ["deny:agent:barred", "allow:public"]}}'}
    path = f"/v1/workspaces/{workspace}/fs/file?path=/docs/.relayfile.acl"
    owner.http.ok("PUT", path, body=marker, headers={"If-Match": "*"})
    assert read(free, workspace, "/docs/a.md").status == 200
    assert read(barred, workspace, "/docs/a.md").status in {403, 404}
    nobody = {"content": '{"semantics": {"permissions": ["deny:public"]}}'}
    owner.http.ok("PUT", path, body=nobody, headers={"If-Match": "*"})
    assert free.ask("PUT", path, body=marker, headers={"If-Match": "*"}).status == 403
    owner.http.ok("PUT", path, body=marker, headers={"If-Match": "*"})


@pytest.mark.parametrize("token", ["cld_mt_", "cld_mt_" + "A" * 43])
def test_a_token_nobody_made_is_refused(program, token):
    answer = program(token).ask("GET", "/api/v1/workspaces")
    assert (answer.status, answer.json["code"]) == (401, "token_invalid")
