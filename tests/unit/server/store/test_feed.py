"""The log's pages: each path once, in the order of its last change; tombstones and their pruning."""

import time

import pytest

from relayfile.errors import NotFound
from relayfile.server.store import bodies, feed
from store_driver import write


def changed(store, since=0, inline=-1, limit=1_000):
    return list(feed.changed_after(store.connection, store.log, since, limit=limit, inline_bytes=inline))


def test_an_unknown_workspace_has_no_log(store):
    with pytest.raises(NotFound) as refused:
        feed.log_of(store.connection, "rw_other")
    assert refused.value.code == "workspace_not_found"


def test_each_path_comes_once_in_the_order_of_its_last_change(store):
    store.commit(write("a", b"1"), write("b", b"1"), write("c", b"1"), write("a", b"2"), write("b", None))
    assert [(event.path, event.position, event.kind) for event in changed(store)] == [
        ("c", 3, feed.CREATED),
        ("a", 4, feed.UPDATED),
        ("b", 5, feed.DELETED),
    ]
    assert [event.path for event in changed(store, since=4)] == ["b"]


def test_every_position_is_a_place_to_resume_from(store):
    store.commit(*(write(f"f{number}", b"1") for number in range(5)))
    seen = [event.path for event in changed(store, limit=2)]
    store.one("f0", b"2")  # changed while the reader pages: it moves later, never earlier
    seen += [event.path for event in changed(store, since=2)]
    assert seen == ["f0", "f1", "f2", "f3", "f4", "f0"]


def test_bodies_come_up_to_the_size_asked_for(store):
    store.commit(write("small", b"12"), write("large", b"123"), write("empty", b""))
    assert [event.body for event in changed(store, inline=2)] == [b"12", None, None]


def test_a_live_page_brings_a_body_only_with_the_newest_change_of_a_path(store):
    store.commit(write("a", b"1"), write("a", b"2"))
    events = list(feed.events_after(store.connection, store.log, 0, limit=9, inline_bytes=10))
    assert [(event.position, event.current, event.body) for event in events] == [(1, False, None), (2, True, b"2")]


def test_pruning_takes_old_tombstones_only_and_remembers_the_highest(store):
    store.commit(write("a", b"1"), write("b", b"1"), now_ns=1)
    store.commit(write("a", None), now_ns=1)
    store.one("b", None)
    assert feed.prune_tombstones(store.connection, before_ns=time.time_ns() - 10**9) == 1
    assert (store.log.pruned, [event.path for event in changed(store)]) == (3, ["b"])


def test_a_body_is_found_by_digest_only_through_a_path_the_reader_sees(store):
    store.commit(write("secret", b"x"), write("open", b"y"))
    digest = store.state("secret").digest
    assert bodies.find(store.connection, store.log.id, digest, None) is None, (
        "nothing is indexed before it is asked for"
    )
    while not bodies.locate(store.connection, store.log.id):
        pass
    assert bodies.located(store.connection, store.log.id)
    body_id, size = bodies.find(store.connection, store.log.id, digest, None)
    assert (bodies.stored(store.connection, body_id), size) == (b"x", 1)
    assert bodies.find(store.connection, store.log.id, digest, lambda path: path == "open") is None
