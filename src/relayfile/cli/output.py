"""Where a command's words go: data to stdout, talk to stderr, failures to stderr and into the exit code.

Data is text for people or, with `--json`, one JSON document for programs. Talk is never data: a script that reads
stdout sees the same with and without `--quiet`.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from relayfile.cli.terminal import STDERR, is_terminal, printable, wants_colour
from relayfile.errors import RelayfileError


class Progress(Protocol):
    """How far a long piece of work has come. Totals may grow while it runs."""

    def at(self, files: int, files_total: int, size_bytes: int, total_bytes: int) -> None:
        """So many files and bytes are done, of so many known by now."""
        ...


class Output:
    """The two streams of one command, and the form in which it was asked to speak."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def data(self, value: object, text: str) -> None:
        """The answer is on stdout: `value` as JSON when that was asked for, else `text`."""
        if self.as_json:
            text = json.dumps(value, ensure_ascii=False, indent=2 if is_terminal(1) else None)
        if text:
            print(text if text.endswith("\n") else text + "\n", end="", flush=True)

    def table(self, value: Sequence[object], head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """As `data`, with the text laid out in columns under `head`. No rows, no head."""
        self.data(value, _columns([head, *rows]) if rows else "")

    def raw(self, content: bytes) -> None:
        """These very bytes are on stdout."""
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def say(self, text: str) -> None:
        """`text` is on stderr, unless quiet."""
        if not self.quiet:
            print(printable(text), file=sys.stderr, flush=True)

    def ask(self, text: str) -> None:
        """`text` is on stderr even when quiet: without it the person cannot go on."""
        print(printable(text), file=sys.stderr, flush=True)

    def fail(self, error: RelayfileError) -> int:
        """What went wrong and what to do next is on stderr; the answer is the exit code."""
        if self.as_json:
            said = {"code": error.code, "message": error.message, "hint": error.hint, "exit": error.exit_code}
            print(json.dumps({"error": said | error.details}, ensure_ascii=False, default=str), file=sys.stderr)
            return error.exit_code
        mark = "\x1b[31mrelayfile:\x1b[0m" if wants_colour(STDERR) else "relayfile:"
        print(mark, printable(error.message), file=sys.stderr)
        if error.hint:
            print(f"  next: {printable(error.hint)}", file=sys.stderr)
        return error.exit_code

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """A bar of files, bytes, rate and time left on stderr while the block runs; nothing off a terminal."""
        if self.quiet or self.as_json or not is_terminal(STDERR):
            yield _NoProgress()
            return
        from relayfile.cli.progress import bar

        with bar(title) as drawn:
            yield drawn


class _NoProgress:
    def at(self, files: int, files_total: int, size_bytes: int, total_bytes: int) -> None:
        pass


def _columns(rows: Sequence[Sequence[str]]) -> str:
    shown = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in shown
    )


def size(count_bytes: int) -> str:
    """`count_bytes` for people: 1234567 is `1.2 MB`."""
    if count_bytes < 1000:
        return f"{count_bytes} B"
    amount = float(count_bytes)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def moment(unix_s: float | None) -> str:
    """A moment for people, in local time; empty when unknown."""
    return "" if unix_s is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_s))


def span(seconds: float) -> str:
    """A length of time for people: its largest whole unit, as in `29 min`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def plural(count: int, noun: str, several: str | None = None) -> str:
    """`1 file`, `2 files`; thousands apart."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"
