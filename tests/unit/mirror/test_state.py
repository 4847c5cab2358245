"""The state file: whom it belongs to, and that work is found by index."""

from importlib import resources

import apsw
import pytest

from relayfile.errors import Damaged, Misconfigured, Unavailable
from relayfile.mirror.past import Decision
from relayfile.mirror.ports import Found
from relayfile.mirror.refusals import ROTTED, Refusal
from relayfile.mirror.state import Identity, State
from relayfile.mirror.trees import DOWN, UP
from relayfile.model import Cursor, Delete, Digest, Put, Stat, TreePath

MINE = Identity("m1", "rw_1", "http://one", 7, 9)
BODY = Digest(b"d" * 32)


@pytest.fixture
def state(tmp_path):
    state = State.open(tmp_path / "state.db", MINE)
    yield state
    state.close()


def put(name, position):
    return Put(TreePath(name), position, BODY, 1, "644")


def test_it_is_found_again_with_its_cursor(tmp_path, state):
    state.move_cursor(Cursor("e", 5), 9, 7)
    state.close()
    again = State.open(tmp_path / "state.db", MINE)
    assert (again.stream().cursor, again.stream().head, again.stream().start) == (Cursor("e", 5), 9, 7)
    again.close()


@pytest.mark.parametrize(
    "other",
    [
        Identity("m2", "rw_1", "http://one", 7, 9),
        Identity("m1", "rw_2", "http://one", 7, 9),
        Identity("m1", "rw_1", "http://two", 7, 9),
        Identity("m1", "rw_1", "http://one", 8, 9),
        Identity("m1", "rw_1", "http://one", 7, 10),
    ],
)
def test_it_never_meets_another_workspace_server_or_root(tmp_path, state, other):
    with pytest.raises(Misconfigured) as refusal:
        State.open(tmp_path / "state.db", other)
    assert refusal.value.code == "state_of_another"


def test_what_is_no_state_of_ours_is_left_as_it_is(tmp_path):
    text = tmp_path / "text.db"
    text.write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    with pytest.raises(Damaged):
        State.open(text, MINE)
    assert text.read_bytes().startswith(b"not a database")
    foreign = apsw.Connection(str(tmp_path / "foreign.db"))
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    with pytest.raises(Damaged) as refusal:
        State.open(tmp_path / "foreign.db", MINE)
    assert refusal.value.code == "state_unknown"


def test_a_state_of_a_newer_relayfile_is_refused(tmp_path, state):
    state._db.pragma("user_version", 99)
    with pytest.raises(Damaged):
        State.open(tmp_path / "state.db", MINE)


def test_faults_of_the_disk_are_transient_and_a_broken_file_is_not(state):
    with pytest.raises(Unavailable), state.faults():
        raise apsw.FullError
    with pytest.raises(Unavailable), state.faults():
        raise OSError(28, "No space left on device")
    with pytest.raises(Damaged), state.faults():
        raise apsw.CorruptError


@pytest.mark.parametrize(("work", "index"), [(DOWN, "node_down"), (UP, "node_up")])
def test_work_is_found_by_its_index_whatever_the_size_of_the_tree(state, work, index):
    plan = state._db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM node WHERE {work}").get
    assert index in str(plan)


def test_every_question_of_a_turn_is_answered_by_an_index(state):
    seen = []

    def note(_, sql, __):
        if sql.startswith(("SELECT", "UPDATE", "DELETE")):
            seen.append(sql)
        return True

    state._db.exec_trace = note
    state.trees.down((-1, ""), 5)
    state.trees.up(5, deletions=True)
    state.trees.up(5, deletions=False)
    state.measure.pending()
    state.measure.conflicts()
    state.measure.kept_sum()
    state.refusals.listed(5)
    state.refusals.count()
    state.overlaps.review([TreePath("a/b")])
    state.overlaps.in_the_way(5)
    state.brake.waiting("local")
    state.brake.waiting("remote")
    state._db.exec_trace = None
    for sql in seen:
        plan = "; ".join(row[3] for row in state._db.execute("EXPLAIN QUERY PLAN " + sql, (1,) * sql.count("?")))
        assert "SCAN node" not in plan.replace("SCAN node USING", "") or "INDEX node_" in plan, (sql, plan)


def test_an_older_change_never_replaces_a_newer_one_in_one_generation(state):
    state.trees.observe([put("a", 5)], 1, 0)
    state.trees.observe([put("a", 3)], 1, 0)
    state.trees.observe([Delete(TreePath("a"), 4)], 1, 0)
    (node,) = state.trees.down((-1, ""), 9)
    assert node.revision == 5
    state.trees.observe([put("a", 3)], 2, 0)
    (node,) = state.trees.down((-1, ""), 9)
    assert node.revision == 3, "a new generation is believed, also after a restore"


def test_a_tombstone_of_a_path_never_seen_leaves_no_row(state):
    state.trees.observe([Delete(TreePath("a"), 4)], 1, 0)
    assert state._db.execute("SELECT count(*) FROM node").get == 0


def test_files_below_a_folder_are_known_by_prefix_and_not_by_likeness(state):
    stat = Stat(1, 1, 1, 1, 1, "644")
    state.trees.see([Found(TreePath(name), stat, BODY) for name in ("d", "d/a", "d/b/c", "d.txt", "dz")], 0)
    assert sorted(state.trees.below(TreePath("d"))) == ["d/a", "d/b/c"]
    assert state.trees.get(TreePath("d/a")) == (stat, BODY)
    assert state.trees.get(TreePath("nowhere")) is None


def tables(file):
    connection = apsw.Connection(str(file))
    found = {
        name: [column[1:3] for column in connection.execute(f"PRAGMA table_info({name})")]
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    version = connection.pragma("user_version")
    connection.close()
    return found, version


def test_a_state_of_an_older_version_opens_with_what_it_knew_and_gains_what_is_new(tmp_path):
    old = apsw.Connection(str(tmp_path / "old.db"))
    old.execute(resources.files("relayfile.mirror").joinpath("schema.sql").read_text())
    old.execute(
        "INSERT INTO mirror (one, id, workspace, server, root_dev, root_ino, epoch, position)"
        " VALUES (1, 'm1', 'rw_1', 'http://one', 7, 9, 'e', 5)"
    )
    old.pragma("application_id", 0x52464D31)
    old.pragma("user_version", 1)
    old.close()
    opened = State.open(tmp_path / "old.db", MINE)
    assert opened.stream().cursor == Cursor("e", 5)
    opened.past.note([Decision(TreePath("a"), "placed", 5)], 1.0)
    assert opened.past.of(TreePath("a"), 9) == [(1.0, Decision(TreePath("a"), "placed", 5))]
    opened.close()
    State.open(tmp_path / "new.db", MINE).close()
    assert tables(tmp_path / "old.db") == tables(tmp_path / "new.db")


def test_a_later_refusal_never_makes_a_rotten_file_one_that_is_tried_again(state):
    refusals = state.refusals
    refusals.add([Refusal(TreePath("a"), "up", "overtaken", "newer", lasting=False)])
    refusals.add([Refusal(TreePath("a"), "up", ROTTED, "rotten", lasting=True)])
    refusals.add([Refusal(TreePath("a"), "up", "overtaken", "newer", lasting=False)])
    refusals.retry()
    assert [one.code for one in refusals.of(TreePath("a"))] == [ROTTED]


def test_the_newest_decisions_are_kept_and_the_oldest_dropped(state, monkeypatch):
    monkeypatch.setattr("relayfile.mirror.past.MOST_KEPT", 10)
    for number in range(25):
        state.past.note([Decision(TreePath(f"f{number % 2}"), "placed", number)], float(number))
    kept = [decision.revision for _, decision in state.past.of(TreePath("f0"), 100)]
    assert kept == [24, 22, 20, 18, 16]
    assert len(state.past.of(TreePath("f0"), 2)) == 2
