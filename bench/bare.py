"""The bare pipelines that the product is measured against: the least work that gives the same durability.

Same Python, same machine, same run; no protocol, no decisions, no recovery (R39).
"""

import ctypes
import hashlib
import http.client
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import bare_server

BATCH = 512
GROUP = 200
_libc = ctypes.CDLL(None, use_errno=True)

BODIES = """
import http.server, sys
count, size = int(sys.argv[1]), int(sys.argv[2])
bodies = [(b"%d " % n * size)[:size] for n in range(count)]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        begin, end = (int(word) for word in self.path[1:].split("-"))
        payload = b"".join(bodies[begin:end])
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
"""A server that answers /BEGIN-END with those bodies in one piece."""

RELAY = """
import os, socket, sqlite3, sys
folder, target, files = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = sqlite3.connect(folder + "/relay.db", isolation_level=None)
database.execute("PRAGMA journal_mode=wal"); database.execute("PRAGMA synchronous=full")
database.execute("CREATE TABLE event (position INTEGER PRIMARY KEY, body BLOB)")
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
connection, _ = listening.accept()
root = os.open(target, os.O_RDONLY)
while body := connection.recv(65536):
    database.execute("INSERT INTO event (body) VALUES (?)", (body,))
    for number in range(files):
        descriptor = os.open(f"{target}/.stage{number}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, body[number::files]); os.fdatasync(descriptor); os.close(descriptor)
    for number in range(files):
        os.rename(f"{target}/.stage{number}", f"{target}/edit{number}.txt")
    os.fsync(root)
    connection.send(b"k")
"""
"""Takes bodies from a socket, commits them, places them durably, and says so: edits from one folder to another."""

SENDING = (
    "write them, read and sha256 each, one FULL commit of intents and one of their end for 200 files; "
    "then as bulk writes: " + bare_server.WHAT
)


@contextmanager
def child(code: str, *args: str) -> Iterator[int]:
    """The port of a bare server in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def place_all(port: int, root: Path, count: int, size: int) -> float:
    """Seconds to fetch `count` bodies and have them at their places, hashed, durable and recorded, batch by batch."""
    began = time.perf_counter()
    stage = root / ".relay" / "stage"
    stage.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(root / ".relay" / "bare.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=wal")
    database.execute("PRAGMA synchronous=full")
    database.execute("CREATE TABLE IF NOT EXISTS node (path TEXT PRIMARY KEY, digest BLOB, size INT, mtime INT)")
    connection = http.client.HTTPConnection("127.0.0.1", port)
    descriptor = os.open(root, os.O_RDONLY)
    for begin in range(0, count, BATCH):
        end = min(begin + BATCH, count)
        connection.request("GET", f"/{begin}-{end}")
        payload = connection.getresponse().read()
        digests = []
        for number in range(begin, end):
            body = payload[(number - begin) * size : (number - begin + 1) * size]
            digests.append(hashlib.sha256(body).digest())
            staged = os.open(stage / str(number), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
            os.write(staged, body)
            os.close(staged)
        _libc.syncfs(descriptor)
        rows = []
        for number, digest in zip(range(begin, end), digests, strict=True):
            place = root / f"d{number % 40}" / f"f{number}.txt"
            place.parent.mkdir(exist_ok=True)
            os.rename(stage / str(number), place)  # noqa: PTH104 - the bare call is the point
            stat = os.stat(place)  # noqa: PTH116
            rows.append((str(place), digest, size, stat.st_mtime_ns))
        _libc.syncfs(descriptor)
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?)", rows)
        database.execute("COMMIT")
    os.close(descriptor)
    connection.close()
    database.close()
    return time.perf_counter() - began


def edit(connection: socket.socket, source: Path, number: int, files: int) -> float:
    """Milliseconds of bare edits of so many files: written, read, hashed, sent, committed, placed."""
    began = time.perf_counter()
    places = [source.with_name(f"{source.name}{one}") for one in range(files)]
    for place in places:
        place.write_bytes(b"%d " % number * 50)
    bodies = [place.read_bytes() for place in places]
    for body in bodies:
        hashlib.sha256(body).digest()
    connection.sendall(b"".join(bodies))
    connection.recv(1)
    return (time.perf_counter() - began) * 1000


def send_all(root: Path, write: Callable[[Path], list[Path]]) -> float:
    """Seconds to have new files durably in the server's tables, with intents, group by group of 200."""
    root.mkdir()
    database = sqlite3.connect(root / "intents.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=wal")
    database.execute("PRAGMA synchronous=full")
    database.execute("CREATE TABLE push (path TEXT PRIMARY KEY, digest BLOB)")
    began = time.perf_counter()
    written = write(root / "files")
    groups = []
    for first in range(0, len(written), GROUP):
        bodies = {place: place.read_bytes() for place in written[first : first + GROUP]}
        rows = [(str(place), hashlib.sha256(body).digest()) for place, body in bodies.items()]
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO push VALUES (?, ?)", rows)
        database.execute("COMMIT")
        database.execute("DELETE FROM push")
        groups.append([{"path": str(place), "content": body.decode()} for place, body in bodies.items()])
    took = time.perf_counter() - began
    database.close()
    return took + bare_server.seconds(groups)
