"""A machine token of this process's surroundings: from a variable or a file, never from an argument.

The only reader of RELAYFILE_TOKEN, RELAYFILE_TOKEN_FILE and RELAYFILE_SERVER. A token file holds the token on its
first line and, if there is a second, the server it is for: `relayfile token create --save FILE` writes both.
"""

import os
import re
import stat
from dataclasses import dataclass

from relayfile.errors import Misconfigured, UsageError
from relayfile.model import Secret

TOKEN = "RELAYFILE_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE = "RELAYFILE_TOKEN_FILE"  # noqa: S105 - as above
SERVER = "RELAYFILE_SERVER"

_LONGEST = 16_384
_ONE_WORD = re.compile(r"[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True)
class MachineToken:
    """A token, where it came from (in people's words), and the server it is for, where that was said.

    `path` is the file it was read from; `open_to_others` that somebody else on this machine may read it too.
    """

    token: Secret
    source: str
    api_url: str | None = None
    path: str | None = None
    open_to_others: bool = False


def found(token_file: str | None = None) -> MachineToken | None:
    """The token that `--token-file`, else RELAYFILE_TOKEN, else RELAYFILE_TOKEN_FILE gives; None: none does.

    Raises:
        Misconfigured: a file was named and holds no token.
        UsageError: a variable holds none, or the file and RELAYFILE_SERVER name different servers.
    """
    server = os.environ.get(SERVER) or None
    if token_file is None and (text := os.environ.get(TOKEN, "").strip()):
        if not _ONE_WORD.fullmatch(text):
            raise UsageError(f"{TOKEN} holds no token. Nothing was done.", code="bad_token")
        return MachineToken(Secret(text), TOKEN, server)
    path = token_file or os.environ.get(TOKEN_FILE)
    if not path:
        return None
    read = in_file(path)
    if read.api_url and server and read.api_url.rstrip("/") != server.rstrip("/"):
        raise UsageError(
            f"{read.path} holds a token for {read.api_url}, but {SERVER} is {server}. Nothing was sent.",
            code="other_server",
            hint=f"unset {SERVER}, or use the token of that server",
        )
    return MachineToken(read.token, read.source, read.api_url or server, read.path, read.open_to_others)


def environment_without() -> dict[str, str]:
    """What a long-lived child inherits: all but a machine token, which it takes from a file if it needs one."""
    return {name: value for name, value in os.environ.items() if name not in {TOKEN, TOKEN_FILE, SERVER}}


def in_file(path: str) -> MachineToken:
    """The token that a file holds.

    Raises:
        Misconfigured: it cannot be read, or holds none.
    """
    place = os.path.abspath(path)
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _no_token(place, f"cannot be read: {error.strerror}") from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise _no_token(place, "is no regular file")
        raw = os.read(fd, _LONGEST)
    except OSError as error:
        raise _no_token(place, f"cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
    lines = [line.strip() for line in raw.decode("ascii", "replace").splitlines()]
    words = [line for line in lines if line]
    if not words or len(words) > 2 or not all(_ONE_WORD.fullmatch(word) for word in words):
        raise _no_token(place, "holds no token: it is one line, and a second one names the server")
    return MachineToken(
        Secret(words[0]), place, words[1] if len(words) > 1 else None, place, bool(stat.S_IMODE(mode) & 0o077)
    )


def save(path: str, token: Secret, api_url: str) -> None:
    """A new file holds the token and its server, readable by its owner alone.

    Raises:
        UsageError: code `file_exists`: something is there already; it was left as it is.
        Misconfigured: it cannot be written.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists; it was left as it is.", code="file_exists") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}", code="token_unwritable") from error
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(f"{token.reveal()}\n{api_url}\n")
        file.flush()
        os.fsync(file.fileno())


def _no_token(path: str, why: str) -> Misconfigured:
    return Misconfigured(
        f"the token file {path} {why}. Nothing was sent.",
        code="token_file",
        hint="`relayfile token create --save FILE` makes one",
    )
