"""Writing: the order of checks (R21), revisions, the digest, what an identical write does."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayfile.core import digest as tree_digest
from relayfile.model import TreePath
from relayfile.server.store import feed
from relayfile.server.store.files import Absent, Conflict, KeyReused, Stored
from relayfile.server.store.idempotency import forget
from store_driver import write


def test_a_write_is_the_next_position_and_the_paths_revision(store):
    assert store.one("a", b"1") == Stored(1, event=True, content_type="text/markdown")
    assert store.one("b", b"2").position == 2
    assert store.one("a", b"3").position == 3
    assert (store.state("a").position, store.state("b").position, store.log.head) == (3, 2, 3)


def test_a_precondition_lets_through_only_what_was_seen(store):
    assert store.one("a", b"1", over=0) == Stored(1, event=True, content_type="text/markdown")
    assert store.one("a", b"2", over=0) == Conflict(1)
    assert store.one("a", b"2", over=7) == Conflict(1)
    assert store.one("b", b"2", over=7) == Absent()
    assert store.one("a", b"2", over=1).position == 2
    assert store.one("a", None, over=1) == Conflict(2)
    assert store.log.head == 2


def test_deleting_leaves_a_tombstone_and_a_later_write_creates_anew(store):
    store.one("a", b"1")
    assert store.one("a", None) == Stored(2, event=True)
    assert store.one("a", None) == Absent()
    assert not store.state("a").live
    assert store.one("a", b"2", over=0).position == 3
    kinds = [event.kind for event in feed.events_after(store.connection, store.log, 0, limit=9)]
    assert kinds == [feed.CREATED, feed.DELETED, feed.CREATED]


def test_an_identical_write_is_counted_as_written_and_makes_no_event(store):
    store.one("a", b"1", mode="755", content_type="text/plain", semantics='{"comments":["c"]}')
    for same in (
        write("a", b"1"),
        write("a", b"1", mode="755", content_type="text/plain"),
        write("a", b"1", semantics='{"comments":["c"]}'),
        write("a", b"1", over=1),
    ):
        assert store.commit(same) == [Stored(1, event=False, content_type="text/plain")]
    assert store.log.head == 1


@pytest.mark.parametrize(
    "change",
    [{"mode": "644"}, {"content_type": "text/html"}, {"encoding": "base64"}, {"semantics": ""}, {"body": b"2"}],
)
def test_whatever_differs_is_a_change(store, change):
    store.one("a", b"1", mode="755", content_type="text/plain", semantics='{"comments":["c"]}')
    assert store.one("a", **{"body": b"1", **change}).position == 2


def test_an_absent_mode_keeps_the_paths_mode_but_a_symlink_becomes_a_file(store):
    store.one("a", b"1", mode="755")
    store.one("a", b"2")
    assert store.state("a").mode == "755"
    store.one("a", b"target", mode="120000")
    store.one("a", b"target")
    assert store.state("a").mode == "644"
    store.one("new", b"1")
    assert store.state("new").mode == "644"


def test_omitted_semantics_are_kept_and_empty_ones_remove_them(store):
    store.one("a", b"1", semantics='{"comments":["c"]}')
    store.one("a", b"2")
    assert store.state("a").semantics == '{"comments":["c"]}'
    store.one("a", b"2", semantics="")
    assert store.state("a").semantics is None


def test_the_key_is_asked_before_the_precondition_and_the_precondition_before_identity(store):
    assert store.one("a", b"1", over=0, key="K").position == 1
    store.one("a", b"2")
    # the same request again: answered as before, although its precondition no longer holds
    assert store.one("a", b"1", over=0, key="K") == Stored(1, event=False)
    # an identical content under a precondition that does not hold is still a conflict
    assert store.one("a", b"2", over=1) == Conflict(2)


def test_a_key_used_for_something_else_is_refused(store):
    store.one("a", b"1", key="K")
    assert store.one("a", b"other", key="K") == KeyReused()
    assert store.one("b", b"1", key="K") == KeyReused()
    assert store.one("a", None, key="K") == KeyReused()
    assert store.log.head == 1


def test_a_key_holds_for_writes_that_changed_nothing_and_for_deletions(store):
    store.one("a", b"1")
    assert store.one("a", b"1", key="same").position == 1
    store.one("a", b"2")
    assert store.one("a", b"1", key="same") == Stored(1, event=False)
    assert store.one("a", None, key="gone").position == 3
    assert store.one("a", None, key="gone") == Stored(3, event=False)


def test_a_key_is_known_within_its_own_request_and_not_after_a_refusal(store):
    outcomes = store.commit(write("a", b"1", key="K"), write("a", b"1", key="K"), write("a", b"2", key="K"))
    assert outcomes == [Stored(1, event=True, content_type="text/markdown"), Stored(1, event=False), KeyReused()]
    assert store.one("b", b"1", over=9, key="L") == Absent()
    assert store.one("b", b"1", over=0, key="L").position == 2, "a refused write used up no key"


def test_a_key_is_forgotten_when_its_time_is_over(store):
    store.commit(write("a", b"1", key="K"), now_ns=1)
    assert store.one("a", b"2", key="K").position == 2
    assert forget(store.connection, 2) == 0
    assert forget(store.connection, 1 << 62) == 1


def test_one_request_may_write_a_path_many_times(store):
    outcomes = store.commit(write("a", b"1"), write("a", b"2", over=1), write("a", None), write("a", b"3", over=0))
    assert [outcome.position for outcome in outcomes] == [1, 2, 3, 4]
    assert (store.log.files, store.log.head) == (1, 4)


def test_rules_come_from_semantics_or_a_markers_content_and_their_change_is_noted(store):
    store.one("plain", b"1")
    assert store.log.acl_position == 0
    store.one(".relayfile.acl", json.dumps({"semantics": {"permissions": ["agent:ada"]}}).encode())
    assert store.log.acl_position == 2
    store.one("secret", b"1", semantics='{"permissions":["agent:bob"]}')
    assert store.log.acl_position == 3
    store.one("secret", b"2")
    assert store.log.acl_position == 3, "content changed, rules did not"
    store.one("secret", None)
    assert store.log.acl_position == 5


paths = st.sampled_from(["a", "b", "b/c", "d/é", "z"])
bodies = st.none() | st.binary(max_size=3)
modes = st.sampled_from([None, "644", "755", "120000"])
requests = st.lists(st.lists(st.tuples(paths, bodies, modes), min_size=1, max_size=4), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(requests)
def test_the_incremental_digest_equals_the_sum_over_the_tree(store, sequence):
    for request in sequence:
        store.commit(*(write(path, body, mode=mode if body is not None else None) for path, body, mode in request))
    live = store.live()
    total = sum(tree_digest.leaf(TreePath(path), state.digest, state.mode) for path, state in live.items())
    assert store.log.tree_digest == (total % (1 << 256)).to_bytes(32, "big")
    assert store.log.files == len(live)
    assert feed.visible_digest(store.connection, store.log, lambda _: True) == (store.log.tree_digest, len(live))
