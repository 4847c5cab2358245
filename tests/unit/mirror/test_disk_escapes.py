"""Whatever happens to the folders of a path while a batch is being published, nothing lands outside the root."""

import os

import pytest

from relayfile.mirror.ports import Done, Refused, Remove


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def swapped(ground):
    """After the first step the folder `a` lies outside, and what `stands` in is in its place."""

    def swap_for(stands):
        def reach(point):
            if point == "published" and not (ground.outside / "taken").exists():
                (ground.root / "a").rename(ground.outside / "taken")
                if stands == "link":
                    (ground.root / "a").symlink_to(ground.outside / "taken")

        ground.disk._reach = reach

    yield swap_for
    taken = ground.outside / "taken"
    if taken.exists():
        for path in taken.iterdir():
            path.unlink()
        taken.rmdir()


@pytest.mark.parametrize("stands", ["nothing", "link"])
def test_a_folder_that_left_the_root_gets_no_more_files(ground, swapped, stands):
    swapped(stands)
    steps = [ground.place(f"a/{name}", b"content") for name in ("one", "two", "three")]
    results = ground.disk.execute(steps)
    assert names(ground.outside / "taken") == ["one"], "only what came before it left"
    assert isinstance(results[0], Done)
    if stands == "link":
        assert [type(result) for result in results[1:]] == [Refused, Refused]
        assert "a link" in results[1].reason
    else:
        assert sorted(ground.files()) == ["a/three", "a/two"], "the folder was made anew"


def test_nothing_is_removed_from_a_folder_that_left_the_root(ground, swapped):
    stats = {name: ground.put(f"a/{name}", name.encode()) for name in ("one", "two")}
    swapped("link")
    first = ground.place("a/new", b"x")
    ground.disk.execute([first, *(Remove(ground.place(f"a/{name}", b"").path, stats[name]) for name in stats)])
    assert (names(ground.outside / "taken")) == ["new", "one", "two"]


def test_a_path_of_two_thousand_folders_is_placed_and_removed(ground):
    path = "d/" * 2_040 + "z"
    stat = ground.disk.execute([ground.place(path, b"deep")])[0].stat
    descriptor = os.open(path, os.O_RDONLY, dir_fd=ground.beneath.root)
    assert os.read(descriptor, 9) == b"deep"
    os.close(descriptor)
    (done,) = ground.disk.execute([Remove(ground.place(path, b"").path, stat)])
    assert done == Done(done.path, None)
    assert not (ground.root / "d").exists(), "the folders went with their last file"
