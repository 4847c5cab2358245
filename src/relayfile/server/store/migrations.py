"""Brings a database to this version's schema: numbered SQL files, applied once, in order, each whole."""

from hashlib import sha256
from importlib.resources import files

import apsw

from relayfile.errors import Damaged

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_step (
    name TEXT PRIMARY KEY,    -- the file's name
    checksum TEXT NOT NULL,   -- SHA-256 of the text that was applied
    applied_at REAL NOT NULL DEFAULT (unixepoch('subsec'))
) STRICT
"""


def migrate(connection: apsw.Connection) -> None:
    """Every step in `schema/` has been applied to this database.

    Raises:
        Damaged: the database knows a step this version does not (it is newer), or one that reads differently.

    Durable: each step and its record commit together.
    Once: applied steps are skipped.
    """
    steps = {
        file.name: file.read_text()
        for file in sorted((files(__package__) / "schema").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sqlite.sql")
    }
    connection.execute(_TABLE)
    applied = {str(name): checksum for name, checksum in connection.execute("SELECT name, checksum FROM schema_step")}
    if unknown := sorted(set(applied) - set(steps)):
        raise Damaged(
            f"the database was written by a newer relayfile (it has {', '.join(unknown)}); nothing was changed",
            hint="upgrade this server",
        )
    for name, text in steps.items():
        checksum = sha256(text.encode()).hexdigest()
        if name not in applied:
            with connection:
                connection.execute(text)
                connection.execute("INSERT INTO schema_step (name, checksum) VALUES (?, ?)", (name, checksum))
        elif applied[name] != checksum:
            raise Damaged(f"schema step {name} of the database is not the one this version has; nothing was changed")
