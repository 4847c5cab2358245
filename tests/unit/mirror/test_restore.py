"""What a person wants back from the trash, carried out against a simulated disk and server."""

import pytest

from relayfile.core.trash import Kept, Old, Wanted, choose
from relayfile.mirror.ports import LARGE_BYTES, Refused
from relayfile.mirror.restore import MOST_FILES, Restoration, Wish, portions
from relayfile.model import Digest
from simulation.live import LiveMirror
from simulation.world import Died, SimMirror, SimServer, digest_of, path


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def mirror(tmp_path, server):
    mirror = SimMirror(tmp_path, server)
    yield mirror
    mirror.state.close()


def wishes(mirror, wanted=None, to=None):
    chosen = choose(mirror.cycle.restore.kept(), wanted or Wanted())
    return [Wish(one.kept, to or one.kept.path, one.if_gone) for one in chosen]


def restore(mirror, wanted=None, to=None, **gathered):
    order = Restoration(wishes(mirror, wanted, to))
    mirror.run(orders=[order], **gathered)
    return [one.code for one in order.settlements]


def replaced(mirror, server, at="f.txt"):
    server.write(at, b"old", "755")
    mirror.run()
    server.write(at, b"new")
    mirror.run()


def deleted(mirror, server, names):
    for name in names:
        server.write(name, name.encode())
    server.write("stays", b"stays")
    mirror.run()
    for name in names:
        server.delete(name)
    mirror.run()
    assert mirror.disk.text() == {"stays": b"stays"}


def assert_equal(mirror, server, files):
    assert mirror.disk.text() == server.text() == files
    assert mirror.last.report.equal is True


def test_the_trash_tells_what_took_a_content_and_under_which_revision_the_server_has_it(mirror, server):
    replaced(mirror, server)
    server.delete("f.txt")
    mirror.run()
    first, second = mirror.cycle.restore.kept()
    assert first.old == Old("replaced", digest_of(b"old"), 1, 2)
    assert second.old == Old("deleted", digest_of(b"new"), 2, 3)


def test_a_replaced_file_is_back_as_an_edit_with_its_mode_and_what_lay_there_is_kept_in_turn(mirror, server):
    replaced(mirror, server)
    assert restore(mirror, Wanted(path("f.txt"))) == [None]
    assert_equal(mirror, server, {"f.txt": b"old"})
    assert server.nodes[path("f.txt")][1].mode == mirror.disk.files[path("f.txt")][1].mode == "755"
    last = mirror.cycle.restore.kept()[-1]
    assert (last.path, last.old) == ("f.txt", Old("restored", digest_of(b"new"), 2, None))
    assert restore(mirror, Wanted(id=last.id)) == [None], "and back again"
    assert_equal(mirror, server, {"f.txt": b"new"})


def test_to_repeat_the_word_changes_nothing(mirror, server):
    replaced(mirror, server)
    order = Restoration(wishes(mirror, Wanted(path("f.txt"))))
    mirror.run(orders=[order])
    position, steps = server.position, mirror.disk.steps
    again = Restoration(order.wishes)
    mirror.run(orders=[again])
    assert again.settlements[0].code is None
    assert (server.position, mirror.disk.steps) == (position, steps)


def test_everything_that_was_deleted_is_back_and_what_came_instead_is_left(mirror, server):
    deleted(mirror, server, ["d/a", "d/b", "c"])
    server.write("d/b", b"somebody's")
    mirror.run()
    mirror.edit("c", b"mine, not sent")
    assert sorted(restore(mirror), key=str) == [None, "there", "there"]
    assert_equal(mirror, server, {"c": b"mine, not sent", "d/a": b"d/a", "d/b": b"somebody's", "stays": b"stays"})


def test_an_edit_that_the_server_does_not_have_is_never_replaced(mirror, server):
    replaced(mirror, server)
    mirror.disk.write("f.txt", b"a moment ago")  # no hint came yet
    order = Restoration(wishes(mirror))
    order.wishes = [Wish(mirror.cycle.restore.kept()[0], path("f.txt"), if_gone=False)]
    mirror.turn(orders=[order])
    assert order.settlements[0].code == "unsent"
    assert mirror.disk.text() == {"f.txt": b"a moment ago"}
    assert restore(mirror, Wanted(path("f.txt")), to=path("other.txt")) == [None]
    mirror.hints.add(path("f.txt"))
    mirror.run()
    assert_equal(mirror, server, {"f.txt": b"a moment ago", "other.txt": b"old"})
    assert restore(mirror, Wanted(path("f.txt"))) == [None], "now the server has it"
    assert_equal(mirror, server, {"f.txt": b"old", "other.txt": b"old"})


def test_what_is_written_while_it_is_carried_out_is_left(mirror, server):
    replaced(mirror, server)
    mirror.disk.before_execute = [lambda: mirror.disk.write("f.txt", b"racing")]
    assert restore(mirror, Wanted(path("f.txt"))) == ["changed"]
    mirror.hints.add(path("f.txt"))
    mirror.run()
    assert_equal(mirror, server, {"f.txt": b"racing"})


def test_what_the_disk_refuses_or_no_longer_has_is_said_and_the_others_are_back(mirror, server):
    deleted(mirror, server, ["a", "b", "c"])
    mirror.disk.refuse[path("a")] = Refused(path("a"), "disk full")
    order = Restoration(wishes(mirror))
    del mirror.disk.kept_there["k2"]
    mirror.run(orders=[order])
    assert [one.reason for one in order.settlements] == ["disk full", "it is no longer in the trash", ""]
    assert server.text() == {"c": b"c", "stays": b"stays"}


def test_while_it_is_paused_nothing_comes_back(mirror, server):
    deleted(mirror, server, ["a"])
    order = Restoration(wishes(mirror))
    mirror.turn(orders=[order], paused=True)
    assert [one.code for one in order.settlements] == ["paused"]
    assert mirror.disk.text() == {"stays": b"stays"}


def test_a_version_that_comes_meanwhile_makes_a_conflict_and_loses_nothing(mirror, server):
    replaced(mirror, server)
    order = Restoration(wishes(mirror, Wanted(path("f.txt"))))
    mirror.turn(orders=[order], may_push=False)
    server.write("f.txt", b"newer")
    mirror.run()
    assert sorted(server.text().values()) == [b"newer", b"old"]


@pytest.mark.parametrize("what", ["replaced", "deleted"])
def test_wherever_it_dies_the_word_is_given_again_and_ends_the_same(tmp_path, what):
    for steps in range(14):
        server = SimServer()
        mirror = SimMirror(tmp_path, server, name=f"{what}{steps}")
        if what == "replaced":
            replaced(mirror, server)
            wanted, files = Wanted(path("f.txt")), {"f.txt": b"old"}
        else:
            deleted(mirror, server, ["a", "b"])
            wanted, files = Wanted(), {"a": b"a", "b": b"b", "stays": b"stays"}
        order = Restoration(wishes(mirror, wanted))
        mirror.disk.die_in = steps
        try:
            mirror.run(orders=[order])
        except Died:
            mirror.kill()
            again = Restoration(order.wishes)
            mirror.run(orders=[again])
            assert {one.code for one in again.settlements} == {None}
        mirror.disk.die_in = None
        mirror.run()
        assert_equal(mirror, server, files)
        mirror.state.close()


def test_a_portion_is_what_one_turn_can_do():
    def wish(size):
        return Wish(Kept("1", path("f"), "f", 0.0, size, "644", Old()), path("f"), if_gone=True)

    assert [len(one.wishes) for one in portions([wish(1)] * (MOST_FILES + 1))] == [MOST_FILES, 1]
    alone = [wish(LARGE_BYTES + 1), wish(1), wish(1), wish(LARGE_BYTES + 1), wish(LARGE_BYTES + 1)]
    assert [len(one.wishes) for one in portions(alone)] == [1, 2, 1, 1]
    assert [len(one.wishes) for one in portions([wish(LARGE_BYTES)] * 9)] == [8, 1]
    assert list(portions([])) == []


async def test_the_engine_gives_back_while_it_works(tmp_path):
    server = SimServer()
    server.write("f.txt", b"theirs")
    server.write("g.txt", b"other")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(lambda picture: picture.equal)
        server.delete("f.txt")
        mirror.api.announce()
        await mirror.until(lambda picture: picture.equal and "f.txt" not in mirror.disk.text())
        [one] = await mirror.engine.between(lambda cycle: cycle.restore.kept())
        order = Restoration([Wish(one, one.path, if_gone=True)])
        await mirror.engine.settle(order)
        await mirror.until(lambda picture: picture.equal and "f.txt" in server.text())
        assert server.nodes[path("f.txt")][1].digest == Digest(digest_of(b"theirs"))
