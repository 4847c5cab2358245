"""Text for people and JSON for programs, and what goes to which stream."""

import json
import os
from pathlib import Path

import pytest

from relayfile.cli.output import Output, plural, size, span
from relayfile.cli.terminal import printable, wants_colour


def test_talk_goes_to_stderr_and_not_at_all_when_quiet(capsys):
    Output().say("hello")
    Output(quiet=True).say("unheard")
    assert capsys.readouterr() == ("", "hello\n")


def test_what_a_person_must_act_on_is_said_also_when_quiet(capsys):
    Output(quiet=True).ask("open this")
    assert capsys.readouterr().err == "open this\n"


def test_data_is_text_or_one_json_document(capsys):
    Output().data({"a": 1}, "a is 1")
    assert capsys.readouterr().out == "a is 1\n"
    Output(as_json=True).data({"a": "ä"}, "a is 1")
    assert capsys.readouterr().out == '{"a": "ä"}\n'


def test_a_table_lines_up_and_an_empty_one_has_no_head(capsys):
    Output().table([], ("NAME", "ID"), [("acme", "1"), ("b\nc", "22")])
    assert capsys.readouterr().out == "NAME  ID\nacme  1\nb\\nc  22\n".replace("b\\nc ", "b c  ")
    Output().table([], ("NAME",), [])
    assert capsys.readouterr().out == ""
    Output(as_json=True).table([], ("NAME",), [])
    assert json.loads(capsys.readouterr().out) == []


def test_progress_off_a_terminal_is_silent(capsys):
    with Output().progress("seed") as bar:
        bar.at(1, 2, 3, 4)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**9, "5.0 GB"),
        (7 * 10**12, "7.0 TB"),
    ],
)
def test_sizes_for_people(count, shown):
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (59, "59 s"), (119, "119 s"), (1800, "30 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_lengths_of_time_for_people(seconds, shown):
    assert span(seconds) == shown


def test_counts_for_people():
    assert [plural(1, "file"), plural(2, "file"), plural(1234, "copy", "copies")] == [
        "1 file",
        "2 files",
        "1,234 copies",
    ]


def test_control_characters_are_shown_not_obeyed():
    assert printable("plain ä €") == "plain ä €"
    assert printable("a\x07b\x9bc") == "a\\x07b\\x9bc"
    assert printable("one\ntwo") == "one\ntwo"


def test_no_colour_off_a_terminal():
    with Path(os.devnull).open("w") as nowhere:
        assert not wants_colour(nowhere.fileno())
