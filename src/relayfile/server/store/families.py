"""Rows of credential families. Every function works inside the caller's transaction."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import apsw

from relayfile.core.families import REUSE, Consumed, Family
from relayfile.wire.auth import ClientName, rfc3339

SIGN_IN: Final = "sign-in"
DELEGATION: Final = "delegation"
DAEMON: Final = "daemon"

LOGGED_OUT: Final = "logged_out"
NOT_SAVED: Final = "not_saved"
REPLACED: Final = "replaced"
REVOKED: Final = "revoked"
SIGNED_OUT_EVERYWHERE: Final = "signed_out_everywhere"
"""Why a family ended, beside `REUSE`: words for programs, stable."""

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
    mirror: str | None = None
    jkt: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a family is over, when it ended, and by which user from which host, where that is known."""

    reason: str
    at: float | None = None
    by: str | None = None
    host: str | None = None

    def words(self) -> str:
        """As people read it: `it was revoked by ada from box7 (2026-11-23T09:30:00.000000Z)`."""
        by = f" by {self.by}" if self.by else ""
        origin = f" from {self.host}" if self.host else ""
        at = f" ({rfc3339(self.at)})" if self.at else ""
        return f"{_WORDS.get(self.reason, f'it has ended: {self.reason}')}{by}{origin}{at}"


_WORDS: Final = {
    LOGGED_OUT: "it was signed out",
    NOT_SAVED: "it could not be saved where it was made, and was given up",
    REPLACED: "it was replaced by a newer one, gotten",
    REVOKED: "it was revoked",
    SIGNED_OUT_EVERYWHERE: "it was signed out everywhere",
    REUSE: "its refresh token was used twice by different holders, the second time",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A family as the database has it: who holds it, where it stands, who used its refresh token last."""

    holder: Holder
    family: Family
    last: ClientName | None = None


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
        "mirror": holder.mirror,
        "jkt": holder.jkt,
    }
    connection.execute(
        f"INSERT INTO family ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - our column names
        tuple(row.values()),
    )


_COLUMNS: Final = (
    "id, account, kind, key, scopes, client, host, pid, profile, parent, workspace, agent, mirror, jkt, "
    "generation, begun_at, renewed_at, expires_at, absolute_expires_at, old_clients, ended, replays, "
    "last_client, last_host, last_pid"
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


def used(connection: apsw.Connection, family: str, client: ClientName) -> None:
    """`client` is who presented the family's refresh token last."""
    connection.execute(
        "UPDATE family SET last_client = ?, last_host = ?, last_pid = ? WHERE id = ?",
        (client.client, client.host, client.pid, family),
    )


def end(connection: apsw.Connection, family: str, ending: Ending) -> bool:
    """The family is over; False when it was already."""
    connection.execute("UPDATE family SET ended = ? WHERE id = ? AND ended IS NULL", (ending.reason, family))
    over = connection.changes() > 0
    if over:
        sign(connection, family, ending)
    return over


def sign(connection: apsw.Connection, family: str, ending: Ending) -> None:
    """By whose hand the family ended, and when, is on record beside the reason."""
    connection.execute(
        "UPDATE family SET ended_at = ?, ended_by = ?, ended_host = ? WHERE id = ?",
        (ending.at, ending.by, ending.host, family),
    )


def ending(connection: apsw.Connection, family: str) -> Ending | None:
    """Why the family is over; None while it lives. One that never was is "unknown"."""
    row = connection.execute(
        "SELECT ended, ended_at, ended_by, ended_host FROM family WHERE id = ?", (family,)
    ).fetchone()
    if row is None:
        return Ending("unknown")
    return None if row[0] is None else Ending(*row)


def ended(connection: apsw.Connection, family: str) -> str | None:
    """As `ending`, the reason alone."""
    found = ending(connection, family)
    return found.reason if found else None


def children(connection: apsw.Connection, family: str) -> list[str]:
    """The living delegations this sign-in made, and the daemon credentials it enrolled."""
    rows = connection.execute("SELECT id FROM family WHERE parent = ? AND ended IS NULL", (family,))
    return [row[0] for row in rows]


def of_account(connection: apsw.Connection, account: str) -> list[str]:
    """Every living family of this account, whatever its kind."""
    rows = connection.execute("SELECT id FROM family WHERE account = ? AND ended IS NULL", (account,))
    return [row[0] for row in rows]


def replaced_by(connection: apsw.Connection, holder: Holder) -> list[str]:
    """The living daemon credentials that the mirror of this one had before it."""
    rows = connection.execute(
        "SELECT id FROM family WHERE mirror = ? AND account = ? AND workspace = ? AND id != ? AND ended IS NULL "
        "AND begun_at <= (SELECT begun_at FROM family WHERE id = ?)",
        (holder.mirror, holder.account, holder.workspace, holder.id, holder.id),
    )
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
    identity, account, kind, key, scopes, client, host, pid, *about = row[:14]
    generation, begun_at, renewed_at, expires_at, absolute_expires_at, old_clients, ended_why, replays = row[14:22]
    last_client, last_host, last_pid = row[22:]
    holder = Holder(identity, account, kind, key, scopes, ClientName(client, host, pid), *about)
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
    last = None if last_client is None else ClientName(last_client, last_host, last_pid)
    return Stored(holder, family, last)
