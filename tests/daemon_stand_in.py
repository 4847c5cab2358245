"""A control socket that answers as told, in place of a daemon: for tests of what the command line does with it."""

import socket
import threading
from pathlib import Path
from typing import Self

from relayfile.credentials.home import Home
from relayfile.mirror import registry


class StandIn:
    """Registered as mirror `mirror` of the home below `place`; answers every request with `body`, and notes it."""

    def __init__(self, place: Path, mirror: str, body: bytes, *, status: int = 200) -> None:
        home = Home(place / ".relayfile")
        home.prepare("mirrors", mirror)
        root = place / mirror
        root.mkdir(exist_ok=True)
        ino = root.stat().st_ino
        registry.save(home, registry.Record(mirror, "rw_1", mirror, str(root), "http://127.0.0.1:1", root_ino=ino))
        self.asked: list[str] = []
        self._answer = b"HTTP/1.0 %d Told\r\nContent-Type: text/plain\r\n\r\n" % status + body
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(registry.control_socket(home, mirror))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                self.asked.append(received.split(b"\r\n")[0].decode())
                # In two pieces, the first without the end of the head: a reader must not count on packets.
                connection.sendall(self._answer[:9])
                connection.sendall(self._answer[9:])
