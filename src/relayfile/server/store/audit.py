"""Rows of the audit log. Every function works inside the caller's transaction."""

from dataclasses import dataclass
from typing import Final

import apsw

from relayfile.wire.auth import ClientName

MAX_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Happened:
    """One token event. `generation` is the one presented."""

    n: int
    at: float
    event: str
    family: str | None
    generation: int | None
    client: ClientName
    reason: str | None


def record(
    connection: apsw.Connection,
    event: str,
    *,
    now: float,
    client: ClientName,
    account: str | None = None,
    family: str | None = None,
    generation: int | None = None,
    reason: str | None = None,
) -> None:
    """The event stands in the log as soon as the caller's transaction does."""
    connection.execute(
        "INSERT INTO audit (at, event, account, family, generation, client, host, pid, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (now, event, account, family, generation, client.client, client.host, client.pid, reason),
    )


@dataclass(frozen=True, slots=True)
class Process:
    """A process that got tokens of a family, when first and last, and how often."""

    family: str
    kind: str
    client: ClientName
    first_at: float
    last_at: float
    times: int


def processes(connection: apsw.Connection, family: str, limit: int) -> list[Process]:
    """At most `limit` processes that got a token of this family, or of a living one it enrolled; the latest first."""
    rows = connection.execute(
        "SELECT f.id, f.kind, a.client, a.host, a.pid, min(a.at), max(a.at), count(*) "
        "FROM family f JOIN audit a ON a.family = f.id "
        "WHERE (f.id = ?1 OR f.parent = ?1) AND f.ended IS NULL "
        "AND a.event IN ('issued', 'rotated', 'replayed', 'ahead', 'renewed') "
        "GROUP BY f.id, a.client, a.host, a.pid ORDER BY max(a.at) DESC LIMIT ?2",
        (family, limit),
    )
    return [
        Process(identity, kind, ClientName(client, host, pid), first_at, last_at, times)
        for identity, kind, client, host, pid, first_at, last_at, times in rows
    ]


def page(connection: apsw.Connection, *, account: str | None, after: int, limit: int) -> list[Happened]:
    """At most `limit` events after the `after`th, oldest first; of one account, or (None) of all."""
    chosen = "n > ?" if account is None else "n > ? AND account = ?"
    rows = connection.execute(
        "SELECT n, at, event, family, generation, client, host, pid, reason FROM audit "  # noqa: S608 - constants
        f"WHERE {chosen} ORDER BY n LIMIT ?",
        (after, *(() if account is None else (account,)), min(max(limit, 1), MAX_PAGE)),
    )
    return [
        Happened(n, at, event, family, generation, ClientName(client, host, pid), reason)
        for n, at, event, family, generation, client, host, pid, reason in rows
    ]
