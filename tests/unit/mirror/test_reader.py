"""What of the log waits for the engine, and how much."""

import asyncio

from relayfile.client.feed import Batch
from relayfile.mirror.reader import AHEAD, Reader
from relayfile.model import Cursor, Delete, TreePath


class Log:
    """Brings these batches and is then silent; `brought` counts those that were asked for."""

    def __init__(self, batches: list[Batch]) -> None:
        self.waiting = batches
        self.brought = 0

    async def batches(self, cursor, start, on_connection):
        for batch in self.waiting:
            self.brought += 1
            yield batch
        await asyncio.Event().wait()


def batch(position, *, live, changes=1):
    deleted = [Delete(TreePath(f"f{position}-{one}"), position) for one in range(changes)]
    return Batch(deleted, Cursor("e", position), position, live=live, received_bytes=7 * changes)


async def test_live_frames_that_wait_for_the_engine_are_one_batch():
    frames = [batch(position, live=True) for position in range(1, 301)]
    frames.append(Batch([], Cursor("e", 300), 300, live=True, tree_digest=b"d"))
    reader = Reader(Log(frames), asyncio.Event())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(reader.run())
        reader.read_from(Cursor("e", 0), None)
        for _ in range(1000):
            await asyncio.sleep(0)
        (whole,) = reader.take(512, 1 << 20)
        job.cancel()
    assert [change.position for change in whole.changes] == list(range(1, 301))
    assert (whole.cursor, whole.tree_digest, whole.received_bytes) == (Cursor("e", 300), b"d", 2100)


async def test_what_waits_is_bounded_until_the_engine_takes_it():
    for live in (False, True):
        log = Log([batch(position, live=live, changes=512) for position in range(1, 20)])
        reader = Reader(log, asyncio.Event())
        async with asyncio.TaskGroup() as group:
            job = group.create_task(reader.run())
            reader.read_from(Cursor("e", 0), None)
            taken = []
            while len(taken) < 19:
                for _ in range(50):
                    await asyncio.sleep(0)
                assert log.brought - len(taken) <= AHEAD + 1
                taken += reader.take(1, 1)
            job.cancel()
        assert [one.cursor.position for one in taken] == list(range(1, 20))


async def test_nothing_of_an_earlier_reading_comes_after_the_next_one_began():
    log = Log([batch(position, live=False) for position in range(1, 9)])
    reader = Reader(log, asyncio.Event())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(reader.run())
        reader.read_from(Cursor("e", 0), None)
        for _ in range(50):
            await asyncio.sleep(0)
        log.waiting = [batch(90, live=False)]
        reader.read_from(Cursor("e", 89), None)
        for _ in range(50):
            await asyncio.sleep(0)
        assert [one.cursor.position for one in reader.take(512, 1 << 20)] == [90]
        job.cancel()
