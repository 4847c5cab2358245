"""Scope words as v1 clients write them (3-protocol B.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.scopes import ACCOUNT, ACTIONS, Scopes


@pytest.mark.parametrize(
    ("words", "action", "path", "allowed"),
    [
        ("fs:read", "fs:read", "/any/where", True),
        ("fs:read", "fs:write", "/any/where", False),
        ("relayfile:fs:read", "fs:read", "/a", True),
        ("relayfile:fs:read:*", "fs:read", "/a", True),
        ("relayfile:*:*", "ops:replay", None, True),
        ("relayfile:fs:manage", "fs:write", "/a", True),
        ("relayfile:sync:manage", "sync:trigger", None, False),
        ("relayfile:fs:read:/docs/a.md", "fs:read", "/docs/a.md", True),
        ("relayfile:fs:read:/docs/a.md", "fs:read", "/docs/a.md2", False),
        ("relayfile:fs:read:/docs/**", "fs:read", "/docs", True),
        ("relayfile:fs:read:/docs/**", "fs:read", "/docs/a/b", True),
        ("relayfile:fs:read:/docs/**", "fs:read", "/docsa", False),
        ("relayfile:fs:read:/docs/*", "fs:read", "/docs", False),
        ("relayfile:fs:read:/docs/*", "fs:read", "/docs/a/b", True),
        ("relayfile:fs:read:/do*", "fs:read", "/docs/a", True),
        ("*:fs:read:/docs/**", "fs:read", "/docs/a", True),
        ("workspace:rw_1:read", "fs:read", "/a", True),
        ("workspace:rw_2:read", "fs:read", "/a", False),
        ("workspace:rw_1:read:/d/**", "fs:read", "/e", False),
        ("relayfile:fs:read:/**", "fs:read", "/a", True),
        ("relayfile:fs:read:/*", "fs:read", "/a/b", True),
        ("relayfile:fs:read:", "fs:read", None, False),
        ("workspace:rw_1:manage", "fs:write", "/a", True),
        ("relayfile:fs:read:docs", "fs:read", "/docs", False),
        ("nonsense relayfile:x another:fs:read", "fs:read", None, False),
        ("relayfile:*:*", ACCOUNT, None, False),
        ("relayfile:fs:read:/a:b", "fs:read", "/a:b", True),
    ],
)
def test_a_word_allows_what_it_says_and_no_more(words, action, path, allowed):
    assert Scopes.parse(words.split(), workspace="rw_1").allows(action, path) is allowed


def test_a_path_counts_the_same_with_and_without_its_leading_slash():
    scopes = Scopes.parse(["relayfile:fs:read:/docs/**"])
    assert scopes.allows("fs:read", "docs/a")
    assert scopes.allows("fs:read", "/docs/a")


def test_one_narrow_grant_takes_the_bare_word_its_meaning_of_everywhere():
    scopes = Scopes.parse(["fs:read", "fs:write", "relayfile:fs:read:/docs/**"])
    assert not scopes.allows("fs:read", "/other")
    assert scopes.allows("fs:read", "/docs/a")
    assert scopes.everywhere("fs:write")
    assert not scopes.everywhere("fs:read")


def test_the_fingerprint_tells_views_apart_and_only_them():
    one = Scopes.parse(["relayfile:fs:read:/a/**", "relayfile:fs:read:/b/**"])
    same = Scopes.parse(["fs:read", "fs:write", "*:fs:read:/b/**", "relayfile:fs:read:/a/**"])
    other = Scopes.parse(["relayfile:fs:read:/a/**"])
    assert one.fingerprint("fs:read") == same.fingerprint("fs:read")
    assert one.fingerprint("fs:read") != other.fingerprint("fs:read")
    assert Scopes.parse(["fs:read"]).fingerprint("fs:read") == Scopes.parse(["relayfile:*:*"]).fingerprint("fs:read")


segment = st.text(alphabet="ab", min_size=1, max_size=2)
path = st.lists(segment, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
pattern = st.builds(lambda base, tail: base + tail, path, st.sampled_from(["", "/**", "/*", "*"])) | st.just("*")
word = st.builds(
    lambda action, chosen: f"relayfile:{action}:{chosen}", st.sampled_from(["fs:read", "fs:write"]), pattern
) | st.sampled_from(["fs:read", "fs:write", "relayfile:fs:manage"])
words = st.lists(word, max_size=4)


@given(words, words, path)
def test_what_is_within_another_allows_nothing_the_other_does_not(inner, outer, where):
    asked, held = Scopes.parse(inner), Scopes.parse(outer)
    if asked.within(held):
        for action in ("fs:read", "fs:write"):
            assert held.allows(action, where) or not asked.allows(action, where)


@given(words)
def test_everything_is_within_itself_and_says_itself_in_words(some):
    scopes = Scopes.parse(some)
    assert scopes.within(scopes)
    assert Scopes.parse(scopes.words()) == scopes


@given(words, path)
def test_everywhere_means_every_path(some, where):
    scopes = Scopes.parse(some)
    for action in ACTIONS:
        assert not scopes.everywhere(action) or scopes.allows(action, where)
        assert scopes.allows(action, None) == bool(scopes.grants.get(action))
        assert not scopes.only(["fs:read"]).allows("fs:write", where)
