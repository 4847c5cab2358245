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
