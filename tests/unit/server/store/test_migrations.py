"""A database is brought to this version's schema, or left alone."""

import pytest

from relayfile.errors import Damaged
from relayfile.server.store.database import connect
from relayfile.server.store.migrations import migrate


def test_a_step_is_applied_once(database_path):
    connection = connect(database_path)
    steps = connection.execute("SELECT count(*) FROM schema_step").get
    migrate(connection)
    assert connection.execute("SELECT count(*) FROM schema_step").get == steps >= 2
    connection.close()


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("INSERT INTO schema_step (name, checksum) VALUES ('9999_later.sqlite.sql', '')", "newer relayfile"),
        ("UPDATE schema_step SET checksum = 'x'", "not the one this version has"),
    ],
)
def test_a_database_of_another_version_is_left_as_it_is(database_path, tampering, words):
    connection = connect(database_path)
    connection.execute(tampering)
    with pytest.raises(Damaged, match=words):
        migrate(connection)
    connection.close()
