"""Positions never restart lower (R24)."""

import pytest

from relayfile.server.store.continuity import HighWater, handed_out, resume
from store_driver import write

NOW_S = 1_800_000_000.0


@pytest.fixture
def high_water(tmp_path):
    file = HighWater(tmp_path)
    yield file
    file.close()


def test_the_file_follows_every_commit(store, high_water):
    assert high_water.read() is None
    store.commit(write("a", b"1"), write("b", b"1"))
    high_water.committed(store.connection)
    assert high_water.read() == handed_out(store.connection) == 2
    store.one("a", b"2")
    high_water.committed(store.connection)
    assert high_water.read() == 3


def test_a_first_start_and_an_ordinary_restart_change_nothing(store):
    assert not resume(store.connection, None, now_s=NOW_S)
    before = store.log
    store.one("a", b"1")
    assert not resume(store.connection, 1, now_s=NOW_S)
    assert not resume(store.connection, 0, now_s=NOW_S), "a crash between commit and file"
    assert store.log.epoch == before.epoch


@pytest.fixture
def warned(caplog, expected_warnings, tmp_path):
    """Whether the operator was told of a jump, of the file it comes from and of what it means."""
    expected_warnings.append("every workspace goes on")

    def told():
        said, file = caplog.text, str(tmp_path / "high-water")
        caplog.clear()
        return file in said and "observes it again from 0" in said

    return told


def test_a_restored_database_goes_on_behind_what_was_lost_under_a_new_epoch(store, warned):
    store.commit(write("a", b"1"), write("b", b"1"))
    before = store.log
    assert resume(store.connection, 10, now_s=NOW_S)
    assert (store.log.head, handed_out(store.connection)) == (10, 10)
    assert store.log.epoch != before.epoch
    assert warned()
    assert store.log.tree_digest == before.tree_digest
    assert store.one("c", b"1").position == 11
    assert not resume(store.connection, 11, now_s=NOW_S), "once"
    assert not warned()


def test_a_lost_file_makes_every_log_jump_far_ahead(store, warned):
    store.one("a", b"1")
    assert resume(store.connection, None, now_s=NOW_S)
    assert store.log.head == int(NOW_S) * 1_000 + 1
    assert warned()
    assert not resume(store.connection, handed_out(store.connection), now_s=NOW_S)


@pytest.mark.parametrize("text", ["", "?", "garbage " * 10, "-5", "1_0", "9" * 16, "9" * 5_000, "\xe9"])
def test_a_file_that_is_no_count_counts_as_lost_and_is_mended_by_the_next_commit(store, tmp_path, high_water, text):
    (tmp_path / "high-water").write_text(text)
    assert high_water.read() is None
    store.one("a", b"1")
    high_water.committed(store.connection)
    assert high_water.read() == 1


def test_a_file_that_cannot_be_written_costs_no_commit(store, tmp_path, caplog, expected_warnings):
    expected_warnings.append("could not write")
    store.one("a", b"1")
    (tmp_path / "high-water").mkdir()
    HighWater(tmp_path).committed(store.connection)
    assert "tried again" in caplog.text
