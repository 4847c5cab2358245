"""A database is brought to this version's schema, or left alone."""

from importlib.resources import files

import apsw
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


def test_families_of_an_older_database_keep_everything_that_names_them(tmp_path):
    connection = connect(tmp_path / "old.db")
    schema = files("relayfile.server.store") / "schema"
    steps = sorted(step.name for step in schema.iterdir() if step.name.endswith(".sql"))
    for name in steps[:2]:
        connection.execute((schema / name).read_text())
    times = "1.0, 1.0, 9e9, 9e9, 0, '', 'c'"
    columns = "id, account, kind, key, generation, begun_at, renewed_at, expires_at, absolute_expires_at"
    connection.execute(f"""
        INSERT INTO account VALUES ('ac', 'ann', '-', 'owner', 1.0);
        INSERT INTO family ({columns}, old_clients, scopes, client) VALUES ('f', 'ac', 'sign-in', x'00', 3, {times});
        INSERT INTO family ({columns}, old_clients, scopes, client, parent)
            VALUES ('g', 'ac', 'delegation', x'00', 1, {times}, 'f');
        INSERT INTO consumed VALUES ('f', 2, 1.0, x'');
        INSERT INTO access_token VALUES (x'01', 'g', 1, 9e9);
    """)
    with connection:
        connection.execute((schema / steps[2]).read_text())
    families = connection.execute("SELECT id, kind, generation, parent, jkt FROM family ORDER BY id").fetchall()
    assert families == [("f", "sign-in", 3, None, None), ("g", "delegation", 1, "f", None)]
    assert connection.execute("SELECT family FROM consumed UNION SELECT family FROM access_token").fetchall() == [
        ("f",),
        ("g",),
    ]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    for wrong in ("DELETE FROM family WHERE id = 'f'", "UPDATE family SET kind = 'daemon' WHERE id = 'f'"):
        with pytest.raises(apsw.ConstraintError):
            connection.execute(wrong)
    connection.close()
