"""What a mirror tells of one path, with the decisions that led there."""

import pytest

from relayfile.mirror import why
from relayfile.mirror.ports import Left, Refused
from relayfile.model import TreePath
from simulation.live import LiveMirror
from simulation.world import SimMirror, SimServer, path


def told(mirror, at):
    return why.fields(mirror.cycle.account(TreePath(at)))


def did(account):
    return [(one["did"], one["revision"]) for one in account["decisions"]]


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def mirror(tmp_path, server):
    return SimMirror(tmp_path, server)


def test_the_life_of_a_path_is_told_newest_first_with_its_three_versions(mirror, server):
    first = server.write("a", b"1")
    mirror.run()
    mirror.edit("a", b"22")
    mirror.run()
    account = told(mirror, "a")
    assert did(account) == [("sent", first + 1), ("placed", first)]
    assert account["next"] == "nothing to do: both sides are equal"
    assert account["base"] == account["remote"]
    assert account["remote"]["revision"] == first + 1
    assert account["local"] == {**account["remote"], "revision": None}
    assert account["modified_at"] is not None
    server.delete("a")
    mirror.run()
    assert did(told(mirror, "a"))[0] == ("removed", first + 2)
    mirror.edit("b", b"3")
    mirror.run()
    mirror.remove("b")
    mirror.run()
    assert did(told(mirror, "b")) == [("deletion_sent", first + 4), ("sent", first + 3)]


def test_a_conflict_names_its_copy(mirror, server):
    server.write("a.txt", b"1")
    mirror.run()
    server.write("a.txt", b"theirs")
    mirror.disk.write("a.txt", b"mine")
    mirror.run(sweep=True)
    account = told(mirror, "a.txt")
    assert [one["did"] for one in account["decisions"]][:2] == ["placed", "set_aside"]
    copy = next(str(one) for one in mirror.disk.files if "conflict" in one)
    assert copy in account["decisions"][1]["message"]


def test_what_was_refused_is_told_with_its_reason(mirror, server):
    server.write("long", b"1")
    mirror.disk.refuse[path("long")] = Refused(path("long"), "name too long", lasting=True)
    mirror.run()
    account = told(mirror, "long")
    assert account["next"] == "it is left out: name too long"
    assert account["refused"] == [{"side": "down", "code": "refused", "reason": "name too long", "lasting": True}]
    assert account["decisions"][0]["message"] == "could not do it here: name too long"
    assert "refused here: name too long (for good)" in why.text(account)


def test_names_that_no_mirror_keeps_and_closed_folders_are_told_as_left_out(mirror):
    mirror.run()
    assert told(mirror, ".git/config")["next"] == "it is left out: .git is not mirrored"
    swept = mirror.disk.sweep
    mirror.disk.sweep = lambda known: iter([*swept(known), Left("shut", "it cannot be read")])
    mirror.run(sweep=True)
    assert told(mirror, "shut/deep/a")["next"] == "it is left out: shut: it cannot be read"


def test_an_edit_that_was_sent_is_told_until_it_is_answered(mirror, server):
    mirror.run()
    mirror.edit("a", b"1")
    mirror.turn()
    account = told(mirror, "a")
    assert account["sent"] == {"over": 0, "version": account["local"]}
    assert account["next"].startswith("wait for the server's answer")
    assert "sent and not answered yet" in why.text(account)


def test_deletions_that_wait_for_a_person_are_told_as_held_back(mirror, server):
    for name in "abc":
        server.write(name, b"1")
    mirror.run()
    for name in "abc":
        server.delete(name)
    mirror.run()
    assert "held back until a person decides" in told(mirror, "a")["next"]


def test_a_path_that_is_nowhere_and_a_folder_are_told_as_that(mirror, server):
    server.write("d/a", b"1")
    mirror.run()
    assert told(mirror, "no")["next"] == "nothing to do: neither side has it"
    assert "1 files below it" in why.text(told(mirror, "d"))


async def test_a_question_is_answered_between_turns_while_the_login_is_dead(tmp_path):
    server = SimServer()
    server.write("a", b"1")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(lambda picture: picture.equal)
        mirror.api.up.clear()
        mirror.edit("a", b"2")
        await mirror.until(lambda picture: picture.pending_edits == 1)
        account = await mirror.engine.between(lambda cycle: cycle.account(TreePath("a")))
        assert account.trees.remote.revision == 1
