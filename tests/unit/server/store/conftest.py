"""A fresh store for each test."""

import pytest

from relayfile.server.store import feed
from relayfile.server.store.database import connect
from relayfile.server.store.migrations import migrate
from store_driver import Store


@pytest.fixture
def database_path(tmp_path):
    path = tmp_path / "db"
    connection = connect(path)
    migrate(connection)
    with connection:
        feed.begin_log(connection, "rw_test")
    connection.close()
    return path


@pytest.fixture
def store(database_path):
    connection = connect(database_path)
    yield Store(connection)
    connection.close()
