"""Local names of paths that a file system cannot hold: reversible, readable, never taken for another."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.naming import Rules, mapped, meant, needs
from relayfile.errors import UsageError
from relayfile.model import TreePath

VFAT = Rules(reserved=frozenset('"*:<>?|\n'), highest="\uffff", ends=False, devices=False, folds=True)
SHORT = Rules(most_bytes=143)
FOLDING = Rules(folds=True)
ASCII = Rules(highest="\x7f")
ALL = [VFAT, SHORT, FOLDING, ASCII, Rules(reserved=frozenset(":"))]


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("report: final.txt", "report%3A final~=e06bd31824df.txt"),
        ("readme", "readme~=711a6108ba2c"),
        (".env", ".env~=e9cbb0224c4a"),
        ("trailing.", "trailing%2E~=44c12a4e432e"),
        ("aux.txt", "%61ux~=0857d0cb3b4f.txt"),
        ("100%?", "100%25%3F~=0f45ce499f19"),
    ],
)
def test_a_local_name_can_be_read_and_tells_its_path(name, local):
    assert mapped(name, VFAT) == local
    assert meant(local, VFAT) == name


def test_what_no_file_system_here_refuses_is_never_renamed():
    for name in ("a:b", "aux", "e\u0301", "x" * 255, "readme~=711a6108ba2c", "x~-0123456789abcdef"):
        assert not needs(name, Rules())
        assert meant(name, Rules()) == name


def test_a_name_that_is_too_long_is_cut_keeps_its_extension_and_only_a_list_tells_it():
    local = mapped("é" * 100 + ".markdown", SHORT)
    assert len(local.encode()) <= 143
    assert local.startswith("éééé")
    assert local.endswith(".markdown")
    assert meant(local, SHORT) is None
    assert mapped("é" * 100 + ".markdown", SHORT) == local
    assert mapped("é" * 99 + "e.markdown", SHORT) != local


def test_a_name_whose_digest_does_not_fit_is_an_ordinary_one():
    assert meant("a%3Ab~=000000000000", VFAT) == "a%3Ab~=000000000000"
    assert meant("readme~=711a6108ba2c", SHORT) == "readme~=711a6108ba2c", "it needs none there"


def test_a_path_that_bears_a_local_name_in_the_workspace_gets_one_of_its_own():
    local = mapped("readme", VFAT)
    assert needs(local, VFAT)
    assert meant(mapped(local, VFAT), VFAT) == local


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b"])
def test_no_local_name_stands_for_what_is_no_segment(name):
    escaped = "".join(f"%{byte:02X}" for byte in name.encode()) or "%"
    local = f"{escaped}~={sha256(name.encode()).hexdigest()[:12]}"
    assert meant(local, VFAT) == local


def is_segment(name):
    try:
        return "/" not in TreePath.parse(name)
    except UsageError:
        return False


ODD = st.sampled_from(
    ["a", "A", "e\u0301", "\u00e9", ":", "?", ".", " ", "%", "~=", "~-", "0123456789ab", "\U0001f600"]
)
NAMES = st.one_of(st.lists(ODD, min_size=1, max_size=30).map("".join), st.text(min_size=1, max_size=255)).filter(
    is_segment
)


@given(NAMES, st.sampled_from(ALL))
def test_every_name_comes_back_from_its_local_one_which_the_file_system_takes(name, rules):
    local = mapped(name, rules)
    assert len(local.encode()) <= rules.most_bytes
    assert set(local).isdisjoint(rules.reserved)
    assert max(local) <= rules.highest
    assert rules.ends or local[-1] not in ". "
    assert meant(local, rules) in {name, None} or not (rules.folds or needs(name, rules))
    assert local != name


@given(NAMES, NAMES, st.sampled_from(ALL))
def test_two_names_never_share_a_local_one(one, other, rules):
    locals_ = {mapped(name, rules) if needs(name, rules) else name for name in (one, other)}
    assert len(locals_) == len({one, other})
