"""Why a sign-in ended or could not be renewed, in words."""

import pytest

from relayfile.core import causes
from relayfile.core.causes import Kind


@pytest.mark.parametrize("reason", ["reuse_detected", "expired", "revoked", "logged_out", "replaced", "superseded"])
def test_a_word_of_the_server_is_told_as_a_sentence(reason):
    assert " " in causes.ended(reason)
    assert "_" not in causes.ended(reason)


def test_a_sentence_of_the_server_stays_and_silence_is_said():
    assert causes.ended("revoked by ada from box7") == "revoked by ada from box7"
    assert "did not say why" in causes.ended(None)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_failure_has_words_of_its_own_with_its_details(kind):
    told = causes.failed(kind, "details")
    assert told.endswith(" (details)")
    assert len({causes.failed(other, "") for other in Kind}) == len(Kind)


def test_an_unknown_kind_leaves_the_details():
    assert causes.failed("", "details") == "details"
    assert causes.failed("newer", "details") == "details"


def test_a_clock_is_told_only_when_it_is_off():
    assert causes.clock(None) is None
    assert causes.clock(-4.9) is None
    assert causes.clock(300.2) == "clock off by 300 s (ahead of the server's)"
    assert causes.clock(-61) == "clock off by 61 s (behind the server's)"
