"""SQLite as the server uses it: one writer thread with group commit, and readers apart (WAL).

Acknowledged means durable: `write` returns after the commit that holds its work has been synced
(`synchronous=FULL`). A batch is what queued up while the last commit ran, so one sync serves many requests and
a lone request never waits for company (R32).
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import apsw

from relayfile.errors import Damaged, Misconfigured, Unavailable

T = TypeVar("T")

Transaction = Callable[[apsw.Connection], T]
"""One unit of work on a connection that is already inside a transaction. It must not commit or begin."""

OLDEST_SQLITE: Final = (3, 51, 3)
MAX_BATCH: Final = 512
READERS: Final = 4


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """A connection with the settings that durability and speed depend on (R41).

    Raises:
        Damaged: SQLite here is older than 3.51.3, whose WAL can corrupt a database; or as `sound`.
        Misconfigured: as `sound`.
    """
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < OLDEST_SQLITE:
        raise Damaged(f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL database; 3.51.3 or newer is needed")
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with sound(path):
        connection = apsw.Connection(str(path), flags=flags)
        connection.set_busy_timeout(5_000)
        connection.pragma("cache_size", -65_536)
        connection.pragma("foreign_keys", 1)
        if readonly:
            connection.pragma("query_only", 1)
        else:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            connection.pragma("wal_autocheckpoint", 4_000)
    return connection


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """What is done inside found a database in the file at `path`, one that can be read as far as was needed.

    Raises:
        Damaged: it holds none, or a broken one.
        Misconfigured: it cannot be opened.
    """
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        name = path.name
        raise Damaged(
            f"the database {path} is damaged: {error}. Nothing was changed.",
            hint=f"move {name} and what begins with {name}- away, put a backup of {name} there, leave high-water "
            "beside it as it is (it tells that a backup was restored), and start again",
        ) from error
    except apsw.CantOpenError as error:
        raise Misconfigured(
            f"the database {path} cannot be opened: {error}. Nothing was changed.",
            hint="if it is no file, move it away; else let this user read and write it and its folder",
            code="database_unusable",
        ) from error


@dataclass(frozen=True, slots=True)
class _Job:
    """`loop` is where `answer` lives and `then` runs; None: the writer thread."""

    work: Callable[[apsw.Connection], Any]
    loop: asyncio.AbstractEventLoop | None
    answer: asyncio.Future[Any] | Future[Any]
    then: Callable[[Any], None] | None = None


_Outcome: TypeAlias = tuple[_Job, Any, BaseException | None]


class Database:
    """The server's one database file.

    `committed`, when set, is called in the writer thread after each commit, before anyone is told of it.
    """

    def __init__(self, path: Path, *, committed: Callable[[apsw.Connection], None] | None = None) -> None:
        self.path = path
        self._committed = committed
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._writer = connect(path)
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._thread = threading.Thread(target=self._write_loop, name="writer", daemon=True)
        self._thread.start()

    async def write(self, work: Transaction[T], *, then: Callable[[T], None] | None = None) -> T:
        """The result of `work`, once what it did is durable.

        `then` is called with it in the caller's loop, also when the caller was cancelled meanwhile.

        Raises:
            Unavailable: the commit failed (full disk); nothing of `work` was kept.
            Exception: whatever `work` raised; only its own changes were undone.

        Durable: everything `work` did survives `kill -9` and power loss on return.
        Runs in: any task; `work` runs in the writer thread, strictly one after another.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._submit(_Job(work, loop, answer, then))
        return await answer

    def write_now(self, work: Transaction[T]) -> T:
        """As `write`, for callers without a loop: the calling thread waits."""
        answer: Future[T] = Future()
        self._submit(_Job(work, None, answer))
        return answer.result()

    async def read(self, query: Transaction[T]) -> T:
        """The result of `query` on one consistent snapshot.

        Runs in: any task; `query` runs in a reader thread and must not keep the connection.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, query)

    def read_now(self, query: Transaction[T]) -> T:
        """As `read`, in the calling thread."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.path, readonly=True)
        with connection:
            return query(connection)

    def close(self) -> None:
        """Everything queued is committed or refused, and the file is closed. Later writes are refused."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        self._readers.shutdown()
        self._writer.close()

    def _submit(self, job: _Job) -> None:
        with self._gate:
            if self._closed:
                raise Unavailable("the server is stopping; nothing of this request was kept", code="stopping")
            self._jobs.put(job)

    def _write_loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, ending = [job], False
            while len(batch) < MAX_BATCH:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                    break
                batch.append(more)
            self._commit(batch)
            if ending:
                return

    def _commit(self, batch: list[_Job]) -> None:
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            outcomes: list[_Outcome] = [self._run(job) for job in batch]
            writer.execute("COMMIT")
        except apsw.Error as error:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            refusal = Unavailable(
                f"the server could not save: {error}; nothing of this request was kept",
                code="storage_unavailable",
                hint="free disk space where the server keeps its data, then repeat",
            )
            outcomes = [(job, None, refusal) for job in batch]
        else:
            if self._committed is not None:
                self._committed(writer)
        for loop in {job.loop for job in batch}:
            mine = [outcome for outcome in outcomes if outcome[0].loop is loop]
            if loop is None:
                _settle(mine)
            else:
                with suppress(RuntimeError):  # its loop has closed: nobody waits any more
                    loop.call_soon_threadsafe(_settle, mine)

    def _run(self, job: _Job) -> _Outcome:
        """One job inside the batch's transaction; a job that raises undoes only itself."""
        try:
            with self._writer:  # a savepoint
                result = job.work(self._writer)
        except (apsw.FullError, apsw.IOError):
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            return job, None, error
        return job, result, None


def _settle(outcomes: list[_Outcome]) -> None:
    for job, result, error in outcomes:
        if error is None and job.then is not None:
            job.then(result)
        if job.answer.done():  # its request was cancelled; the work stands
            continue
        if error is None:
            job.answer.set_result(result)
        else:
            job.answer.set_exception(error)
