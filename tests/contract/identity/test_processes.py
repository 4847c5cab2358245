"""Which processes hold a credential of a sign-in, as `relayfile auth status` asks."""

from contextlib import closing

from people import Person


def processes(person, family):
    return person.http.ask("GET", f"/api/v1/auth/sessions/{family}/processes")


def test_each_process_that_renewed_is_there_with_its_first_and_last_time(shared, owner):
    family = owner.grant["family"]
    other = Person(shared)
    other.http.agent = "relayfile/9.9.9 (cli; box8; 77)"
    token = owner.grant["refresh_token"]
    for _ in range(2):
        token = other.renew(token).json["refresh_token"]
    rows = {row["pid"]: row for row in processes(owner, family).json}
    assert set(rows) == {4242, 77}
    assert (rows[77]["host"], rows[77]["client"], rows[77]["times"]) == ("box8", "relayfile/9.9.9 cli", 2)
    assert rows[77]["first_at"] < rows[77]["last_at"]
    assert {row["kind"] for row in rows.values()} == {"sign-in"}
    other.http.close()


def test_somebody_else_learns_nothing_and_an_owner_everything(owner, stranger):
    assert processes(stranger, owner.grant["family"]).status == 404
    assert processes(owner, "0" * 16).status == 404
    assert [row["pid"] for row in processes(owner, stranger.grant["family"]).json] == [4242]


def test_a_machine_token_or_one_of_a_workspace_learns_nothing(shared, owner):
    body = {"name": "curious", "scopes": ["fs:read"], "ttl_seconds": 60}
    made = owner.http.ok("POST", "/api/v1/auth/tokens", body=body)["token"]
    workspace = owner.http.ok("POST", "/api/v1/workspaces", body={})["workspaceId"]
    joined = owner.http.ok("POST", f"/api/v1/workspaces/{workspace}/join")["token"]
    for token in (made, joined):
        other = Person(shared)
        with closing(other.http):
            other.http.token = token
            assert processes(other, owner.grant["family"]).status == 404
