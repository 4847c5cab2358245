"""What a person decides about a conflict, carried out against a simulated disk and server."""

import pytest

from relayfile.mirror.cycle import Cycle
from relayfile.mirror.ports import Refused
from relayfile.mirror.resolve import Ruling
from simulation.live import LiveMirror
from simulation.world import Died, SimMirror, SimServer, path


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def mirror(tmp_path, server):
    """A mirror with one conflict: theirs at `f.txt`, mine in the copy."""
    mirror = SimMirror(tmp_path, server)
    clash(mirror, server)
    yield mirror
    mirror.state.close()


def clash(mirror, server, name="f.txt", mine=b"mine", mode="644"):
    server.write(name, b"base of " + name.encode())
    mirror.run()
    server.write(name, b"theirs")
    mirror.edit(name, mine, mode)
    mirror.run()


def conflicts(mirror):
    return mirror.cycle.conflicts()


def resolve(mirror, keep, copy=None, **gathered):
    ruling = Ruling(copy or conflicts(mirror)[0].copy, keep)
    mirror.run(orders=[ruling], **gathered)
    return ruling.settlement


def assert_equal(mirror, server, files):
    assert mirror.disk.text() == server.text() == files
    assert mirror.last.report.equal is True
    assert mirror.last.report.conflicts == 0
    assert not conflicts(mirror)


def test_a_conflict_is_listed_with_both_sides_and_the_revision_that_won(mirror, server):
    [one] = conflicts(mirror)
    assert one.path == "f.txt"
    assert one.copy.startswith("f (conflict host ")
    assert one.revision == server.nodes[path("f.txt")][0]
    assert (one.mine.trees.local.size, one.theirs.trees.local.size) == (4, 6)
    mirror.remove(one.copy)
    mirror.turn(may_push=False)
    assert not conflicts(mirror), "the copy is gone, so nothing is open"


def test_a_copy_that_the_disk_made_of_a_racing_write_is_listed_and_one_that_came_from_elsewhere_is_not(
    mirror, server
):
    resolve(mirror, "theirs")
    copy = "f (conflict host 2023-11-14 01234567).txt"
    server.write("f (conflict other 2023-11-14 89abcdef).txt", b"of another machine")
    mirror.edit(copy, b"racing")
    mirror.run()
    [one] = conflicts(mirror)
    assert (one.path, one.copy, one.revision) == ("f.txt", copy, server.nodes[path("f.txt")][0])
    assert resolve(mirror, "both").code is None
    mirror.edit(copy, b"edited later")
    mirror.run()
    assert not conflicts(mirror)


def test_keeping_mine_makes_it_an_edit_of_the_path_with_its_mode_and_the_copy_goes(mirror, server):
    [first] = conflicts(mirror)
    assert resolve(mirror, "mine").code is None
    assert_equal(mirror, server, {"f.txt": b"mine"})
    assert mirror.disk.trash[-2:] == [b"theirs", b"mine"], "nothing is gone at once"
    clash(mirror, server, "tool", b"#!mine", "755")
    assert resolve(mirror, "mine").code is None
    assert_equal(mirror, server, {"f.txt": b"mine", "tool": b"#!mine"})
    assert mirror.disk.files[path("tool")][1].mode == "755"
    assert resolve(mirror, "mine", first.copy).code == "no_conflict", "to repeat it changes nothing"
    assert_equal(mirror, server, {"f.txt": b"mine", "tool": b"#!mine"})


def test_keeping_theirs_moves_the_copy_to_the_trash(mirror, server):
    assert resolve(mirror, "theirs").code is None
    assert_equal(mirror, server, {"f.txt": b"theirs"})
    assert mirror.disk.trash[-1] == b"mine"


def test_keeping_both_leaves_the_copy_as_an_ordinary_file(mirror, server):
    [one] = conflicts(mirror)
    assert resolve(mirror, "both").code is None
    assert_equal(mirror, server, {"f.txt": b"theirs", one.copy: b"mine"})


def test_a_copy_that_was_edited_a_moment_before_counts_as_it_is(mirror, server):
    [one] = conflicts(mirror)
    mirror.disk.write(one.copy, b"merged by hand")  # no hint came yet
    assert resolve(mirror, "mine").code is None
    assert_equal(mirror, server, {"f.txt": b"merged by hand"})


def test_an_edit_at_the_path_that_the_server_does_not_have_is_never_replaced(mirror, server):
    [one] = conflicts(mirror)
    mirror.disk.write("f.txt", b"later")
    ruling = Ruling(one.copy, "mine")
    mirror.turn(orders=[ruling])
    assert ruling.settlement.code == "unsent"
    assert mirror.disk.text() == {"f.txt": b"later", one.copy: b"mine"}
    mirror.edit("f.txt", b"later")
    mirror.run()
    assert resolve(mirror, "mine").code is None
    assert_equal(mirror, server, {"f.txt": b"mine"})
    assert b"later" in server.bodies.values()


def test_a_version_that_comes_meanwhile_makes_a_new_conflict_and_loses_nothing(mirror, server):
    [one] = conflicts(mirror)
    ruling = Ruling(one.copy, "mine")
    mirror.turn(orders=[ruling], may_push=False)
    server.write("f.txt", b"theirs again")
    mirror.run()
    assert ruling.settlement.code is None
    [again] = conflicts(mirror)
    assert sorted(server.text().values()) == [b"mine", b"theirs again"]
    assert again.revision == server.nodes[path("f.txt")][0]


def test_a_path_that_is_gone_comes_back_with_mine(mirror, server):
    server.delete("f.txt")
    mirror.run()
    assert resolve(mirror, "mine").code is None
    assert_equal(mirror, server, {"f.txt": b"mine"})


@pytest.mark.parametrize("keep", ["mine", "theirs"])
def test_what_is_written_while_it_is_carried_out_is_left_and_the_conflict_stays(mirror, server, keep):
    [one] = conflicts(mirror)
    mirror.disk.before_execute = [lambda: mirror.disk.write(one.copy, b"racing")]
    ruling = Ruling(one.copy, keep)
    mirror.turn(orders=[ruling])
    assert ruling.settlement.code == "changed"
    assert mirror.disk.files[one.copy][0] == b"racing"
    mirror.hints.add(one.copy)
    mirror.run()
    assert [open_.copy for open_ in conflicts(mirror)] == [one.copy]
    assert server.text()[one.copy] == b"racing"


def test_what_the_disk_refuses_is_said_and_nothing_changed(mirror, server):
    [one] = conflicts(mirror)
    mirror.disk.refuse[path("f.txt")] = Refused(path("f.txt"), "disk full")
    settlement = resolve(mirror, "mine")
    assert (settlement.code, settlement.reason) == ("refused", "disk full")
    mirror.disk.refuse = {one.copy: Refused(one.copy, "no permission")}
    assert resolve(mirror, "theirs").reason == "no permission"
    assert mirror.disk.text() == server.text() == {"f.txt": b"theirs", one.copy: b"mine"}


def test_of_a_copy_whose_path_is_not_known_only_mine_is_refused(mirror, server):
    mirror.edit("recovered", b"bytes")
    mirror.run()
    mirror.state.conflicts.set_aside([(path("recovered"), path("recovered"), 0)], 0.0)
    assert resolve(mirror, "mine", path("recovered")).code == "no_path"
    assert mirror.disk.text()["recovered"] == b"bytes"
    assert resolve(mirror, "theirs", path("recovered")).code is None
    assert "recovered" not in server.text()


@pytest.mark.parametrize("keep", ["mine", "theirs", "both"])
def test_wherever_it_dies_the_word_is_given_again_and_ends_the_same(tmp_path, keep):
    ends = {}
    for steps in range(12):
        server = SimServer()
        mirror = SimMirror(tmp_path, server, name=f"{keep}{steps}")
        clash(mirror, server)
        [one] = conflicts(mirror)
        mirror.disk.die_in = steps
        try:
            resolve(mirror, keep, one.copy)
        except Died:
            mirror.kill()
            mirror.run()
            assert {b"mine", b"theirs"} <= {*mirror.disk.text().values(), *mirror.disk.trash}
            if conflicts(mirror):
                assert resolve(mirror, keep, one.copy).code is None
        mirror.disk.die_in = None
        mirror.run()
        assert mirror.disk.text() == server.text()
        assert not conflicts(mirror)
        ends[tuple(sorted(server.text().items()))] = steps
        mirror.state.close()
    assert len(ends) == 1


async def test_the_engine_lists_and_resolves_while_it_works(tmp_path):
    server = SimServer()
    server.write("f.txt", b"theirs")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.disk.write("f.txt", b"mine")
        mirror.disk.write("g.txt", b"own")
        await mirror.until(lambda picture: picture.state == "conflict" and picture.equal)
        [one] = await mirror.engine.between(Cycle.conflicts)
        assert one.path == "f.txt"
        for copy, code in ((path("g.txt"), "no_conflict"), (one.copy, None)):
            assert (await mirror.engine.settle(Ruling(copy, "mine"))).settlement.code == code
        await mirror.until(lambda picture: picture.state == "live" and picture.equal)
        assert server.text() == {"f.txt": b"mine", "g.txt": b"own"}
