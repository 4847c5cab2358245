"""The mirror's process dies before every statement and every step on the disk, once each; then it restarts.

A killed process keeps what was committed and what was done on the disk, and nothing else. Whatever the moment, the
restart must end equal, with no bytes lost (I1, I9), no needless conflict copy, and no write made twice.
"""

import itertools

import pytest

from relayfile.mirror.ports import LARGE_BYTES
from simulation.world import Died, SimDisk, SimMirror, SimServer

BOTH_EDITED = "both.txt"
LARGE = bytes(range(256)) * 8_500  # three pieces


class Mortal(SimMirror):
    """A mirror whose process dies after `left` more statements or disk steps, once."""

    def __init__(self, folder, server, left):
        self.left = left
        self.points = 0
        disk = SimDisk()
        disk._live = self.point
        super().__init__(folder, server, disk)

    def start(self):
        super().start()
        self.state._db.exec_trace = self.trace

    def trace(self, _, sql, __):
        if not sql.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT", "ROLLBACK")):
            self.point()  # after a commit is before the next statement
        return True

    def point(self):
        self.points += 1
        if self.left is not None:
            if self.left == 0:
                self.left = None
                raise Died
            self.left -= 1

    def kill(self):
        self.state._db.exec_trace = None
        super().kill()

    def attempt(self, work):
        try:
            return work()
        except Died:
            self.kill()
            return None


def live(folder, left):
    """One life with everything in it: fill, edits both ways, a conflict, deletions, a new generation."""
    server = SimServer(inline=8)
    server.write("keep", b"1")
    server.write(BOTH_EDITED, b"base")
    server.write("big", b"larger than inline")
    server.write("gone", b"2")
    server.write("ours-gone", b"3")
    mirror = Mortal(folder, server, left)
    mirror.disk.write("local-only", b"4")
    mirror.attempt(mirror.run)
    mirror.attempt(mirror.run)
    server.write(BOTH_EDITED, b"theirs")
    server.delete("gone")
    server.write("keep", b"changed there")
    mirror.edit(BOTH_EDITED, b"mine")
    mirror.edit("big", b"edited here")
    mirror.remove("ours-gone")
    mirror.attempt(mirror.run)
    mirror.attempt(mirror.run)
    mirror.attempt(lambda: mirror.turn(reset="expired"))
    mirror.attempt(mirror.run)
    mirror.attempt(mirror.run)
    return server, mirror


def points(folder):
    mirror = live(folder, None)[1]
    mirror.state.close()
    return mirror.points


STRIPES = 8


@pytest.mark.parametrize("stripe", range(STRIPES))
def test_whenever_it_dies_the_restart_ends_equal_and_nothing_is_lost(tmp_path, stripe):
    (tmp_path / "count").mkdir()
    total = points(tmp_path / "count")
    assert total > 200
    for moment in itertools.islice(range(total), stripe, None, STRIPES):
        folder = tmp_path / str(moment)
        folder.mkdir()
        server, mirror = live(folder, moment)
        where = f"died at point {moment} of {total}"
        assert mirror.left is None, where
        assert mirror.disk.text() == server.text(), where
        assert mirror.last.report.equal is True, where
        kept = server.text()
        assert kept.pop("keep") == b"changed there", where
        assert kept.pop("big") == b"edited here", where
        assert kept.pop("local-only") == b"4", where
        assert kept.pop(BOTH_EDITED) == b"theirs", where
        assert list(kept.values()) == [b"mine"], f"{where}: exactly one conflict copy, nothing else"
        assert server.puts == 4, f"{where}: local-only, big, the copy and one deletion, each once"
        mirror.state.close()


def fill_with_large(folder, left):
    """A life in which two large contents come, one of them in place of an edit that the server has."""
    server = SimServer()
    server.write("small", b"1")
    server.write("large", LARGE)
    mirror = Mortal(folder, server, left)
    mirror.attempt(mirror.run)
    mirror.attempt(mirror.run)
    server.write("small", LARGE + b"2")
    mirror.attempt(mirror.run)
    mirror.attempt(mirror.run)
    return server, mirror


def test_whenever_it_dies_a_large_content_ends_in_place_and_hardly_anything_is_sent_twice(tmp_path):
    """Defends M23."""
    (tmp_path / "count").mkdir()
    total = fill_with_large(tmp_path / "count", None)[1].points
    for moment in range(total):
        folder = tmp_path / str(moment)
        folder.mkdir()
        server, mirror = fill_with_large(folder, moment)
        where = f"died at point {moment} of {total}"
        assert mirror.disk.text() == {"small": LARGE + b"2", "large": LARGE}, where
        assert mirror.last.report.equal is True, where
        assert mirror.disk.parts == {}, where
        assert server.sent <= 2 * len(LARGE) + 1 + LARGE_BYTES, f"{where}: at most one piece twice"
        mirror.state.close()


def test_the_cursor_never_runs_ahead_of_the_rows_it_stands_for(tmp_path):
    """Defends I4: after a death at any moment, every change up to the cursor is in the remote tree."""
    (tmp_path / "count").mkdir()
    for moment in range(0, points(tmp_path / "count"), 7):
        folder = tmp_path / str(moment)
        folder.mkdir()
        server = SimServer()
        for number in range(12):
            server.write(f"f{number}", b"%d" % number)
        mirror = Mortal(folder, server, moment)
        mirror.attempt(mirror.run)
        mirror.left = None  # it outlived that moment
        cursor = mirror.state.stream().cursor
        rows = dict(mirror.state._db.execute("SELECT path, r_revision FROM node"))
        expected = {at: position for at, (position, _) in server.nodes.items() if position <= cursor.position}
        assert expected.items() <= rows.items(), f"died at point {moment}"
        assert cursor.position in {0, 12}
        mirror.state.close()
