"""A mirror that only follows: its edits are kept and listed, and never sent."""

import pytest

from relayfile.errors import Unavailable
from relayfile.mirror.upload import NOT_SENT
from simulation.live import LiveMirror
from simulation.world import SimMirror, SimServer


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def mirror(tmp_path, server):
    """A mirror of `a`, `b` and `c` that has become read-only."""
    for name in "abc":
        server.write(name, b"1")
    mirror = SimMirror(tmp_path, server)
    mirror.run()
    become(mirror, read_only=True)
    yield mirror
    mirror.state.close()


def become(mirror, *, read_only):
    mirror.read_only = read_only
    mirror.kill()


def listed(mirror):
    return {one.path: one.reason for one in mirror.last.report.refused}


def test_edits_new_files_and_deletions_stay_here_and_are_listed(mirror, server):
    mirror.edit("a", b"mine")
    mirror.edit("new", b"mine")
    mirror.remove("b")
    mirror.run()
    assert server.text() == {"a": b"1", "b": b"1", "c": b"1"}
    assert mirror.disk.text() == {"a": b"mine", "c": b"1", "new": b"mine"}
    assert listed(mirror) == dict.fromkeys(("a", "b", "new"), NOT_SENT)
    assert mirror.last.report.pending.nothing
    assert mirror.last.report.equal is True, "of what is kept in step"
    mirror.kill()
    mirror.run()
    assert server.puts == 0
    assert mirror.disk.text() == {"a": b"mine", "c": b"1", "new": b"mine"}, "a restart reverts nothing"


def test_more_edits_than_a_parcel_holds_are_all_listed(mirror, server):
    for number in range(450):
        mirror.edit(f"f{number}", b"mine")
    mirror.run()
    assert mirror.last.report.refused_count == 450
    assert server.puts == 0


def test_what_the_workspace_gets_is_placed_and_an_edit_of_the_same_path_becomes_a_conflict_copy(mirror, server):
    mirror.edit("a", b"mine")
    mirror.run()
    server.write("a", b"theirs")
    server.write("d", b"2")
    mirror.run()
    texts = mirror.disk.text()
    [copy] = [name for name in texts if "(conflict host " in name]
    assert (texts["a"], texts["d"], texts[copy]) == (b"theirs", b"2", b"mine")
    assert listed(mirror) == {copy: NOT_SENT}
    assert server.puts == 0


def test_an_edit_of_other_lines_than_the_workspace_changes_is_merged_here_and_stays_unsent(mirror, server):
    server.write("text", b"a\nb\nc\n")
    mirror.run()
    mirror.edit("text", b"ours\nb\nc\n")
    mirror.run()
    server.write("text", b"a\nb\ntheirs\n")
    mirror.run()
    assert mirror.disk.text()["text"] == b"ours\nb\ntheirs\n"
    assert listed(mirror) == {"text": NOT_SENT}
    assert server.puts == 0


def test_an_edit_that_is_undone_is_listed_no_more(mirror):
    mirror.edit("a", b"mine")
    mirror.run()
    mirror.edit("a", b"1")
    mirror.run()
    assert not listed(mirror)


def test_a_mirror_that_may_send_again_sends_what_was_held_back(mirror, server):
    mirror.edit("a", b"mine")
    mirror.remove("b")
    mirror.run()
    become(mirror, read_only=False)
    mirror.run()
    assert server.text() == mirror.disk.text() == {"a": b"mine", "c": b"1"}
    assert mirror.last.report.equal is True
    assert not listed(mirror)


@pytest.mark.parametrize("arrived", [True, False])
def test_an_edit_whose_answer_was_lost_is_not_sent_again(mirror, server, arrived):
    become(mirror, read_only=False)
    mirror.run()
    mirror.edit("a", b"mine")
    sent = mirror.turn().parcel.pushes
    assert sent
    if arrived:
        server.push(sent)
    become(mirror, read_only=True)
    mirror.run()
    assert server.puts == int(arrived)
    assert mirror.disk.text()["a"] == b"mine"
    assert not mirror.state.intents.sent(), "nothing waits for an answer that never comes"
    assert listed(mirror) == ({} if arrived else {"a": NOT_SENT})


async def test_a_pull_of_a_read_only_mirror_waits_for_no_edit(tmp_path):
    server = SimServer()
    async with LiveMirror(tmp_path / "s", server, read_only=True) as mirror:
        mirror.api.push_fails += [Unavailable("nothing may be sent")] * 50
        mirror.edit("mine", b"1")
        server.write("theirs", b"2")
        _ = [one async for one in mirror.engine.waiting.current(600)]
        assert mirror.disk.text() == {"mine": b"1", "theirs": b"2"}
        picture = await mirror.until(lambda picture: picture.equal)
        assert picture.not_kept == (("mine", NOT_SENT),)
        assert len(mirror.api.push_fails) == 50
