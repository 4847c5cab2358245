"""Rows of machine tokens. Every function works inside the caller's transaction."""

from dataclasses import dataclass
from typing import Any, Final

import apsw


@dataclass(frozen=True, slots=True)
class MachineToken:
    """One machine token as the database has it; the schema explains the columns. `username` is its maker's."""

    id: str
    account: str
    username: str
    name: str
    scopes: tuple[str, ...]
    workspace: str | None
    created_at: float
    expires_at: float
    made_by: str
    revoked_at: float | None = None
    revoked_by: str | None = None
    first_used_at: float | None = None
    last_used_at: float | None = None


_SELECT: Final = (
    "SELECT t.id, t.account, a.username, t.name, t.scopes, t.workspace, t.created_at, t.expires_at, t.made_by, "
    "t.revoked_at, t.revoked_by, t.first_used_at, t.last_used_at "
    "FROM machine_token t JOIN account a ON a.id = t.account"
)


def insert(connection: apsw.Connection, token: MachineToken, digest: bytes) -> None:
    """The token is good from now on."""
    connection.execute(
        "INSERT INTO machine_token (id, digest, account, name, scopes, workspace, created_at, expires_at, made_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            token.id,
            digest,
            token.account,
            token.name,
            "\n".join(token.scopes),
            token.workspace,
            token.created_at,
            token.expires_at,
            token.made_by,
        ),
    )


def by_digest(connection: apsw.Connection, digest: bytes) -> MachineToken | None:
    """The token with this digest, whether it is still good or not."""
    return _one(connection.execute(f"{_SELECT} WHERE t.digest = ?", (digest,)).fetchone())


def by_id(connection: apsw.Connection, token: str) -> MachineToken | None:
    """The token with this id, whether it is still good or not."""
    return _one(connection.execute(f"{_SELECT} WHERE t.id = ?", (token,)).fetchone())


def all_of(connection: apsw.Connection, *, account: str | None, alive_at: float | None) -> list[MachineToken]:
    """Tokens of one account, or (None) of all, the newest first; with a moment only those that are good then."""
    wanted: list[str] = []
    values: list[str | float] = []
    if account is not None:
        wanted.append("t.account = ?")
        values.append(account)
    if alive_at is not None:
        wanted.append("t.revoked_at IS NULL AND t.expires_at > ?")
        values.append(alive_at)
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = connection.execute(f"{_SELECT} {where} ORDER BY t.created_at DESC, t.id", values)
    return [token for row in rows if (token := _one(row)) is not None]


def revoke(connection: apsw.Connection, token: str, by: str, now: float) -> bool:
    """The token is good for nothing any more; False when it was already revoked."""
    connection.execute(
        "UPDATE machine_token SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL",
        (now, by, token),
    )
    return connection.changes() > 0


def used(connection: apsw.Connection, token: str, now: float) -> None:
    """It was used just now."""
    connection.execute(
        "UPDATE machine_token SET last_used_at = ?, first_used_at = coalesce(first_used_at, ?) WHERE id = ?",
        (now, now, token),
    )


def _one(row: tuple[Any, ...] | None) -> MachineToken | None:
    if row is None:
        return None
    identity, account, username, name, scopes, *rest = row
    return MachineToken(identity, account, username, name, tuple(scopes.split("\n")), *rest)
