"""How every command line begins and ends: words to a command, failures to exit codes, nothing said twice."""

import json

import pytest

from relayfile.cli import main
from relayfile.cli.catalogue import ALIASES, COMMANDS, overview
from relayfile.errors import Halted, LoginRequired, RelayfileError


@pytest.fixture(autouse=True)
def home(place, monkeypatch):
    monkeypatch.setenv("RELAYFILE_HOME", str(place / ".relayfile"))


def fails_with(monkeypatch, error):
    def run(asked, context):
        raise error

    monkeypatch.setattr("relayfile.cli.commands.version.run", run)


def test_every_command_of_the_catalogue_has_help_with_examples(capsys):
    for name in [*COMMANDS, *ALIASES]:
        assert main.run([name, "--help"]) == 0
        said = capsys.readouterr().out
        assert "examples:\n  relayfile " in said or "examples:\n  date | relayfile" in said, name
        assert "--json" in said


def test_the_overview_names_every_command_once_and_fits_a_terminal():
    said = overview()
    for name in COMMANDS:
        assert f"\n  {name:<11}" in said
    assert max(map(len, said.splitlines())) <= 110


def test_an_unknown_command_names_the_nearest_one(capsys):
    assert main.run(["statsu"]) == 2
    said = capsys.readouterr().err
    assert "'statsu'" in said
    assert "relayfile status" in said


def test_a_wrong_argument_says_the_usage_and_that_nothing_was_done(capsys):
    assert main.run(["version", "--nonsense"]) == 2
    said = capsys.readouterr().err
    assert "--nonsense" in said
    assert "Nothing was done" in said
    assert "relayfile version" in said


@pytest.mark.parametrize(
    "words", [["--json", "version"], ["version", "--json"], ["--profile", "p", "--json", "version"]]
)
def test_common_options_may_stand_before_or_behind_the_command(words, capsys):
    assert main.run(words) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"version"}


@pytest.mark.parametrize("kind", sorted(RelayfileError.__subclasses__(), key=lambda kind: kind.__name__))
def test_each_class_of_failure_has_its_exit_code(kind, monkeypatch, capsys):
    error = kind("it happened", current=3) if kind.__name__ == "RevisionMismatch" else kind("it happened")
    error.hint = "do this"
    fails_with(monkeypatch, error)
    assert main.run(["version"]) == kind.exit_code
    said = capsys.readouterr()
    assert said.err == "relayfile: it happened\n  next: do this\n"
    assert not said.out


def test_a_failure_as_json_has_code_message_hint_and_exit(monkeypatch, capsys):
    fails_with(monkeypatch, LoginRequired("no login", hint="sign in", details={"profile": "p"}))
    assert main.run(["version", "--json"]) == 4
    told = json.loads(capsys.readouterr().err)["error"]
    assert told == {"code": "login_required", "message": "no login", "hint": "sign in", "exit": 4, "profile": "p"}


def test_a_failure_is_told_also_when_quiet(monkeypatch, capsys):
    fails_with(monkeypatch, Halted("stopped"))
    assert main.run(["version", "--quiet"]) == 6
    assert "stopped" in capsys.readouterr().err


def test_what_the_machine_refuses_is_told_with_the_path_and_without_a_traceback(monkeypatch, capsys):
    fails_with(monkeypatch, PermissionError(13, "Permission denied", "/etc/place"))
    assert main.run(["version"]) == 78
    said = capsys.readouterr().err
    assert "/etc/place: Permission denied" in said
    assert "Traceback" not in said


def test_a_bug_is_called_a_bug(monkeypatch, capsys):
    fails_with(monkeypatch, ZeroDivisionError("x"))
    assert main.run(["version"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "this is a bug in relayfile" in said


def test_control_c_says_that_what_was_done_is_kept(monkeypatch, capsys):
    fails_with(monkeypatch, KeyboardInterrupt())
    assert main.run(["version"]) == 130
    assert "kept" in capsys.readouterr().err


def test_a_file_name_cannot_drive_the_terminal(monkeypatch, capsys):
    fails_with(monkeypatch, Halted("bad \x1b[2Jname"))
    main.run(["version"])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b[2J" in said
