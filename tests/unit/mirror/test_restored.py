"""A workspace that was put back from a backup: compared, not conflicted, and nothing that lies here is lost (R24)."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from simulation.world import SimMirror, SimServer, path


@pytest.fixture
def server() -> SimServer:
    return SimServer()


@pytest.fixture
def mirrors(tmp_path, server) -> Iterator[list[SimMirror]]:
    made = [SimMirror(tmp_path, server, name=name) for name in ("one", "two")]
    yield made
    for mirror in made:
        mirror.state.close()


@contextmanager
def lost(server: SimServer, *, detected: bool = True) -> Iterator[None]:
    """What the server is told inside is not in the backup that is put back afterwards. `detected`: by the server."""
    nodes, position, keys, bodies = dict(server.nodes), server.position, dict(server.keys), dict(server.bodies)
    yield
    jump = server.position if detected else 0
    server.nodes, server.keys, server.bodies, server.position = nodes, keys, bodies, position + jump
    if detected:
        server.epoch += "'"


def again(mirror: SimMirror) -> None:
    """The mirror meets the log that was put back: its cursor is refused."""
    mirror.run(reset="expired")


def settle(*mirrors: SimMirror) -> None:
    for _ in range(3):
        for mirror in mirrors:
            mirror.run()
    (server,) = {id(mirror.server): mirror.server for mirror in mirrors}.values()
    for mirror in mirrors:
        assert mirror.disk.text() == server.text()
        assert mirror.last.report.equal is True


@pytest.mark.parametrize("detected", [True, False])
def test_what_is_newer_here_than_the_backup_goes_up_again_and_makes_no_conflict(server, mirrors, detected):
    one, two = mirrors
    for name in ("same", "edited", "deleted", "moved"):
        server.write(name, f"{name} 1".encode())
    settle(one, two)
    with lost(server, detected=detected):
        one.edit("edited", b"edited 2")
        one.edit("created", b"created")
        one.remove("deleted")
        one.remove("moved")
        one.edit("elsewhere", b"moved 1")
        one.edit("mode", b"x", "755")
        settle(one, two)
    fetched = server.fetched
    for mirror in mirrors:
        again(mirror)
    settle(one, two)
    assert server.text() == {
        "same": b"same 1",
        "edited": b"edited 2",
        "created": b"created",
        "mode": b"x",
        "elsewhere": b"moved 1",
        # nothing tells here any more that they were deleted, and the workspace has them
        "deleted": b"deleted 1",
        "moved": b"moved 1",
    }
    assert server.nodes[path("mode")][1].mode == "755"
    assert server.fetched == fetched
    assert one.last.report.conflicts == two.last.report.conflicts == 0
    said = [done.did for _, done in one.state.past.of(path("edited"), 9)]
    assert "outlived" in said, "whoever asks why is told"


def test_edits_and_deletions_that_waited_are_still_those(server, mirrors):
    one, _ = mirrors
    for name in "abcd":
        server.write(name, b"1")
    one.run()
    with lost(server):
        one.edit("a", b"2")
        one.edit("d", b"2")
        one.run()
    one.edit("a", b"3")
    one.edit("b", b"2")
    one.remove("c")
    one.remove("d")
    again(one)
    settle(one)
    # of d the backup has another content than the one that was deleted here: that is not deleted unseen
    assert server.text() == {"a": b"3", "b": b"2", "d": b"1"}
    assert one.last.report.conflicts == 0


def test_what_both_knew_may_be_edited_and_deleted_since(server, mirrors):
    one, _ = mirrors
    for name in "abc":
        server.write(name, b"1")
    server.write("z", b"the newest that the backup has")
    one.run()
    with lost(server):
        server.write("y", b"lost")
        one.run()
    server.delete("a")
    server.write("b", b"2")
    again(one)
    settle(one)
    assert server.text() == {"b": b"2", "c": b"1", "y": b"lost", "z": b"the newest that the backup has"}
    assert one.last.report.conflicts == 0


def test_of_two_newer_versions_neither_is_lost(server, mirrors):
    one, two = mirrors
    server.write("a", b"1")
    settle(one, two)
    with lost(server):
        one.edit("a", b"2")
        settle(one, two)
        one.edit("a", b"3")
        one.run()
    again(two)  # it is behind, and first
    assert server.text() == {"a": b"2"}
    again(one)
    settle(one, two)
    assert server.text()["a"] == b"2"
    assert sorted(server.text().values()) == [b"2", b"3"], "the newest is kept beside it"


def test_an_edit_over_a_lost_version_that_was_on_its_way_is_planned_again_at_once(server, mirrors):
    one, _ = mirrors
    server.write("a", b"1")
    one.run()
    with lost(server):
        one.edit("a", b"2")
        one.run()
    one.edit("a", b"3")
    flying = one.turn()
    assert flying.parcel.pushes
    one.turn(reset="expired", may_push=False)
    stream = one.last.report.stream
    one.turn(batches=server.delta(stream.cursor, stream.start), may_push=False)
    one.run(**one.carry(flying))
    assert server.text() == {"a": b"3"}
    assert not one.last.report.refused


def test_an_end_in_the_middle_of_the_comparison_changes_nothing_of_it(server, mirrors):
    one, _ = mirrors
    for number in range(40):
        server.write(f"f{number}", b"1")
    one.run()
    with lost(server):
        for number in range(0, 40, 2):
            one.edit(f"f{number}", b"2")
            one.edit(f"new{number}", b"2")
        one.run()
    mine = one.disk.text()
    one.turn(reset="expired", may_push=False)
    some = server.delta(one.last.report.stream.cursor, None, limit=7)
    for batch in some[:3]:
        one.turn(batches=[batch])
    one.kill()
    one.run()
    settle(one)
    assert server.text() == mine


def test_a_view_that_changed_is_no_backup(server, mirrors):
    one, _ = mirrors
    server.epoch = "log.view"
    server.write("a", b"1")
    server.write("b", b"1")
    one.run()
    server.delete("a")
    del server.nodes[path("a")]
    server.epoch = "log.other"
    again(one)
    settle(one)
    assert server.text() == {"b": b"1"}


@pytest.mark.parametrize("seed", range(25))
def test_whatever_was_done_before_during_and_after_nothing_that_lies_here_is_lost(server, mirrors, seed):
    chance = random.Random(seed)
    names = [f"f{number}" for number in range(8)]
    made = iter(range(10_000))

    def live(mirror: SimMirror) -> None:
        for _ in range(chance.randrange(6)):
            name = chance.choice(names)
            if chance.random() < 0.3 and path(name) in mirror.disk.files:
                mirror.remove(name)
            else:
                mirror.edit(name, b"%d" % next(made))
        if chance.random() < 0.8:
            mirror.run()

    for mirror in mirrors * 2:
        live(mirror)
    for mirror in mirrors:
        mirror.run()
    with lost(server):
        for mirror in mirrors * 2:
            live(mirror)
    if chance.random() < 0.5:
        server.write(chance.choice(names), b"since")
    held = {body for mirror in mirrors for body in mirror.disk.text().values()} | set(server.text().values())
    for mirror in mirrors if chance.random() < 0.5 else mirrors[::-1]:
        again(mirror)
    settle(*mirrors)
    ever = set(server.bodies.values())
    assert held <= ever, "it is in the tree, or in the history of the server"
