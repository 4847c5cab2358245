"""What two contents differ in, for a person to read: a unified diff of text, the sizes of anything else."""

import difflib
from typing import Final

from relayfile.core import lines

MOST_BYTES: Final = 4 * 1024 * 1024
"""Longer text is not compared by lines: it would take too long, and nobody reads it."""


def text_of(body: bytes) -> str | None:
    """`body` as text; None when it is none, or too long to be read as one."""
    if len(body) > MOST_BYTES or b"\0" in body:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def unified(old: bytes, new: bytes, old_name: str, new_name: str) -> str:
    """What makes `new` of `old`; empty when they are equal, one line with both sizes where one is not text."""
    if old == new:
        return ""
    before, after = text_of(old), text_of(new)
    if before is None or after is None:
        return f"binary, {len(old)} and {len(new)} bytes\n"
    told = difflib.unified_diff(lines.split(before), lines.split(after), old_name, new_name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in told)
