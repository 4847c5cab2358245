"""Rows of sign-in through an OpenID Connect provider. Every function works inside the caller's transaction."""

from dataclasses import dataclass

import apsw

from relayfile.server.store import accounts
from relayfile.server.store.accounts import Account


@dataclass(frozen=True, slots=True)
class Errand:
    """What a browser was sent to the provider for: to approve a device sign-in, or to sign in a v1 program.

    Either `user_code` or `redirect_uri` is there; `client_state` is the v1 program's own.
    """

    user_code: str | None = None
    redirect_uri: str | None = None
    client_state: str = ""


def begin(
    connection: apsw.Connection, errand: Errand, *, state: bytes, browser: bytes, now: float, until: float
) -> None:
    """The browser is on its way; those that never came back are forgotten. `state` and `browser` are digests."""
    connection.execute("DELETE FROM openid_attempt WHERE expires_at < ?", (now,))
    connection.execute(
        "INSERT INTO openid_attempt (state, browser, user_code, redirect_uri, client_state, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (state, browser, errand.user_code, errand.redirect_uri, errand.client_state, until),
    )


def take(connection: apsw.Connection, state: bytes, browser: bytes, now: float) -> Errand | None:
    """What this browser left for; None: it did not leave with this state, came too late, or came before."""
    row = connection.execute(
        "DELETE FROM openid_attempt WHERE state = ? AND browser = ? AND expires_at > ? "
        "RETURNING user_code, redirect_uri, client_state",
        (state, browser, now),
    ).fetchone()
    return Errand(*row) if row else None


def linked(connection: apsw.Connection, issuer: str, subject: str) -> Account | None:
    """Who this person of the provider is here."""
    found = connection.execute(
        "SELECT account FROM openid_subject WHERE issuer = ? AND subject = ?", (issuer, subject)
    ).get
    return accounts.by_id(connection, found) if found else None


def is_linked(connection: apsw.Connection, issuer: str, account: str) -> bool:
    """Whether anybody of that provider is this account."""
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM openid_subject WHERE account = ? AND issuer = ?)", (account, issuer)
    ).get
    return bool(found)


def link(
    connection: apsw.Connection, account: str, *, issuer: str, subject: str, email: str | None, now: float
) -> None:
    """This person of the provider is `account` from now on, whoever they were before."""
    connection.execute(
        "INSERT INTO openid_subject (issuer, subject, account, email, linked_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET account = excluded.account, email = excluded.email, "
        "linked_at = excluded.linked_at",
        (issuer, subject, account, email, now),
    )
