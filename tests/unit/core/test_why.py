"""What comes next for a path, in words: always what `merge.decide` would do, unless something keeps it from that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayfile.core import merge
from relayfile.core.merge import Trees
from relayfile.core.why import Circumstances, Hindrance, next_step
from relayfile.model import Digest, TreePath, Version


def version(letter: str, revision: int = 0) -> Version:
    return Version(revision, Digest(letter.encode() * 32), 1, "644")


def trees(base, local, remote) -> Trees:
    return Trees(
        TreePath("a"),
        version(base, 3) if base else None,
        version(local) if local else None,
        version(remote, 3 if remote == base else 7) if remote else None,
    )


FREE = Circumstances()
SOON, NEVER = Hindrance("disk full", lasting=False), Hindrance("name too long", lasting=True)
LETTERS = st.sampled_from([None, "x", "y", "z"])


@pytest.mark.parametrize(
    ("three", "words"),
    [
        (("x", "x", "x"), "nothing to do: both sides are equal"),
        ((None, None, None), "nothing to do: neither side has it"),
        ((None, "x", "x"), "note that both sides hold the same"),
        (("x", "x", "y"), "take rev_7 from the server"),
        (("x", "x", None), "remove the file here: the workspace has it no more"),
        ((None, "x", None), "send it to the server as a new file"),
        (("x", "y", "x"), "send it to the server, over rev_3"),
        (("x", None, "x"), "delete it on the server, over rev_3: it was deleted here"),
        (
            ("x", "y", "z"),
            "both were edited: merge by lines, or take rev_7 and set the file here aside as a conflict copy",
        ),
    ],
)
def test_every_action_has_its_words(three, words):
    assert next_step(trees(*three), FREE) == words


@pytest.mark.parametrize(
    ("three", "about", "words"),
    [
        (("x", "y", "x"), Circumstances(left_out=".git is not mirrored"), "it is left out: .git is not mirrored"),
        (("x", "y", "x"), Circumstances(unread=True), "look at the file here again"),
        (("x", "y", "x"), Circumstances(sent=True), "wait for the server's answer"),
        (("x", "y", "x"), Circumstances(up=NEVER), "it is left out: name too long"),
        (("x", "x", "y"), Circumstances(up=NEVER), "take rev_7 from the server"),
        (("x", "x", "y"), Circumstances(down=SOON), "take rev_7 from the server; refused for now"),
        (("x", "x", None), Circumstances(held=frozenset({"local"})), "held back until a person decides"),
        (("x", None, "x"), Circumstances(held=frozenset({"remote"})), "held back until a person decides"),
        (("x", None, "x"), Circumstances(held=frozenset({"local"})), "it was deleted here"),
        (("x", "y", "x"), Circumstances(open=True), "once the whole workspace has been observed"),
    ],
)
def test_what_keeps_a_path_from_moving_is_said_first(three, about, words):
    assert words in next_step(trees(*three), about)


@given(LETTERS, LETTERS, LETTERS)
def test_nothing_to_do_is_said_exactly_when_nothing_is_done(base, local, remote):
    three = trees(base, local, remote)
    idle = isinstance(merge.decide(three.base, three.local, three.remote), merge.Keep)
    assert next_step(three, FREE).startswith("nothing to do") is idle
