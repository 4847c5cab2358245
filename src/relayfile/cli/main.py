"""The argument tree of the one command that was asked for, and the way every command ends.

Only the chosen command's module is imported. A failure is said once, here, and becomes the exit code of its class
(`relayfile.errors`).
"""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol, cast

from relayfile.cli.catalogue import ALIASES, COMMANDS, overview, version
from relayfile.cli.context import Context
from relayfile.cli.output import Output
from relayfile.errors import Misconfigured, RelayfileError, UsageError

_INTERRUPTED = 130
_BUG = 70
_WITH_A_WORD = ("--profile", "--token-file")


class Command(Protocol):
    """What a module of `relayfile.cli.commands` provides."""

    DESCRIPTION: str
    EXAMPLES: str
    arguments: Callable[["Parser"], None]
    run: Callable[[argparse.Namespace, Context], int]


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the descriptions are written, in a pipe as on a terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=110)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        """Says what does not fit, and where the right words stand."""
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        raise UsageError(f"{message}. Nothing was done.", hint=f"{usage}  (all of it: {self.prog} --help)")


def run(words: Sequence[str]) -> int:
    """The exit code of the command line `words`; what it had to say is said.

    Raises:
        KeyboardInterrupt, BrokenPipeError: `boot` gives them their exit codes.
    """
    output = Output(as_json="--json" in words, quiet="--quiet" in words or "-q" in words)
    try:
        return _run(words, output)
    except RelayfileError as error:
        return output.fail(error)
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return output.fail(
            Misconfigured(
                f"this machine refused: {where}{error.strerror or error}. What was done before that is kept.",
                code="refused_by_machine",
                hint="mend that (permissions, space, path), then repeat the command; repeating it is harmless",
            )
        )
    except Exception:  # noqa: BLE001 - the last door: whatever nobody foresaw is told as what it is, a bug
        traceback.print_exc()
        print("relayfile: this is a bug in relayfile; the lines above belong into its report.", file=sys.stderr)
        return _BUG


def _run(words: Sequence[str], output: Output) -> int:
    before, name, rest = _split(words)
    if name in {"--help", "-h", "help"}:
        if rest and rest[0] in {*COMMANDS, *ALIASES}:
            return _run([*rest, "--help"], output)
        print(overview(), end="")
        return 0
    if name == "--version":
        print(version(), end="")
        return 0
    name = ALIASES.get(name, name)
    if name not in COMMANDS:
        raise _unknown(name)
    command = cast("Command", importlib.import_module(f"relayfile.cli.commands.{name}"))
    parser = Parser(
        prog=f"relayfile {name}",
        description=command.DESCRIPTION,
        epilog=f"examples:\n{command.EXAMPLES}",
        formatter_class=_Help,
        allow_abbrev=False,
        parents=[everywhere()],
    )
    command.arguments(parser)
    try:
        asked = parser.parse_args([*before, *rest])
    except SystemExit as ended:  # --help has printed
        return int(ended.code or 0)
    from relayfile.credentials.home import Home

    try:
        given = Context(
            Home.from_environment(), output, getattr(asked, "profile", None), getattr(asked, "token_file", None)
        )
        return command.run(asked, given)
    except KeyboardInterrupt:
        output.say("interrupted. What was acknowledged is kept; repeating the command goes on from there")
        return _INTERRUPTED


def everywhere() -> "Parser":
    """The options that every command takes, also the inner ones of `workspace` and `auth`.

    None has a default: an inner parser would overwrite with it what the outer one has read.
    """
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("with every command")
    group.add_argument("--json", action="store_true", help="data as JSON, failures as {error:{…}} on stderr")
    group.add_argument("--quiet", "-q", action="store_true", help="no talk on stderr")
    group.add_argument(
        "--profile", metavar="NAME", help="the sign-in to use; default: that of the mirror or workspace named"
    )
    group.add_argument("--token-file", metavar="FILE", help="a machine token in place of a sign-in (RELAYFILE_TOKEN)")
    return parser


def inner(verbs: "argparse._SubParsersAction[Parser]", name: str, sentence: str, example: str) -> Parser:
    """The inner command `name`, such as `workspace create`; its own help says what it does, with an example."""
    return verbs.add_parser(
        name,
        parents=[everywhere()],
        help=sentence,
        description=f"{sentence[0].upper()}{sentence[1:]}.",
        epilog=f"example:\n  relayfile {example}",
        formatter_class=_Help,
        allow_abbrev=False,
    )


def whole_number(least: int) -> Callable[[str], int]:
    """What reads an argument that is a whole number of at least `least`."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return read


def _split(words: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Options written before the command, the command, the rest."""
    before: list[str] = []
    rest = list(words)
    while rest and (
        rest[0] in {"--json", "--quiet", "-q", *_WITH_A_WORD}
        or rest[0].startswith(tuple(f"{name}=" for name in _WITH_A_WORD))
    ):
        word = rest.pop(0)
        before.append(word)
        if word in _WITH_A_WORD and rest:
            before.append(rest.pop(0))
    return before, (rest[0] if rest else "--help"), rest[1:]


def _unknown(name: str) -> UsageError:
    import difflib

    near = difflib.get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
    return UsageError(
        f"there is no command {name!r}. Nothing was done.",
        code="unknown_command",
        hint=f"did you mean `relayfile {near[0]}`?" if near else "`relayfile --help` lists them",
    )
