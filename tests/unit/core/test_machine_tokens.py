"""What a machine token may be."""

import pytest

from relayfile.core import machine_tokens as rules
from relayfile.core.scopes import Scopes
from relayfile.errors import Forbidden, UsageError

SIGN_IN = ("account:manage", "fs:read", "fs:write", "ops:read", "sync:read", "sync:trigger")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("fs:read", "fs:read"),
        ("fs:read:/docs", "relayfile:fs:read:/docs/**"),
        ("fs:read:/docs/", "relayfile:fs:read:/docs/**"),
        ("fs:write:/a b/c", "relayfile:fs:write:/a b/c/**"),
        ("fs:read:/docs/*", "relayfile:fs:read:/docs/*"),
        ("fs:read:/", "relayfile:fs:read:/**"),
        ("relayfile:fs:read:/docs/**", "relayfile:fs:read:/docs/**"),
    ],
)
def test_a_scope_as_people_write_it_is_a_folder_and_all_below_it(text, word):
    assert rules.word(text) == word


@pytest.mark.parametrize("text", ["fs:read", "fs:read:/docs", "fs:write:/a b/c", "fs:read:/docs/*"])
def test_a_scope_is_shown_as_it_is_written(text):
    assert rules.word(rules.shown(rules.word(text))) == rules.word(text)
    if not text.endswith("*"):
        assert rules.shown(rules.word(text)) == text


def test_the_short_form_allows_the_folder_and_what_is_below_it_and_nothing_beside_it():
    scopes = Scopes.parse(rules.granted(["fs:read:/docs"], SIGN_IN))
    assert scopes.allows("fs:read", "/docs/a.md")
    assert scopes.allows("fs:read", "/docs")
    assert not scopes.allows("fs:read", "/docs2/a.md")
    assert not scopes.allows("fs:write", "/docs/a.md")


def test_a_root_is_everywhere():
    assert rules.granted(["fs:read:/"], SIGN_IN) == ["fs:read"]


@pytest.mark.parametrize("text", ["", "fs:read:", "fs:read:docs", "fly", "account:manage", "fs:read:/a\nfs:write"])
def test_a_word_that_means_nothing_or_too_much_is_refused(text):
    with pytest.raises(UsageError) as caught:
        rules.granted(["fs:read", text], SIGN_IN)
    assert caught.value.code == "invalid_scope"


def test_without_a_scope_there_is_no_token():
    with pytest.raises(UsageError):
        rules.granted([], SIGN_IN)


@pytest.mark.parametrize("wanted", [["fs:write"], ["fs:read"], ["fs:read:/docs", "fs:read:/other"], ["*:*:*"]])
def test_no_token_may_do_more_than_the_sign_in_that_makes_it(wanted):
    maker = ("account:manage", "relayfile:fs:read:/docs/**")
    assert rules.granted(["fs:read:/docs/deep"], maker) == ["relayfile:fs:read:/docs/deep/**"]
    with pytest.raises(Forbidden) as caught:
        rules.granted(wanted, maker)
    assert caught.value.code == "scope_insufficient"


@pytest.mark.parametrize("text", ["", "  ", "x" * 65, "a\nb", "mt_1", "-x"])
def test_a_name_that_would_confuse_is_refused(text):
    with pytest.raises(UsageError):
        rules.name(text)


@pytest.mark.parametrize("seconds", [0.0, -1.0, rules.LONGEST_S + 1, float("nan"), float("inf")])
def test_a_life_is_positive_and_at_most_a_year(seconds):
    with pytest.raises(UsageError):
        rules.life_s(seconds)
    assert rules.life_s(rules.LONGEST_S) == rules.LONGEST_S
