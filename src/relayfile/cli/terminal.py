"""What the terminal is like: its width, and whether colour is wanted. The only place in the CLI that asks.

Part of the start-up path: imports nothing that Python has not already loaded.
"""

import os
import sys

STDOUT, STDERR = 1, 2
_WIDTH_WITHOUT_TERMINAL = 100
_IN_THE_TERMINAL = frozenset({"www-browser", "lynx", "links", "links2", "elinks", "w3m", "browsh", "carbonyl"})


def is_terminal(descriptor: int) -> bool:
    """A person may be looking at `descriptor`."""
    return os.isatty(descriptor)


def has_browser() -> bool:
    """A person sits here, at a screen that a browser can open on: not at the other end of a network."""
    if not is_terminal(STDERR) or any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY")):
        return False
    # Elsewhere a screen is always there; here a browser without one would take over the terminal, unless the one that
    # is named is a door to another system's.
    if sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        return True
    named = {word.rpartition("/")[2] for word in os.environ.get("BROWSER", "").replace(os.pathsep, " ").split()}
    return bool(named) and _IN_THE_TERMINAL.isdisjoint(named)


def width() -> int:
    """Columns of the terminal behind stdout; a fixed number when there is none, so that pipes see stable text."""
    if not is_terminal(STDOUT):
        return _WIDTH_WITHOUT_TERMINAL
    try:
        return os.get_terminal_size(STDOUT).columns or _WIDTH_WITHOUT_TERMINAL
    except OSError:
        return _WIDTH_WITHOUT_TERMINAL


def wants_colour(descriptor: int) -> bool:
    """`descriptor` is a terminal that understands colour, and NO_COLOR does not ask for none.

    Source: https://no-color.org (set and not empty).
    """
    return is_terminal(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """`text` with control characters made visible: a file name must not be able to drive the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
