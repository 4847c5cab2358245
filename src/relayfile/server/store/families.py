"""Rows of credential families. Every function works inside the caller's transaction."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import apsw

from relayfile.core.families import Consumed, Family
from relayfile.wire.auth import ClientName

SIGN_IN: Final = "sign-in"
DELEGATION: Final = "delegation"

_Value: TypeAlias = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose family it is, and what it is for: everything that does not change while it lives."""

    id: str
    account: str
    kind: str
    key: bytes
    scopes: str
    client: ClientName
    profile: str | None = None
    parent: str | None = None
    workspace: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A family as the database has it: who holds it, and where it stands."""

    holder: Holder
    family: Family


def insert(connection: apsw.Connection, holder: Holder, family: Family) -> None:
    """The family exists."""
    row: dict[str, _Value] = {
        "id": holder.id,
        "account": holder.account,
        "kind": holder.kind,
        "key": holder.key,
        "generation": family.generation,
        "begun_at": family.begun_at,
        "renewed_at": family.renewed_at,
        "expires_at": family.expires_at,
        "absolute_expires_at": family.absolute_expires_at,
        "old_clients": family.old_clients,
        "scopes": holder.scopes,
        "client": holder.client.client,
        "host": holder.client.host,
        "pid": holder.client.pid,
        "profile": holder.profile,
        "parent": holder.parent,
        "workspace": holder.workspace,
        "agent": holder.agent,
    }
    connection.execute(
        f"INSERT INTO family ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - our column names
        tuple(row.values()),
    )


_COLUMNS: Final = (
    "id, account, kind, key, scopes, client, host, pid, profile, parent, workspace, agent, "
    "generation, begun_at, renewed_at, expires_at, absolute_expires_at, old_clients, ended, replays"
)


def load(connection: apsw.Connection, family: str) -> Stored | None:
    """The family with this id, with the generations it remembers."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM family WHERE id = ?", (family,)).fetchone()  # noqa: S608 - constant columns
    if row is None:
        return None
    consumed = connection.execute(
        "SELECT generation, at, nonce FROM consumed WHERE family = ? ORDER BY generation", (family,)
    )
    return _stored(row, tuple(Consumed(*each) for each in consumed))


def save(connection: apsw.Connection, before: Stored, after: Family) -> None:
    """What the decision made of the family is stored: its row, and exactly the generations it remembers."""
    family = before.holder.id
    connection.execute(
        "UPDATE family SET generation = ?, renewed_at = ?, expires_at = ?, ended = ?, replays = ? WHERE id = ?",
        (after.generation, after.renewed_at, after.expires_at, after.ended, after.replays, family),
    )
    for gone in set(before.family.consumed) - set(after.consumed):
        connection.execute("DELETE FROM consumed WHERE family = ? AND generation = ?", (family, gone.generation))
    for new in set(after.consumed) - set(before.family.consumed):
        connection.execute(
            "INSERT OR REPLACE INTO consumed (family, generation, at, nonce) VALUES (?, ?, ?, ?)",
            (family, new.generation, new.at, new.nonce),
        )


def end(connection: apsw.Connection, family: str, reason: str) -> bool:
    """The family is over; False when it was already."""
    connection.execute("UPDATE family SET ended = ? WHERE id = ? AND ended IS NULL", (reason, family))
    return connection.changes() > 0


def ended(connection: apsw.Connection, family: str) -> str | None:
    """Why the family is over; None while it lives. One that never was is "unknown"."""
    row = connection.execute("SELECT ended FROM family WHERE id = ?", (family,)).fetchone()
    return row[0] if row else "unknown"


def children(connection: apsw.Connection, family: str) -> list[str]:
    """The living delegations this sign-in made."""
    rows = connection.execute("SELECT id FROM family WHERE parent = ? AND ended IS NULL", (family,))
    return [row[0] for row in rows]


def living(connection: apsw.Connection, *, account: str | None, now: float) -> list[Stored]:
    """Families that can still renew, the newest first; of one account, or (None) of all."""
    chosen = "" if account is None else "AND account = ?"
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM family WHERE ended IS NULL AND expires_at > ? {chosen} ORDER BY begun_at DESC",  # noqa: S608 - constants
        (now, *(() if account is None else (account,))),
    )
    return [_stored(row, ()) for row in rows]


def _stored(row: tuple[Any, ...], consumed: tuple[Consumed, ...]) -> Stored:
    """The row's values; the schema is STRICT, so the columns hold what their types say."""
    identity, account, kind, key, scopes, client, host, pid, profile, parent, workspace, agent, *standing = row
    generation, begun_at, renewed_at, expires_at, absolute_expires_at, old_clients, ended_why, replays = standing
    holder = Holder(
        identity, account, kind, key, scopes, ClientName(client, host, pid), profile, parent, workspace, agent
    )
    family = Family(
        generation,
        begun_at,
        renewed_at,
        expires_at,
        absolute_expires_at,
        old_clients=bool(old_clients),
        ended=ended_why,
        replays=replays,
        consumed=consumed,
    )
    return Stored(holder, family)
