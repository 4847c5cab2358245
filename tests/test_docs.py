"""The documents name what exists, and what exists is documented."""

import argparse
import ast
import importlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayfile import errors
from relayfile.cli.catalogue import ALIASES, COMMANDS, overview
from relayfile.cli.main import Parser
from relayfile.server.accounts import PASSWORD_FILE, SIGNIN_FILE
from relayfile.server.app import DATABASE
from relayfile.server.serve import PID_FILE
from relayfile.server.store.continuity import FILE

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "relayfile"
COMMANDS_PAGE = ROOT / "docs" / "commands.md"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
INVARIANTS_PAGE = ROOT / "docs" / "invariants.md"
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def parser_of(command: str) -> Parser:
    parser = Parser(prog=command, add_help=False)
    importlib.import_module(f"relayfile.cli.commands.{command}").arguments(parser)
    return parser


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Long options of a command and of its inner commands."""
    for action in parser._actions:
        yield from (word for word in action.option_strings if word.startswith("--") and word != "--help")
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options(inner)


def inner_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: inner
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, inner in action.choices.items()
    }


def section(page: Path, title: str) -> str:
    """The text below the heading that begins with `title`, up to the next one of that level or higher."""
    found = re.search(
        rf"^(#+) {re.escape(title)}(?!\w).*?(?=^#{{1,2}} |\Z)", page.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"{page.name} has no section {title!r}"
    return found[0]


def error_classes() -> list[type[errors.RelayfileError]]:
    return [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.RelayfileError) and one is not errors.RelayfileError
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command):
    text = section(COMMANDS_PAGE, f"`{command}`")
    parser = parser_of(command)
    page = text + (SETTINGS_PAGE.read_text() if command == "serve" else "")
    universal = {"--json", "--quiet", "--profile", "--token-file"}
    hidden = {word for word in options(parser) if _suppressed(parser, word)}
    missing = {word for word in options(parser) if word not in page} - universal - hidden
    assert not missing
    assert not {name for name in inner_parsers(parser) if f"{command} {name}" not in text}


def test_every_command_is_described_once():
    titles = re.findall(r"^## (.+)$", COMMANDS_PAGE.read_text(), re.MULTILINE)
    assert sorted(titles) == sorted(set(titles))


@pytest.mark.parametrize("name", [DATABASE, FILE, SIGNIN_FILE, PASSWORD_FILE, PID_FILE])
def test_what_a_server_keeps_in_its_data_folder_is_documented(name):
    assert f"`{name}`" in section(SETTINGS_PAGE, "What lies in the data folder")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_follows_a_command_is_documented(command):
    text, parser = section(COMMANDS_PAGE, f"`{command}`"), parser_of(command)
    missing = {word for words in positionals(parser) for word in words.split() if not re.search(rf"\b{word}\b", text)}
    assert not missing


def positionals(parser: argparse.ArgumentParser) -> Iterator[str]:
    """What stands for the words a command and its inner commands take, as their help shows it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from positionals(inner)
        elif not action.option_strings:
            yield str(action.metavar)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_heading_stands_twice_in_a_page(page):
    headings = re.findall(r"^#+ .*", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    assert not {one for one, count in Counter(headings).items() if count > 1}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_inner_command_has_a_sentence_and_an_example_that_parses(command):
    for name, inner in inner_parsers(parser_of(command)).items():
        assert re.search(r"\w+ \w+.*\.$", inner.description or ""), name
        words = shlex.split((inner.epilog or "").partition("example:\n")[2])
        assert words[:3] == ["relayfile", command, name]
        parser_of(command).parse_args(words[2:])


def test_the_help_of_the_program_names_every_exit_code():
    codes = {str(error.exit_code) for error in error_classes()} | {"0", "130"}
    assert codes <= set(re.findall(r"\b(\d+) [a-z]", overview().partition("Exit codes:")[2]))


def _suppressed(parser: argparse.ArgumentParser, option: str) -> bool:
    """An option that only our own programs pass."""
    return any(option in action.option_strings and action.help == argparse.SUPPRESS for action in parser._actions)


def test_every_alias_is_documented():
    text = COMMANDS_PAGE.read_text()
    assert not {alias for alias in ALIASES if f"`{alias}`" not in text}


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_exit_code_is_documented(error):
    assert re.search(rf"^\| {error.exit_code} \|", section(COMMANDS_PAGE, "Exit codes"), re.MULTILINE)


def test_every_setting_of_the_server_is_documented_and_no_other():
    known = set(options(parser_of("serve"))) - {"--json", "--quiet", "--profile"}
    named = set(re.findall(r"`(--[a-z-]+)", SETTINGS_PAGE.read_text()))
    assert known == named


def test_every_environment_variable_that_is_read_is_documented():
    read = {
        node.value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"RELAYFILE_[A-Z_]+", node.value)
    }
    assert "RELAYFILE_HOME" in read
    assert not {name for name in read if name not in SETTINGS_PAGE.read_text()}


def test_architecture_names_only_modules_that_exist_and_every_package():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert text.count("\n") <= 150
    named = set(re.findall(r"`((?!tests/)[a-z_]+(?:/[a-z_0-9]+)*\.(?:py|sql))`", text))
    assert named
    assert not {name for name in named if not (SOURCE / name).exists()}
    packages = {path.parent.name for path in SOURCE.rglob("__init__.py")} - {"relayfile"}
    assert not {name for name in packages if f"{name}/" not in text}


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def shell_lines(page: Path) -> Iterator[list[str]]:
    """Commands of the page's code blocks, without their comments."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.splitlines():
            for part in re.split(r"\s&&\s|\s\|\s", line.removeprefix("$ ")):
                if part.startswith(("relayfile ", "./dev ")):
                    yield shlex.split(part.replace("[DIR]", "DIR").replace("[ARGS]", ""), comments=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_in_a_document_exist_and_parse(page):
    for words in shell_lines(page):
        if words[0] == "./dev":
            assert words[1] in {"up", "test", "run", "bench", "lint", "lock"}, words
            continue
        name = ALIASES.get(words[1], words[1])
        assert name in COMMANDS or name.startswith("-"), words
        if name in COMMANDS and "…" not in words:
            rest = [word for word in words[2:] if word not in {"--json", "--quiet"} and ">" not in word]
            parser_of(name).parse_args(rest)


def invariants() -> list[tuple[str, str]]:
    return re.findall(
        r"^\*\*([SM]\d+)\*\* (.*?)(?=^\*\*[SM]\d+\*\*|^#|\Z)", INVARIANTS_PAGE.read_text(), re.MULTILINE | re.DOTALL
    )


def test_invariants_are_numbered_without_gaps():
    for letter in "SM":
        numbers = [int(name[1:]) for name, _ in invariants() if name[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


@pytest.mark.parametrize(("name", "text"), invariants(), ids=[name for name, _ in invariants()])
def test_each_invariant_names_tests_that_exist(name, text):
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert named, f"{name} names no test"
    for file, test in named:
        assert (ROOT / file).exists(), file
        if test:
            assert re.search(rf"def {test}\b|class {test}\b", (ROOT / file).read_text()), f"{file}::{test}"


def test_decisions_are_numbered_and_say_what_was_rejected():
    pages = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for name in pages:
        text = (ROOT / "docs" / "decisions" / name).read_text()
        assert all(word in text for word in ("## Context", "## Choice", "## Rejected")), name


def test_the_test_command_of_the_readme_is_what_ci_runs():
    assert "./dev test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec ./dev test")
    assert os.access(ROOT / "dev", os.X_OK)
