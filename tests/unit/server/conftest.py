"""A database with this version's schema in the test's own process, and settings for an identity over it."""

import pytest

from relayfile.server.config import Lifetimes, Owner, Settings
from relayfile.server.store.database import Database, connect
from relayfile.server.store.migrations import migrate

PASSWORD = "a password"


@pytest.fixture
def database(tmp_path):
    """A fresh one."""
    connection = connect(tmp_path / "relayfile.db")
    migrate(connection)
    connection.close()
    made = Database(tmp_path / "relayfile.db")
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path):
    """Settings whose owner signs in with `PASSWORD`."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return Settings(tmp_path, owner=Owner("Owner", tmp_path / "password"), lifetimes=Lifetimes(access_ttl_s=60))
