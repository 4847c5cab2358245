"""Names that are left out, that clash, and that conflict copies get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.paths import before_conflict, conflict_copy, fold_key, left_out, left_out_folder
from relayfile.credentials.home import SECRETS_MARK
from relayfile.model import MAX_PATH_BYTES, Digest, TreePath

DIGEST = Digest(bytes.fromhex("0123456789abcdef" * 4))
AT = 1_700_000_000.0


@pytest.mark.parametrize(
    "path",
    [
        ".relay",
        ".relay/state.json",
        ".git/config",
        "deep/down/.hg/store",
        "node_modules/x/y.js",
        "a/.swap.swp",
        "notes.txt~",
        ".#lock",
        ".relay/id",
        SECRETS_MARK,
        f"docs/{SECRETS_MARK.upper()}",
        "deep/er/.relay/state.json",
        "a/.RELAY/id",
        ".re\u200clay/id",
        "a/.relayfile-\u00adsecrets",
        "#auto#",
        ".tmp-1",
        "x.tmp",
        "4913",
    ],
)
def test_these_are_mirrored_neither_way(path):
    assert left_out(path)


@pytest.mark.parametrize(
    "path", ["a", ".relayx/b", "a/x.relay/b", ".gitignore", "#", "git/config", "node_modules.txt"]
)
def test_these_are_mirrored(path):
    assert left_out(path) is None


def test_nobody_need_look_into_folders_that_are_left_out():
    assert left_out_folder(".relay")
    assert left_out_folder("a/b/.git")
    assert left_out_folder("a/.relay")
    assert left_out_folder("a/.Relay")
    assert not left_out_folder("a")


def test_names_that_a_folding_disk_cannot_tell_apart_share_a_key():
    assert fold_key("A/Straße") == fold_key("a/STRASSE")
    assert fold_key("e\u0301") == fold_key("\u00e9")
    assert fold_key("a\u200d\ufeffb") == fold_key("ab")
    assert fold_key("a") != fold_key("b")


@pytest.mark.parametrize(
    ("path", "copy"),
    [
        ("d/report.txt", "d/report (conflict box 2023-11-14 01234567).txt"),
        ("README", "README (conflict box 2023-11-14 01234567)"),
        (".env", ".env (conflict box 2023-11-14 01234567)"),
        ("a.tar.gz", "a.tar (conflict box 2023-11-14 01234567).gz"),
    ],
)
def test_a_conflict_copy_lies_beside_its_file(path, copy):
    assert conflict_copy(TreePath(path), "box.example.org", AT, DIGEST) == copy


def test_a_long_name_is_cut_and_keeps_its_extension_and_its_mark():
    copy = conflict_copy(TreePath("é" * 120 + ".text"), "box", AT, DIGEST)
    assert len(copy.encode()) <= 255
    assert copy.endswith(" (conflict box 2023-11-14 01234567).text")


def test_the_same_content_gets_the_same_name_that_day():
    first = conflict_copy(TreePath("a"), "h", AT, DIGEST)
    assert conflict_copy(TreePath("a"), "h", AT + 60, DIGEST) == first
    assert conflict_copy(TreePath("a"), "h", AT + 86_400, DIGEST) != first


def test_a_host_name_cannot_break_the_path():
    assert "/" not in conflict_copy(TreePath("a"), "ho/st\\x", AT, DIGEST)
    assert " host " in conflict_copy(TreePath("a"), "", AT, DIGEST)


SEGMENTS = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=255).filter(
    lambda one: one not in {".", ".."} and len(one.encode()) <= 255
)


@given(st.lists(SEGMENTS, min_size=1, max_size=12), SEGMENTS)
def test_every_path_has_a_legal_copy_beside_it(segments, host):
    path = TreePath.parse("/".join(segments))
    copy = conflict_copy(path, host, AT, DIGEST)
    assert copy.rpartition("/")[0] == path.rpartition("/")[0]
    assert len(copy.encode()) <= MAX_PATH_BYTES
    assert copy != path


@pytest.mark.parametrize("name", ["a.txt", "deep/er/a.tar.gz", ".hidden", "no extension", "a (conflict b) c.txt"])
def test_the_name_of_a_copy_tells_which_path_it_was(name):
    copy = conflict_copy(TreePath(name), "host.lan", AT, DIGEST)
    assert before_conflict(copy) == name
    assert before_conflict(TreePath(name)) == name
