"""Merging two edits of one base on the server (3-protocol B 1.12)."""

import pytest

BASE = "1\n2\n3\n4\n5\n"


def merge(client, path="/a", *, mine, base=1, text=BASE, strategy="three-way-lines-v1", **rest):
    body = {"strategy": strategy, "content": mine, "baseRevision": f"rev_{base}", "baseContent": text, **rest}
    return client.ask("POST", f"fs/merge?path={path}", body=body)


@pytest.fixture
def edited(client):
    """`/a` at rev_2: its last line was changed since rev_1."""
    client.write("/a", BASE, mode=493, contentType="text/x-notes")
    client.write("/a", "1\n2\n3\n4\nFIVE\n")
    return client


def test_edits_of_different_lines_are_both_kept(edited):
    answer = merge(edited, mine="ONE\n2\n3\n4\n5\n")
    assert (answer.status, answer.json) == (
        200,
        {
            "targetRevision": "rev_3",
            "strategy": "three-way-lines-v1",
            "baseRevision": "rev_1",
            "mergedAgainstRevision": "rev_2",
        },
    )
    read = edited.ok("GET", "fs/file?path=/a")
    assert (read["content"], read["mode"], read["contentType"]) == ("ONE\n2\n3\n4\nFIVE\n", 493, "text/x-notes")


def test_a_merge_that_changes_nothing_makes_no_event(edited):
    assert merge(edited, mine=BASE).json["targetRevision"] == "rev_2"
    assert edited.ok("GET", "fs/digest")["position"] == 2


def test_a_clash_is_told_and_nothing_is_written(edited):
    answer = merge(edited, mine="1\n2\n3\n4\nfive\n")
    assert (answer.status, answer.json["code"], answer.json["currentRevision"]) == (409, "merge_conflict", "rev_2")
    assert answer.json["conflicts"] == [
        {"unit": "lines 5-5", "reason": "concurrently changed", "base": "5\n", "mine": "five\n", "theirs": "FIVE\n"}
    ]
    assert edited.ok("GET", "fs/digest")["position"] == 2


def test_the_base_is_what_the_log_has_at_that_revision_and_nothing_else(edited):
    edited.write("/b", BASE)
    for asked in ({"text": "another\n"}, {"base": 3}, {"base": 99}, {"base": 0}):
        answer = merge(edited, mine="ONE\n2\n3\n4\n5\n", **asked)
        assert (answer.status, answer.json["code"]) == (409, "merge_base_unavailable")
    for number in range(30):
        edited.write("/a", f"1\n2\n3\n4\n{number}\n")
    assert merge(edited, mine="ONE\n2\n3\n4\n5\n", text=None).status == 200, "the log forgets no revision"
    assert edited.ok("GET", "fs/file?path=/a")["content"] == "ONE\n2\n3\n4\n29\n"


def test_what_cannot_be_merged_says_why(edited):
    refusals = [
        merge(edited, mine="x", strategy="go-top-level-functions-v1"),
        merge(edited, mine="x\n" * 3_001),
        merge(edited, mine="x" * 524_289),
    ]
    edited.bulk({"path": "/bin", "content": "/wA=", "encoding": "base64"})
    edited.bulk({"path": "/link", "type": "symlink", "target": "a"})
    refusals += [merge(edited, "/link", mine="x", base=4, text="a")]
    for answer in refusals:
        assert (answer.status, answer.json["code"]) == (422, "merge_ineligible")
        assert answer.json["reason"]
    assert merge(edited, "/bin", mine="x", base=3, text=None).json["code"] == "merge_base_unavailable"
    assert merge(edited, mine="x", strategy="guess").status == 400
    assert merge(edited, "/none", mine="x").status == 404
    assert edited.ask("POST", "fs/merge?path=/a", body={"content": "x"}).status == 400


def test_a_repeated_merge_is_answered_as_the_first_was(edited):
    identity = {"kind": "merge", "key": "K"}
    first = merge(edited, mine="ONE\n2\n3\n4\n5\n", contentIdentity=identity)
    edited.write("/a", "all\nnew\n")
    again = merge(edited, mine="ONE\n2\n3\n4\n5\n", contentIdentity=identity)
    assert (again.status, again.json) == (200, first.json)
    other = merge(edited, mine="UNO\n2\n3\n4\n5\n", contentIdentity=identity)
    assert (other.status, other.json["code"]) == (422, "identity_reused")


def test_a_merge_needs_to_read_and_to_write(edited):
    for scope in ("fs:read", "fs:write"):
        answer = merge(edited.join("agent", scope), mine="ONE\n2\n3\n4\n5\n")
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
    inside = edited.join("agent", "relayfile:fs:manage:/docs/**")
    assert merge(inside, mine="x").status == 403
