"""Group commit: acknowledged means durable, one job's failure is its own, nobody waits for ever."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import apsw
import pytest

from relayfile.errors import Unavailable, UsageError
from relayfile.server.store.database import Database, connect


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "db")
    made.write_now(lambda connection: connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    yield made
    made.close()


def insert(number):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (number,)).fetchall()


def rows(database):
    return database.read_now(
        lambda connection: [number for (number,) in connection.execute("SELECT n FROM t ORDER BY n")]
    )


async def test_what_queues_up_during_a_commit_shares_the_next_one(tmp_path):
    commits = []
    database = Database(tmp_path / "db", committed=lambda _: commits.append(1))
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        go_on.wait(10)
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")

    first = asyncio.ensure_future(database.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    many = asyncio.gather(*(database.write(insert(number)) for number in range(100)))
    await asyncio.sleep(0)
    go_on.set()
    await first
    await many
    assert len(commits) == 2
    assert rows(database) == list(range(100))
    database.close()


async def test_a_job_that_fails_undoes_only_itself(database):
    def failing(connection):
        connection.execute("INSERT INTO t VALUES (99)")
        raise UsageError("no")

    outcomes = await asyncio.gather(
        database.write(insert(1)), database.write(failing), database.write(insert(2)), return_exceptions=True
    )
    assert isinstance(outcomes[1], UsageError)
    assert rows(database) == [1, 2]
    with pytest.raises(apsw.ConstraintError):
        await database.write(insert(1))


async def test_work_of_a_cancelled_request_stands_and_is_told(database):
    told, begun, go_on = [], threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        go_on.wait(10)
        insert(7)(connection)

    request = asyncio.ensure_future(database.write(slow, then=told.append))
    await asyncio.to_thread(begun.wait, 10)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    go_on.set()
    await database.write(insert(8))
    assert told == [None]
    assert rows(database) == [7, 8]


async def test_a_full_disk_refuses_the_whole_batch_and_keeps_the_database_usable(database):
    await database.write(insert(1))
    pages = await database.write(lambda connection: connection.pragma("page_count"))
    await database.write(lambda connection: connection.pragma("max_page_count", pages))
    with pytest.raises(Unavailable) as refused:
        await database.write(
            lambda connection: connection.execute("CREATE TABLE big AS SELECT randomblob(100000) AS b")
        )
    assert refused.value.code == "storage_unavailable"
    await database.write(lambda connection: connection.pragma("max_page_count", 1 << 30))
    await database.write(insert(2))
    assert rows(database) == [1, 2]


async def test_a_closed_database_refuses_instead_of_keeping_anyone_waiting(database):
    database.close()
    with pytest.raises(Unavailable):
        await database.write(insert(1))


def test_the_writer_syncs_every_commit_and_keeps_a_log_beside_the_database(database):
    told = database.write_now(lambda each: (each.pragma("synchronous"), each.pragma("journal_mode")))
    assert told == (2, "wal"), "FULL: acknowledged survives a power failure, which no test here can cause"


async def test_reads_see_one_snapshot_and_never_write(database):
    await database.write(insert(1))
    with pytest.raises(apsw.ReadOnlyError):
        await database.read(insert(2))


WRITER = """
import asyncio, sys
from pathlib import Path
from relayfile.server.store.database import Database

async def main():
    database = Database(Path(sys.argv[1]))
    async def chain(lane):
        for number in range(lane, 1_000_000, 8):
            await database.write(lambda each: each.execute("INSERT INTO t VALUES (?)", (number,)).fetchall())
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(chain(lane) for lane in range(8)))

asyncio.run(main())
"""


def test_everything_acknowledged_survives_kill_9(database, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE)
    acknowledged = [int(process.stdout.readline()) for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split(b"\n")[:-1]
    process.stdout.close()
    process.wait()
    acknowledged += [int(line) for line in rest]
    connection = connect(tmp_path / "db")
    assert connection.pragma("integrity_check") == "ok"
    kept = {number for (number,) in connection.execute("SELECT n FROM t")}
    assert set(acknowledged) <= kept
    connection.close()
