"""Rows of people. Every function works inside the caller's transaction."""

import secrets
from dataclasses import dataclass
from typing import Final

import apsw

OWNER: Final = "owner"
PERSON: Final = "person"


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who can sign in. `password` is an argon2id hash."""

    id: str
    username: str
    password: str
    kind: str


_COLUMNS: Final = "id, username, password, kind"


def create(connection: apsw.Connection, username: str, password: str, kind: str, now: float) -> Account:
    """A new account. `password` is already hashed.

    Raises:
        apsw.ConstraintError: the user name is taken.
    """
    account = Account("ac_" + secrets.token_hex(8), username.casefold(), password, kind)
    connection.execute(
        "INSERT INTO account (id, username, password, kind, created_at) VALUES (?, ?, ?, ?, ?)",
        (account.id, account.username, account.password, account.kind, now),
    )
    return account


def by_username(connection: apsw.Connection, username: str) -> Account | None:
    """Who is called that, in any case of letters."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM account WHERE username = ?", (username.casefold(),)).fetchone()  # noqa: S608 - constant columns
    return Account(*row) if row else None


def by_id(connection: apsw.Connection, account: str) -> Account | None:
    """The account with this id."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM account WHERE id = ?", (account,)).fetchone()  # noqa: S608 - constant columns
    return Account(*row) if row else None


def owner(connection: apsw.Connection) -> Account | None:
    """The account that the first start created; None before it."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM account WHERE kind = 'owner' ORDER BY created_at").fetchone()  # noqa: S608 - constant columns
    return Account(*row) if row else None
