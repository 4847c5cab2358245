"""Standard-library client of a mirror daemon's control socket: ask it, and copy what it answers.

It speaks HTTP/1.0 over `_socket`, so that an answer ends with its connection (no chunk decoding) and so that
`relayfile status` loads neither `socket` nor any HTTP library: together they would cost more than the question.
"""

import _socket
import os

TYPE_CHECKING = False  # as in `typing`, which costs as much as the whole question
if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 65536
_HEAD_LIMIT_BYTES = 65536


def sockets(home: str) -> list[str]:
    """Where the daemons of all mirrors in this home listen, running or not.

    The names are those of `mirror/registry`, which is too much to import for them; a test holds them together.
    """
    found = []
    try:
        mirrors = sorted(os.listdir(f"{home}/mirrors"))  # noqa: PTH208 - pathlib costs more than the answer
    except OSError:
        return []
    for mirror in mirrors:
        folder = f"{home}/mirrors/{mirror}"
        if not os.access(f"{folder}/mirror.json", os.F_OK):
            continue
        path = f"{folder}/control.sock"
        try:
            # R33: a path too long for a socket leads to a shorter one.
            found.append(os.readlink(path))  # noqa: PTH115 - as above
        except OSError:
            found.append(path)
    return found


class NotRunning(OSError):  # noqa: N818 - what is the case, not what failed
    """Nobody listens at this control socket: no daemon, or one that ended without removing it."""


class Answer:
    """One answer of a daemon, its body still to be read. Close it, or read it to its end."""

    __slots__ = ("_begun", "_connection", "status")

    def __init__(self, connection: _socket.socket, status: int, begun: bytes) -> None:
        self.status = status
        self._connection = connection
        self._begun = begun

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._blocks())

    def lines(self) -> "Iterator[bytes]":
        """Line by line as the daemon writes them, without their line ends."""
        rest = b""
        for block in self._blocks():
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        """The connection is closed; a daemon that still writes stops."""
        self._connection.close()

    def _blocks(self) -> "Iterator[bytes]":
        try:
            yield self._begun
            while block := self._connection.recv(_BLOCK_BYTES):
                yield block
        finally:
            self._connection.close()


def ask(control_socket: str, method: str, target: str, timeout_s: float | None) -> Answer:
    """The daemon's answer to `method target`, read up to the end of its head.

    Raises:
        NotRunning: nobody listens there.
        TimeoutError: somebody does, and let a single read take longer than `timeout_s`. None waits for ever.
        OSError: the connection broke, or what answered does not speak HTTP.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        try:
            connection.connect(control_socket)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(f"nobody listens at {control_socket}") from error
        connection.sendall(f"{method} {target} HTTP/1.0\r\nHost: mirror\r\nContent-Length: 0\r\n\r\n".encode())
        return _answer(connection)
    except BaseException:
        connection.close()
        raise


def _answer(connection: _socket.socket) -> Answer:
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(_BLOCK_BYTES)
        if not block or len(received) > _HEAD_LIMIT_BYTES:
            raise ConnectionResetError("the daemon ended the connection before it answered")
        received += block
    head, _, begun = received.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ConnectionAbortedError("what listens at the control socket is not a mirror daemon")
    return Answer(connection, int(rest[:3]), begun)
