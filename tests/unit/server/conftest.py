"""A database with this version's schema in the test's own process, and settings for an identity over it."""

import shutil

import pytest

from relayfile.server.config import Lifetimes, Owner, Settings
from relayfile.server.keys import Keys
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


@pytest.fixture(scope="session")
def made_keys(tmp_path_factory):
    """Keys made once: an RSA key costs a moment."""
    folder = tmp_path_factory.mktemp("keys")
    connection = connect(folder / "relayfile.db")
    migrate(connection)
    Keys.open(folder / "keys", connection)
    connection.close()
    return folder / "keys"


@pytest.fixture
def keys_folder(made_keys, tmp_path):
    """A folder with good keys that no database remembers yet."""
    shutil.copytree(made_keys, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def keys(database, keys_folder):
    """Those keys, opened."""
    connection = connect(database.path)
    made = Keys.open(keys_folder, connection)
    connection.close()
    return made


@pytest.fixture
def settings(tmp_path, keys_folder):
    """Settings whose owner signs in with `PASSWORD`."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return Settings(tmp_path, owner=Owner("Owner", tmp_path / "password"), lifetimes=Lifetimes(access_ttl_s=60))
