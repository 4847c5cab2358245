"""What a person is shown of two contents that differ."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core.difference import MOST_BYTES, unified

TEXT = st.lists(st.sampled_from(["a", "b", "c\r", "\x0b", "\u2028", ""]), max_size=12).map("\n".join)


def test_equal_contents_differ_in_nothing():
    assert unified(b"a\n", b"a\n", "x", "y") == ""


def test_text_is_compared_by_lines_and_a_missing_end_of_line_is_told():
    assert unified(b"a\nb\n", b"a\nc", "x", "y") == (
        "--- x\n+++ y\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n"
    )


@pytest.mark.parametrize("other", [b"\0", b"\xff", b"x" * (MOST_BYTES + 1)])
def test_what_is_no_text_or_too_long_is_told_by_its_size(other):
    assert unified(b"a\n", other, "x", "y") == f"binary, 2 and {len(other)} bytes\n"


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@given(TEXT, TEXT)
def test_patch_makes_the_new_of_the_old_with_it(tmp_path_factory, old, new):
    place = tmp_path_factory.mktemp("patch") / "file"
    place.write_bytes(old.encode())
    said = unified(old.encode(), new.encode(), "file", "file")
    if said:
        words = ["patch", "--binary", "--silent", str(place)]
        subprocess.run(words, input=said.encode(), check=True, capture_output=True)
    made = place.read_bytes() if place.exists() else b""
    assert made == new.encode()
