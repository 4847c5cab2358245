"""A renewal on the server's real engine and database, in a process that may die around its commit."""

import asyncio
import os
import time
from pathlib import Path

from relayfile.server.bearer import Bearer
from relayfile.server.config import Lifetimes
from relayfile.server.grants import Grants, Wish
from relayfile.server.keys import Keys
from relayfile.server.store import accounts
from relayfile.server.store.database import Database, connect
from relayfile.server.store.migrations import migrate
from relayfile.wire.auth import ClientName

CLIENT = ClientName("test", "here", 1)
BEFORE_COMMIT = "SP1 before the commit"
AFTER_COMMIT = "SP2 after the commit, before the answer"


def die(*_):
    os._exit(86)


def engine(data: Path, point: str | None = None) -> tuple[Grants, Database]:
    """The families of the server whose data lies there; it dies at `point` of its next commit."""
    connection = connect(data / "relayfile.db")
    migrate(connection)
    keys = Keys.open(data / "keys", connection)
    connection.close()
    database = Database(data / "relayfile.db", committed=die if point == AFTER_COMMIT else None)
    if point == BEFORE_COMMIT:
        database._writer.exec_trace = lambda _, sql, __: die() if sql == "COMMIT" else True
    return Grants(database, keys, Bearer(database, keys), Lifetimes()), database


def signed_in(data: Path) -> str:
    """A refresh token of generation 1, on a fresh server."""

    async def begin(grants, database):
        account = await database.write(lambda c: accounts.create(c, "ann", "-", accounts.OWNER, time.time()))
        return await grants.begin(account, Wish(CLIENT, "fs:read", old_clients=False, door="test"))

    return _asked(data, None, begin).refresh.reveal()


def renewed(data: Path, token: str, nonce: str, point: str | None = None):
    """What the server answers, if it lives."""

    async def renew(grants, _):
        return await grants.renew(token, nonce, CLIENT, "-")

    return _asked(data, point, renew)


def audited(data: Path) -> list[str]:
    """Every token event that is on record."""
    connection = connect(data / "relayfile.db")
    try:
        return [row[0] for row in connection.execute("SELECT event FROM audit ORDER BY n")]
    finally:
        connection.close()


def _asked(data, point, work):
    grants, database = engine(data, point)
    try:
        return asyncio.run(work(grants, database))
    finally:
        database.close()
