"""Rules in the tree (3-protocol B.2)."""

import pytest

from relayfile.core.acl import Acl, Who, is_marker, parse, rules_in
from relayfile.model import TreePath

ADA = Who("ada", "rw_1", frozenset({"fs:read", "team:red"}))
BOB = Who("bob", "rw_1", frozenset({"fs:read"}))
OWNER = Who("root", "rw_1", frozenset({"fs:read"}), owner=True)


def on(path, *words):
    return Acl.of([(TreePath(path), words)])


@pytest.mark.parametrize(
    ("word", "ada", "bob"),
    [
        ("public", True, True),
        ("any", True, True),
        ("*", True, True),
        ("allow:public", True, True),
        ("deny:public", False, False),
        ("agent:ada", True, False),
        ("deny:agent:ada", False, False),  # a rule stands, and none allows bob either
        ("scope:team:red", True, False),
        ("workspace:rw_1", True, True),
        ("workspace:rw_2", False, False),
    ],
)
def test_a_rule_lets_in_whom_it_names(word, ada, bob):
    rules = on(".relayfile.acl", word)
    assert (rules.allows(TreePath("a/b.md"), ADA), rules.allows(TreePath("a/b.md"), BOB)) == (ada, bob)


def test_words_that_are_no_rules_say_nothing():
    assert parse(["", "agent:", "nobody", "allow:", "deny:what:ever"]) == ()
    assert not on(".relayfile.acl", "who knows")


def test_a_marker_reaches_everything_below_its_folder_and_nothing_beside_it():
    rules = on("a/b/.relayfile.acl", "agent:ada")
    assert not rules.allows(TreePath("a/b/c/d.md"), BOB)
    assert rules.allows(TreePath("a/b/c/d.md"), ADA)
    assert rules.allows(TreePath("a/bc/d.md"), BOB)
    assert rules.allows(TreePath("a/b"), BOB), "a file of the folder's name is not below it"


def test_a_denial_anywhere_above_wins_over_every_allowance():
    rules = Acl.of([(TreePath(".relayfile.acl"), ["public"]), (TreePath("a/.relayfile.acl"), ["deny:agent:bob"])])
    assert not rules.allows(TreePath("a/x"), BOB)
    assert rules.allows(TreePath("a/x"), ADA)
    assert rules.allows(TreePath("b/x"), BOB)


def test_a_files_own_rules_count_for_it_alone():
    rules = on("a/secret.md", "agent:ada")
    assert not rules.allows(TreePath("a/secret.md"), BOB)
    assert rules.allows(TreePath("a/other.md"), BOB)


def test_an_owner_can_always_mend_a_marker_but_is_bound_by_it_elsewhere():
    rules = on(".relayfile.acl", "deny:public")
    assert rules.allows(TreePath(".relayfile.acl"), OWNER)
    assert not rules.allows(TreePath(".relayfile.acl"), ADA)
    assert not rules.allows(TreePath("a.md"), OWNER)


def test_a_marker_is_known_by_its_name_in_any_folder():
    assert is_marker(TreePath(".relayfile.acl"))
    assert is_marker(TreePath("a/.relayfile.acl"))
    assert not is_marker(TreePath("a.relayfile.acl"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"semantics":{"permissions":["public",7]}}', ["public"]),
        (b'{"semantics":{"permissions":"public"}}', []),
        (b'{"semantics":[]}', []),
        (b"[]", []),
        (b"not json", []),
        (b"\xff\xfe", []),
        (b"[" * 100_000, []),
    ],
)
def test_a_markers_content_may_carry_the_rules(content, words):
    assert rules_in(content) == words
