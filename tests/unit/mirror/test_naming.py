"""A mirror on a file system with other rules for names: kept in step under local names, never pushed as new paths.

No kernel here can mount one, so the rules are simulated below `os` (`odd_disks`); disk, scanner, state and cycle are
the real ones.
"""

import asyncio
import contextlib
import errno
import time

import pytest

from odd_disks import FOLDING, SHORT, VFAT, Odd, lying_on
from relayfile.core.naming import Rules, mapped
from relayfile.errors import Misconfigured
from relayfile.mirror import why
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.naming import probe
from relayfile.mirror.parts import LocalParts
from relayfile.mirror.scan import LocalScanner
from relayfile.mirror.watch import LocalWatcher
from simulation.world import SimMirror, SimServer, path


class OddDisk:
    """A real root as the simulation takes one: `ports.Disk` and `ports.Scanner`, and what a person does there."""

    die_in = None

    def __init__(self, root):
        self.root = root
        root.mkdir(exist_ok=True)
        self.open()

    def open(self):
        self.beneath = Beneath(str(self.root))
        # what a person writes here is older than a tick of the clock of file times
        scanner = LocalScanner(self.beneath, lambda: time.time() + 9)
        disk = LocalDisk(self.beneath, "host", time.time)
        self.ports = (disk, scanner, LocalParts(self.beneath))

    def __getattr__(self, name):
        return next(getattr(port, name) for port in self.ports if hasattr(port, name))

    def write(self, local, body, mode="644"):
        (self.root / local).parent.mkdir(parents=True, exist_ok=True)
        (self.root / local).write_bytes(body)

    def delete(self, local):
        (self.root / local).unlink()

    def text(self):
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for file in sorted(self.root.rglob("*"))
            if file.is_file() and ".relay" not in file.parts
        }


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def on(tmp_path, server):
    """A mirror on a file system with these rules."""
    with contextlib.ExitStack() as closing:

        def make(rules: Odd, name="one"):
            closing.enter_context(lying_on(rules))
            disk = OddDisk(tmp_path / f"root-{name}")
            closing.callback(disk.beneath.close)
            mirror = SimMirror(tmp_path, server, disk=disk, name=name)
            closing.callback(mirror.state.close)
            return mirror

        yield make


def local(name, rules):
    with lying_on(rules):
        return mapped(name, _rules(rules))


def _rules(rules):
    return Rules(
        rules.most_bytes,
        frozenset(rules.reserved),
        rules.highest,
        ends=not rules.strips,
        devices=rules.devices,
        folds=rules.folds,
    )


def not_kept(mirror):
    report = mirror.last.report
    return {**report.left, **{one.path: one.reason for one in report.refused}}


def assert_equal(mirror, server):
    assert mirror.last.report.equal is True
    assert mirror.last.report.pending.nothing
    assert not not_kept(mirror)


@pytest.mark.parametrize("rules", [Odd(), FOLDING, SHORT, VFAT, Odd(reserved=":"), Odd(highest="\x7f")])
def test_the_rules_of_a_file_system_are_found_by_trying_and_nothing_of_that_is_left(tmp_path, rules):
    with lying_on(rules), contextlib.closing(Beneath(str(tmp_path))) as beneath:
        assert beneath.naming.rules == _rules(rules)
        assert beneath.naming.plain is (rules == Odd())
        assert probe(beneath.private) == _rules(rules)
    assert sorted(one.name for one in (tmp_path / ".relay").iterdir()) == ["parts", "stage", "trash"]


HARD = ["a: b?.txt", "dir./x", "aux", "tail ", "\U0001f600/y.md", "line\nbreak"]


@pytest.mark.parametrize("rules", [VFAT, FOLDING, SHORT], ids=["vfat", "folding", "short"])
def test_every_path_is_kept_in_step_both_ways_under_a_name_the_file_system_takes(on, server, rules):
    mirror = on(rules)
    for name in [*HARD, "n" * 200 + ".txt", "README", "readme", "Docs/a", "docs/b"]:
        server.write(name, name.encode())
    mirror.run()
    assert_equal(mirror, server)
    assert sorted(mirror.disk.text().values()) == sorted(server.text().values())
    puts = server.puts
    mirror.run(sweep=True)
    assert server.puts == puts, "nothing is ever sent under a local name"
    for at, body in mirror.disk.text().items():
        mirror.disk.write(at, body + b" edited")
    mirror.run(sweep=True)
    assert all(body == name.encode() + b" edited" for name, body in server.text().items())
    for name in server.text():
        server.write(name, b"theirs " + name.encode())
    mirror.run()
    assert sorted(mirror.disk.text().values()) == sorted(server.text().values())
    assert_equal(mirror, server)


def test_an_edit_a_deletion_and_a_renaming_of_a_local_name_go_up_under_the_true_path(on, server):
    mirror = on(VFAT)
    for name in ("a:1", "a:2", "a:3"):
        server.write(name, name.encode())
    mirror.run()
    one, two, three = (local(name, VFAT) for name in ("a:1", "a:2", "a:3"))
    mirror.disk.write(one, b"edited")
    mirror.disk.delete(two)
    (mirror.disk.root / three).rename(mirror.disk.root / "plain")
    mirror.hints |= {path("a:1"), path("a:2"), path("a:3"), path("plain")}
    mirror.run()
    assert server.text() == {"a:1": b"edited", "plain": b"a:3"}
    assert_equal(mirror, server)


@pytest.mark.parametrize("rules", [VFAT, SHORT], ids=["vfat", "short"])
def test_after_a_lost_state_local_names_are_recognised_and_adopted(on, server, rules, tmp_path):
    mirror = on(rules)
    names = ["a:b", "x" * 180 + ".txt", "README", "readme", "e" * 150 + "/in", "E" * 120 + ".:"]
    for name in names:
        server.write(name, name.encode())
    mirror.run()
    before, puts = mirror.disk.text(), server.puts
    mirror.state.close()
    (tmp_path / "one.db").unlink()
    mirror.disk.beneath.close()
    mirror.disk.open()
    mirror.start()
    steps = len(server.text())
    mirror.run()
    assert mirror.disk.text() == before
    assert (server.puts, len(server.text())) == (puts, steps)
    assert_equal(mirror, server)


def test_a_cut_name_that_nobody_knows_is_left_alone_and_listed_until_it_is_renamed(on, server):
    mirror = on(SHORT)
    mirror.disk.write("mine~-0123456789abcdef.txt", b"mine")
    mirror.run()
    assert server.text() == {}
    ((name, reason),) = not_kept(mirror).items()
    assert name == "mine~-0123456789abcdef.txt"
    assert "rename it" in reason
    (mirror.disk.root / name).rename(mirror.disk.root / "mine.txt")
    mirror.run(sweep=True)
    assert server.text() == {"mine.txt": b"mine"}


def test_a_file_that_only_looks_like_a_local_name_is_an_ordinary_one(on, server):
    mirror = on(VFAT)
    mirror.disk.write("a%3Ab~=000000000000", b"mine")
    mirror.run()
    assert server.text() == {"a%3Ab~=000000000000": b"mine"}


def test_the_twin_that_lies_there_keeps_its_name_whatever_comes_or_is_restarted(on, server):
    mirror = on(FOLDING)
    server.write("b.txt", b"first")
    mirror.run()
    server.write("B.txt", b"second")
    server.write("a.txt", b"1")
    server.write("A.txt", b"2")
    mirror.run()
    expected = {"b.txt": b"first", local("B.txt", FOLDING): b"second", "a.txt": b"1", local("A.txt", FOLDING): b"2"}
    assert mirror.disk.text() == expected
    server.write("B.txt", b"third")
    server.write("A.txt", b"3")
    mirror.run()
    mirror.disk.beneath.close()
    mirror.disk.open()
    mirror.kill()
    mirror.run()
    expected |= {local("B.txt", FOLDING): b"third", local("A.txt", FOLDING): b"3"}
    assert mirror.disk.text() == expected
    assert_equal(mirror, server)
    assert dict(mirror.last.report.elsewhere) == {name: local(name, FOLDING) for name in ("A.txt", "B.txt")}
    account = why.fields(mirror.cycle.account(path("A.txt")))
    assert (account["path"], account["local_name"]) == ("/A.txt", f"/{local('A.txt', FOLDING)}")
    assert f"called /{local('A.txt', FOLDING)} here" in why.text(account)
    assert mirror.cycle.account(path(local("A.txt", FOLDING))).trees.path == "A.txt", "asked by its name here"
    assert why.fields(mirror.cycle.account(path("a.txt")))["local_name"] is None
    mirror.disk.delete(local("A.txt", FOLDING))
    mirror.hints.add(path("A.txt"))
    mirror.run()
    assert dict(mirror.last.report.elsewhere) == {"B.txt": local("B.txt", FOLDING)}


def test_normal_forms_are_twins_where_the_file_system_says_so(on, server):
    mirror = on(FOLDING)
    server.write("caf\u00e9", b"composed")
    server.write("cafe\u0301", b"decomposed")
    mirror.run()
    assert mirror.disk.text() == {"caf\u00e9": b"composed", local("cafe\u0301", FOLDING): b"decomposed"}
    assert_equal(mirror, server)


def test_a_twin_gets_its_own_name_once_the_other_is_gone(on, server):
    mirror = on(FOLDING)
    server.write("d/README", b"1")
    server.write("d/readme", b"2")
    server.write("D/x", b"3")
    mirror.run()
    server.delete("d/README")
    mirror.run(sweep=True)
    assert mirror.disk.text() == {"d/readme": b"2", f"{local('D', FOLDING)}/x": b"3"}
    server.delete("d/readme")
    mirror.run(sweep=True)
    assert mirror.disk.text() == {"D/x": b"3"}
    assert_equal(mirror, server)


def test_a_renaming_that_changes_only_case_is_a_renaming_on_both_sides_and_comes_to_rest(on, server):
    one, two = on(FOLDING), on(FOLDING, "two")
    server.write("a.txt", b"1")
    server.write("dir/x", b"2")
    one.run()
    two.run()
    (one.disk.root / "a.txt").rename(one.disk.root / "A.txt")
    (one.disk.root / "dir").rename(one.disk.root / "Dir")
    one.run(sweep=True)
    assert server.text() == {"A.txt": b"1", "Dir/x": b"2"}
    position = server.position
    for mirror in (two, one, two):
        mirror.run(sweep=True)
        assert mirror.disk.text() == {"A.txt": b"1", "Dir/x": b"2"}
        assert_equal(mirror, server)
    assert server.position == position, "and nothing is sent to and fro"


def test_where_a_local_name_and_its_own_both_lie_the_own_is_the_path_and_the_other_is_listed(on, server):
    mirror = on(FOLDING)
    server.write("README", b"1")
    server.write("readme", b"2")
    mirror.run()
    mirror.disk.delete("README")
    mirror.disk.write("readme", b"3")
    mirror.run(sweep=True)
    assert server.text() == {"readme": b"3"}
    assert mirror.disk.text() == {"readme": b"3", local("readme", FOLDING): b"2"}
    assert list(not_kept(mirror)) == [local("readme", FOLDING)]


@pytest.mark.parametrize("name", [".RELAY/x", "a/.Relay/id", ".re\u200clay/x", "a/.relayfile-\u00adsecrets"])
def test_nothing_that_a_folding_file_system_takes_for_the_mirrors_own_is_placed(on, server, name):
    mirror = on(FOLDING)
    server.write(name, b"x")
    server.write("a/b", b"y")
    mirror.run()
    assert mirror.disk.text() == {"a/b": b"y"}
    ((path_, reason),) = not_kept(mirror).items()
    assert path_ == name
    assert "for themselves" in reason


def test_content_displaced_by_a_dead_daemon_is_found_again_under_a_name_the_file_system_takes(on, server):
    mirror = on(SHORT)
    name = "long " * 30
    server.write(name, b"1")
    mirror.run()
    server.write(name, b"2")
    mirror.disk.write(local(name, SHORT), b"mine")
    mirror.run(sweep=True)
    assert sorted(mirror.disk.text().values()) == [b"2", b"mine"]
    assert sorted(server.text().values()) == [b"2", b"mine"]
    assert len(server.text()) == 2
    assert all("~-" not in name for name in server.text())


async def test_a_hint_speaks_of_the_true_path(tmp_path):
    with lying_on(VFAT), contextlib.closing(Beneath(str(tmp_path))) as beneath:
        watcher = LocalWatcher(beneath, time.monotonic)
        hints = watcher.hints()
        assert (await anext(hints)).overflow
        async with asyncio.timeout(5):
            (tmp_path / local("a:b", VFAT)).mkdir()
            assert (await anext(hints)).paths == {"a:b"}
            (tmp_path / local("a:b", VFAT) / local("c?", VFAT)).write_bytes(b"1")
            assert (await anext(hints)).paths == {"a:b/c?"}
        await hints.aclose()
        watcher.close()


@pytest.mark.parametrize("rules", [Odd(), FOLDING], ids=["ordinary", "folding"])
def test_a_disk_too_full_to_be_tried_keeps_only_a_folding_root_from_being_opened(tmp_path, monkeypatch, rules):
    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("relayfile.mirror.beneath.probe", full)
    with lying_on(rules):
        if rules == Odd():
            with contextlib.closing(Beneath(str(tmp_path))) as beneath:
                assert beneath.naming.plain
        else:
            with pytest.raises(Misconfigured, match="No space left"):
                Beneath(str(tmp_path))


def test_where_no_modes_are_kept_a_file_has_the_mode_the_workspace_gives_it(on, server):
    mirror = on(Odd(modes=False))
    mirror.disk.write("tool.sh", b"same")
    (mirror.disk.root / "tool.sh").chmod(0o755)
    server.write("tool.sh", b"same", "755")
    server.write("text", b"1")
    server.write("link", b"text", "120000")
    mirror.run()
    mirror.disk.write("new", b"2")
    (mirror.disk.root / "new").chmod(0o755)
    mirror.disk.write("tool.sh", b"edited")
    mirror.run(sweep=True)
    modes = {name: version.mode for name, (_, version) in server.nodes.items()}
    assert modes == {"tool.sh": "755", "text": "644", "link": "120000", "new": "644"}
    server.write("text", b"1", "755")
    server.write("tool.sh", b"edited", "644")
    mirror.run()
    puts = server.puts
    mirror.run(sweep=True)
    audit = mirror.cycle.audit()
    while audit.piece():
        pass
    assert (audit.files, server.puts) == (4, puts)
    mirror.run()
    assert_equal(mirror, server)
