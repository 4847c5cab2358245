"""`verify` and `why` with real processes: a file whose bytes changed while all of its state stayed."""

import apsw
import pytest

from journeys_support import Mirrors
from machines import files_below
from waiting import until


@pytest.fixture
def pair(server, new_machine, place) -> Mirrors:
    """Two machines with a mirror each of one workspace."""
    return Mirrors.of(server, [new_machine(), new_machine()], place)


def rot(machine, root, path, content):
    """The file holds other bytes, and the mirror takes its state for that of the old ones, as after bit rot."""
    machine.run("stop", root)
    until(lambda: not machine.daemons(), within_s=5, what="no daemon is left")
    (root / path).write_bytes(content)
    now = (root / path).stat()
    (file,) = machine.home.glob("mirrors/*/state.db")
    state = apsw.Connection(str(file))
    state.execute(
        "UPDATE node SET l_ino = ?, l_size = ?, l_mtime_ns = ?, l_ctime_ns = ? WHERE path = ?",
        (now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns, path),
    )
    state.close()
    machine.run("restart", root)
    machine.until_live(root)


def test_rot_is_found_by_reading_listed_and_mended_without_anything_lost_or_sent_unasked(pair):
    (a, root_a), (_, root_b) = pair.both
    (root_a / "docs").mkdir()
    (root_a / "docs" / "plan.txt").write_text("the plan\n")
    (root_a / "other.txt").write_text("other\n")
    pair.until_equal({"docs/plan.txt", "other.txt"})
    (row,) = a.run("verify", root_a, "--deep", "--json").json
    assert (row["exit"], row["files_read"], row["differences"]) == (0, 2, [])
    assert row["equal_to"] == a.mirror(root_a)["head"]

    rot(a, root_a, "docs/plan.txt", b"the p1an\n")
    assert a.run("verify", root_a, "--json").json[0]["exit"] == 0, "its state says that it is as it was"
    told = a.run("verify", root_a, "--deep", exit_code=6)
    assert "/docs/plan.txt: its bytes changed here without an edit" in told.out
    assert a.run("verify", root_a, exit_code=6).out.count("docs/plan.txt") == 1
    assert [one["path"] for one in a.mirror(root_a)["not_kept"]] == ["docs/plan.txt"]
    (root_b / "other.txt").write_text("from b\n")
    until(lambda: (root_a / "other.txt").read_text() == "from b\n", within_s=10, what="b", evidence=pair.evidence)
    assert (root_b / "docs" / "plan.txt").read_text() == "the plan\n"

    why = a.run("why", root_a / "docs" / "plan.txt", "--json").json
    assert why["next"].startswith("it is left out: its bytes changed here")
    assert [one["did"] for one in why["decisions"]][:2] == ["rotted", "sent"]
    assert "was put" not in a.run("verify", root_a, "--deep", "--mend").out
    both = pair.until_equal(None)
    assert both.pop("docs/plan.txt") == b"the plan\n"
    assert [body for path, body in both.items() if "plan (conflict" in path] == [b"the p1an\n"]
    assert files_below(root_a) == files_below(root_b)
