"""Contents that lie on the disk already: copied from there, verified, and not fetched."""

import os

import pytest

from relayfile.mirror import stage
from relayfile.mirror.ports import LARGE_BYTES, Done, Place, Remove, Twin, Unfit
from relayfile.model import TreePath
from simulation.live import LiveMirror
from simulation.world import SimMirror, SimServer, digest_of
from unit.mirror.conftest import version_of

MIDDLE = bytes(range(256)) * 300  # too long to come with the log
BIG = bytes(range(256)) * 5_000


def equal(picture):
    return picture.equal is True and picture.state == "live"


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def mirror(tmp_path, server):
    made = SimMirror(tmp_path, server)
    made.run()
    yield made
    made.state.close()


@pytest.mark.parametrize("body", [MIDDLE, BIG])
def test_a_file_that_was_renamed_there_is_not_fetched(mirror, server, body):
    server.write("a", body)
    mirror.run()
    assert server.fetched == 1
    server.delete("a")
    server.write("b/c", body)
    mirror.run()
    assert mirror.disk.text() == {"b/c": body}
    assert server.fetched == 1


@pytest.mark.parametrize("body", [MIDDLE, BIG])
def test_a_file_whose_new_name_comes_after_its_old_one_went_is_not_fetched(mirror, server, body):
    server.write("a", body)
    server.write("other", b"1")
    mirror.run()
    server.delete("a")
    mirror.run()
    assert "a" not in mirror.disk.text()
    server.write("b", body)
    mirror.run()
    assert mirror.disk.text() == {"b": body, "other": b"1"}
    assert server.fetched == 1


def test_many_files_with_one_content_are_fetched_once(mirror, server):
    for number in range(5):
        server.write(f"f{number}", BIG)
    mirror.run()
    assert mirror.disk.text() == dict.fromkeys([f"f{number}" for number in range(5)], BIG)
    assert (server.fetched, server.sent) == (1, len(BIG))


def test_a_twin_that_changed_meanwhile_is_fetched_in_its_place(mirror, server):
    server.write("a", BIG)
    mirror.run()
    mirror.disk.before_execute.append(lambda: mirror.edit("a", b"mine"))
    server.write("b", BIG)
    mirror.run()
    assert mirror.disk.text() == {"a": b"mine", "b": BIG} == server.text()
    assert server.fetched == 2


def test_a_renamed_folder_of_many_files_costs_no_content(mirror, server):
    """Every old name is seen to go before the first new one comes."""
    bodies = {f"{number:04}": b"%04d" % number * 16_400 for number in range(1_200)}
    for name, body in bodies.items():
        server.write(f"old/{name}", body)
        mirror.edit(f"old/{name}", body)
    mirror.run()
    assert server.fetched == 0, "what lay there was adopted"
    for name in bodies:
        server.delete(f"old/{name}")
    for name, body in bodies.items():
        server.write(f"new/{name}", body)
    mirror.run()
    assert mirror.disk.text() == {f"new/{name}": body for name, body in bodies.items()}
    assert server.fetched == 0


async def test_what_is_reused_is_counted(tmp_path):
    server = SimServer()
    server.write("a", MIDDLE)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        mirror.api.write("b", MIDDLE)
        picture = await mirror.until(lambda seen: seen.observed == 2 and equal(seen))
        assert (picture.traffic.fetched, picture.traffic.reused) == (1, 1)


# ---------------------------------------------------------------------------------------- on a real file system


def copied(at, twin, body, *, expected=None, mode="644"):
    return Place(TreePath(at), version_of(body, mode), Twin(TreePath(twin[0]), twin[1]), expected)


@pytest.mark.parametrize("shares", [True, False])
def test_a_twin_is_copied_or_shared_and_stays_what_it_is(ground, monkeypatch, shares):
    def share(source, to):
        if shares:
            os.copy_file_range(source, to, len(BIG), 0, 0)
        return shares

    monkeypatch.setattr(stage.kernel, "reflink", share)
    twin = ("a", ground.put("a", BIG))
    small = ground.put("small", b"1")
    first, second = ground.disk.execute(
        [copied("b", twin, BIG, mode="755"), copied("small", twin, BIG, expected=small)]
    )
    assert ground.files() == {"a": BIG, "b": BIG, "small": BIG}
    assert (first.stat, second.stat) == (ground.stat("b"), ground.stat("small"))
    assert (first.stat.mode, ground.stat("a")) == ("755", twin[1])
    assert ground.staged() == []


def test_a_twin_that_makes_way_in_the_same_batch_or_lies_in_the_trash_is_found(ground):
    twin = ("a", ground.put("a", BIG))
    assert [type(one) for one in ground.disk.execute([Remove(TreePath("a"), twin[1]), copied("b", twin, BIG)])] == [
        Done,
        Done,
    ]
    assert ground.files() == {"b": BIG}
    (done,) = ground.disk.execute([copied("c", twin, BIG)])
    assert isinstance(done, Done)
    assert ground.files() == {"b": BIG, "c": BIG}


def test_a_twin_that_is_another_by_now_is_never_placed(ground):
    twin = ("a", ground.put("a", BIG))
    assert ground.disk.execute([copied("b", twin, BIG[::-1])]) == [Unfit("b")], "its bytes are not those"
    (ground.root / "a").write_bytes(BIG + b"more")
    assert ground.disk.execute([copied("b", twin, BIG)]) == [Unfit("b")]
    (ground.root / "a").unlink()
    assert ground.disk.execute([copied("b", twin, BIG)]) == [Unfit("b")]
    (ground.root / "a").symlink_to(ground.outside / "canary")
    assert ground.disk.execute([copied("b", twin, BIG)]) == [Unfit("b")]
    assert (ground.files().keys(), ground.staged()) == ({"a"}, [])


assert len(MIDDLE) < LARGE_BYTES < len(BIG)
assert digest_of(MIDDLE) != digest_of(BIG)
