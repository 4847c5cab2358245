"""Why a sign-in ended or could not be renewed, in words."""

import re

import pytest

from relayfile.core import causes
from relayfile.core.causes import Kind
from relayfile.core.families import REUSE, Outcome
from relayfile.server.store import families

KINDS = {families.SIGN_IN, families.DELEGATION, families.DAEMON}
WORDS = {word for name, word in vars(families).items() if re.fullmatch("[A-Z][A-Z_]+", name) and type(word) is str}
WORDS -= KINDS
REFUSALS = {Outcome.EXPIRED, Outcome.UNISSUED, Outcome.MALFORMED, Outcome.SUPERSEDED, "unknown"}


@pytest.mark.parametrize("reason", sorted({*WORDS, *REFUSALS, "already exchanged", "no refresh token"}))
def test_every_reason_for_which_a_server_ends_or_refuses_a_sign_in_is_told_in_words(reason):
    told = causes.ended(str(reason))
    assert told != reason
    assert " " in told
    assert "_" not in told


def test_the_reasons_of_the_server_are_all_there():
    assert {REUSE, "logged_out", "not_saved", "replaced", "revoked", "signed_out_everywhere"} == WORDS


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
