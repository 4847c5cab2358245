"""Contents: up to 1 MiB in the database, in the order they came; larger ones as files named by their digest (R43).

A file in DATA/blobs is complete and synced, with its folder, before any commit names it. Nothing is collected yet.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import apsw

from relayfile.errors import Damaged, Unavailable
from relayfile.model import Digest, TreePath

IN_DATABASE_BYTES: Final = 1_048_576
_LOCATE_AT_ONCE: Final = 20_000


class BlobFolder:
    """DATA/blobs/ab/<sha256>: contents too large for the database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._incoming.iterdir():  # uploads that a crash cut short: nothing names them
            left.unlink()

    def path(self, digest: Digest) -> Path:
        """Where the content of this digest lies."""
        name = digest.hex()
        return self._folder / name[:2] / name

    def place(self, digest: Digest, body: bytes) -> None:
        """The content is there. Durable: file and folder are synced. Once: what is there already stays."""
        if not self.path(digest).exists():
            with self.receive() as incoming:
                incoming.write(body)
                incoming.keep(digest)

    def receive(self) -> "Incoming":
        """A place to write a content of yet unknown digest into.

        Raises:
            Unavailable: the disk refuses it.
        """
        return Incoming(self, self._incoming / secrets.token_hex(16))

    def read(self, digest: Digest) -> bytes:
        """The content.

        Raises:
            Damaged: it is not there, though the log names it.
        """
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise Damaged(f"the content {digest.hex()} is missing from the server's data folder") from error


class Incoming:
    """One content being received. What is not kept is gone when the `with` block ends.

    Raises:
        Unavailable: the disk refuses it; so does each method that writes.
    """

    def __init__(self, folder: BlobFolder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._hash = sha256()
        self.size = 0
        with _saving():
            self._file = path.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what is thrown away here; whatever was kept or read has been flushed before
            self._file.close()
        self._path.unlink(missing_ok=True)

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(self._hash.digest())

    def write(self, chunk: bytes) -> None:
        """`chunk` is appended."""
        self._hash.update(chunk)
        self.size += len(chunk)
        with _saving():
            self._file.write(chunk)

    def read(self) -> bytes:
        """Everything written so far."""
        with _saving():
            self._file.flush()
            return self._path.read_bytes()

    def keep(self, digest: Digest) -> None:
        """It lies under its digest. Durable: file and folder are synced."""
        target = self._folder.path(digest)
        with _saving():
            self._file.flush()
            os.fsync(self._file.fileno())
            if not target.parent.exists():
                target.parent.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(target.parent.parent)
            self._path.replace(target)
            _sync_folder(target.parent)


@contextmanager
def _saving() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the server could not save: {error.strerror}; nothing of this request was kept",
            code="storage_unavailable",
            hint="free disk space where the server keeps its data, then repeat",
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def next_id(connection: apsw.Connection) -> int:
    """The id of the next body this transaction adds."""
    return int(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM body").get)


def stored(connection: apsw.Connection, body_id: int) -> bytes:
    """The body of this id.

    Raises:
        Damaged: there is none, though the log names it.
    """
    body = connection.execute("SELECT bytes FROM body WHERE id = ?", (body_id,)).get
    if not isinstance(body, bytes):
        raise Damaged(f"the content {body_id} is missing from the server's database")
    return body


def locate(connection: apsw.Connection, log: int) -> bool:
    """Some more of the log's contents can be found by digest; True when all of them can.

    Runs in: writer thread. Repeat it until it is True; other writes get their turn in between.
    """
    head = int(connection.execute("SELECT head FROM log WHERE id = ?", (log,)).get)
    done = int(connection.execute("SELECT located FROM log WHERE id = ?", (log,)).get)
    upto = min(head, done + _LOCATE_AT_ONCE)
    if upto > done:
        connection.execute(
            "INSERT OR IGNORE INTO body_location SELECT log, digest, position FROM event"
            " WHERE log = ? AND position > ? AND position <= ? AND kind < 2 ORDER BY digest, position",
            (log, done, upto),
        )
        connection.execute("UPDATE log SET located = ? WHERE id = ?", (upto, log))
    return upto == head


def located(connection: apsw.Connection, log: int) -> bool:
    """Whether every content of the log can be found by digest now."""
    return bool(connection.execute("SELECT located = head FROM log WHERE id = ?", (log,)).get)


def find(
    connection: apsw.Connection, log: int, digest: Digest, can_see: Callable[[TreePath], bool] | None
) -> tuple[int, int] | None:
    """(body id, size) of a content that some path the reader can see has or had (R23); None when there is none."""
    for path, body_id, size in connection.execute(
        "SELECT e.path, e.body, e.size FROM body_location l JOIN event e ON e.log = l.log AND e.position = l.position"
        " WHERE l.log = ? AND l.digest = ? ORDER BY l.position DESC",
        (log, digest),
    ):
        if can_see is None or can_see(TreePath(path)):
            return int(body_id), int(size)
    return None
