"""The entry point: answers what is asked a hundred times a day without loading anything for it.

`--version`, `--help` and plain `status` are matched here by hand; every other line of words goes to `main`.
Nothing may be imported at the top of this module that Python has not loaded already: tests/test_startup.py
holds it to that, because a shell prompt or an agent's loop runs `relayfile status` more often than all the rest.
"""

import os
import sys

_STATUS_TIMEOUT_S = 2.0


def main() -> int:
    """The exit code of the command that `sys.argv` asks for."""
    words = sys.argv[1:]
    try:
        text = _short_answer(words)
        if text is not None:
            _write_out(text)
            return 0
        from relayfile.cli.main import run
        from relayfile.credentials import dumps

        dumps.forbid()
        return run(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _short_answer(words: list[str]) -> bytes | None:
    """The whole output, where it can be had without the full command line; None where not."""
    if words == ["status"]:
        return _status_of_running_mirrors()
    if words == ["--version"]:
        from relayfile.cli.catalogue import version

        return version().encode()
    if words in ([], ["--help"], ["-h"], ["help"]):
        from relayfile.cli.catalogue import overview

        return overview().encode()
    return None


def _status_of_running_mirrors() -> bytes | None:
    """What each daemon renders of its mirror, when all of them answer.

    None when there is no mirror or one of them is stopped: its picture must be drawn from its files, which needs
    more than this module may load.
    """
    from relayfile.cli.local import ask, sockets
    from relayfile.cli.terminal import STDOUT, wants_colour, width
    from relayfile.credentials.home import Home

    listening = sockets(os.fspath(Home.from_environment()))
    if not listening:
        return None
    target = f"/status?format=text&width={width()}&color={int(wants_colour(STDOUT))}"
    fragments = []
    for control_socket in listening:
        try:
            answer = ask(control_socket, "GET", target, _STATUS_TIMEOUT_S)
            fragments.append(answer.body())
        except OSError:
            return None
        if answer.status != 200:
            return None
    fragments.sort()  # each begins with the names of its workspace and its directory
    return b"\n".join(fragments)


def _write_out(text: bytes) -> None:
    while text:
        text = text[os.write(sys.stdout.fileno(), text) :]


if __name__ == "__main__":
    sys.exit(main())
