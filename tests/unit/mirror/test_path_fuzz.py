"""Hostile paths against the real disk: nothing outside the root ever changes, and every path comes back.

The tree beside the root is the canary: links inside the root point to it, and one is swapped in while a batch runs.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odd_disks import FOLDING, SHORT, VFAT, Odd, lying_on
from relayfile.core.naming import Rules, mapped
from relayfile.core.paths import left_out
from relayfile.errors import UsageError
from relayfile.mirror import kernel
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.ports import Done, Found, Place, Remove
from relayfile.mirror.scan import LocalScanner
from relayfile.model import Digest, TreePath, Version

FAR = "../../../../../../../../tmp"
POSING = [f"%2E%2E~={sha256(b'..').hexdigest()[:12]}", f"a%2Fb~={sha256(b'a/b').hexdigest()[:12]}"]
TWINS = ["README", "readme", "ReadMe", "caf\u00e9", "cafe\u0301", "CAF\u00c9", "stra\u00dfe", "STRASSE", "a", "A"]
OWN = [".relay", ".RELAY", ".re\u200clay", ".relay.", ".relayfile-secrets", ".Relayfile-Secrets", ".git"]
REFUSED = ["", ".", "..", "\0", "a\0b", "a\\b", "\\", "x" * 256, "\u00e9" * 128, "\ud800", "\udcff", FAR, "/etc"]
DEVICES = ["aux", "CON", "nul.txt", "com1.", "lpt9", "C:", "a:b", "*?", "a.", "a ", "...", " ", "~", "-rf", "$(x)"]
LONG = ["x" * 255, "x" * 254 + ".", "y" * 140 + ".txt", "\u00e9" * 127, "\U0001f600" * 63, "z" * 250 + ":.md"]
CONTROL = ["\x01", "\x1f\n", "\x7f", "\u202e", "\ufeffa", "%", "%2e%2e", "n~=000000000000", "n~-0123456789abcdef"]
MAPPED = [mapped(name, Rules(folds=True)) for name in ("readme", "A", "x" * 255)]
PLACES = ["a", "b", "dir", "link", "sub"]
SEGMENTS = st.one_of(
    *(st.sampled_from(some) for some in (TWINS, OWN, REFUSED, DEVICES, LONG, CONTROL, MAPPED, POSING, PLACES)),
    st.text(max_size=20),
)
TEXTS = st.one_of(
    st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join),
    st.lists(st.sampled_from([*TWINS, *PLACES]), min_size=1, max_size=3).map("/".join),
    st.integers(20, 60).map(lambda depth: "d/" * depth + "z"),
)


@pytest.fixture(autouse=True)
def without_barriers(monkeypatch):
    """What survives a power cut is tried elsewhere, and takes most of the time."""
    monkeypatch.setattr(kernel, "sync_file_system", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Known(dict):
    def below(self, folder):
        return [path for path in self if not folder or path.startswith(folder + "/")]


def snapshot(folder: Path):
    """Every byte and every stat below `folder`, but for when it was last read."""
    seen = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        state = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        seen[path] = (content, *(getattr(state, f"st_{part}") for part in STATE))
    return seen


STATE = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "mtime_ns", "ctime_ns")


@contextlib.contextmanager
def canary(folder: Path):
    for name in ("", "sub", "sub/b", "a", "README"):
        (folder / name).mkdir()
    for name in ("z", "readme", "sub/a", "a/b", "id", "state.json"):
        (folder / name).write_text(f"canary {name}")
    (folder / "to").symlink_to("sub")
    before = snapshot(folder)
    yield folder
    assert snapshot(folder) == before


def parsed(texts):
    """The paths that come through the door, each once; what does not is refused and nothing else."""
    paths = {}
    for text in texts:
        with contextlib.suppress(UsageError):
            paths[TreePath.parse(text)] = None
    for path in paths:
        assert not path.startswith("/")
        assert set(path.split("/")).isdisjoint({"", ".", ".."})
        assert path.encode().decode() == path
    return list(paths)


def place(path):
    body = path.encode()
    return Place(path, Version(1, Digest(sha256(body).digest()), len(body), "644"), body, None)


class World:
    """A root for one example, its disk, and how many files really lie there."""

    def __init__(self, folder: Path, reach):
        self.root = folder
        self.beneath = Beneath(str(folder))
        self.disk = LocalDisk(self.beneath, "host", time.time, reach)

    def found(self, known=()):
        beneath = Beneath(str(self.root))  # as a new daemon does, which has placed nothing yet
        try:
            sights = list(LocalScanner(beneath, lambda: time.time() + 9).sweep(Known(known)))
        finally:
            beneath.close()
        times = Counter(one.path for one in sights if isinstance(one, Found))
        assert not [path for path, count in times.items() if count > 1], "a path was seen twice"
        return {one.path: one for one in sights if isinstance(one, Found)}

    def files(self):
        """What really lies there beside `.relay`: files, and links of any kind."""
        found = []
        for above, folders, names in os.walk(self.root):
            at = Path(above)
            found += [at / name for name in (*names, *folders) if (at / name).is_symlink() or name in names]
            folders[:] = [name for name in folders if at != self.root or name != ".relay"]
        return found


def tried(folder: Path, rules: Odd, texts, links, swap_at):
    root = folder / "root"
    root.mkdir()
    count = 0

    def reach(point):
        nonlocal count
        count += point == "published"
        if point == "published" and count == swap_at and (root / "a").is_dir() and not (root / "a").is_symlink():
            (root / "a").rename(root / "moved away")
            (root / "a").symlink_to("../outside/sub")

    for name in links:
        (root / name).symlink_to(folder / "outside" if name != "dir" else "../outside/sub")
    with canary(folder / "outside"), lying_on(rules):
        world = World(root, reach)
        try:
            paths = parsed(texts)
            results = world.disk.execute([place(path) for path in paths])
            done = {one.path: one.stat for one in results if isinstance(one, Done)}
            assert not [path for path in done if left_out(path)]
            if not swap_at:
                everything_comes_back(world, done, links)
            world.disk.execute([Remove(path, stat) for path, stat in done.items() if stat])
            if not swap_at:
                assert len(world.files()) == len(links)
            world.disk.recover({})
        finally:
            world.beneath.close()
    return len(paths)


def everything_comes_back(world, done, links):
    found = world.found((path, (stat, place(path).version.digest)) for path, stat in done.items() if stat)
    assert {path for path in found if path not in links} == set(done)
    assert all(found[path].digest == place(path).version.digest for path in done)
    assert len(world.files()) == len(done) + len(links), "two paths share a file, or one has two"
    for path, stat in done.items():
        local = world.beneath.local_path(path)
        assert world.beneath.naming.path_meant(local) == path
        assert (world.root / local).is_file()
        assert world.disk.read(path, stat) == path.encode()


ALL = pytest.mark.parametrize("rules", [Odd(), FOLDING, SHORT, VFAT], ids=["linux", "folding", "short", "vfat"])
EXAMPLE = (
    st.lists(TEXTS, min_size=1, max_size=12),
    st.sets(st.sampled_from(["link", "dir", "b"])),
    st.one_of(st.just(0), st.integers(1, 6)),
)
OPTIONS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def in_a_folder(tmp_path, rules, texts, links, swap_at):
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    try:
        tried(folder, rules, texts, links, swap_at)
    finally:
        shutil.rmtree(folder)


@ALL
@settings(max_examples=60, **OPTIONS)
@given(*EXAMPLE)
def test_no_path_leaves_the_root_and_every_one_comes_back(tmp_path, rules, texts, links, swap_at):
    in_a_folder(tmp_path, rules, texts, links, swap_at)


@ALL
@pytest.mark.slow
@settings(max_examples=5_000, **OPTIONS)
@given(*EXAMPLE)
def test_no_path_of_many_leaves_the_root_and_every_one_comes_back(tmp_path, rules, texts, links, swap_at):
    in_a_folder(tmp_path, rules, texts, links, swap_at)
