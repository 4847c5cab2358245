"""Rows of opaque access tokens and of device codes. Every function works inside the caller's transaction."""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import apsw

from relayfile.wire.auth import ClientName

EXPIRED_KEPT_S: Final = 86_400.0
"""An expired token is remembered this long, so that its user hears "expired" and not "invalid"."""

USER_CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE_LENGTH: Final = 8


def digest(token: str) -> bytes:
    """What is stored in place of a token: enough to recognise it, not enough to use it."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def remember(connection: apsw.Connection, token: str, family: str, generation: int, expires_at: float) -> None:
    """The access token is good until `expires_at`. A few long expired ones are forgotten on the way."""
    connection.execute(
        "INSERT INTO access_token (digest, family, generation, expires_at) VALUES (?, ?, ?, ?)",
        (digest(token), family, generation, expires_at),
    )
    connection.execute(
        "DELETE FROM access_token WHERE digest IN (SELECT digest FROM access_token WHERE expires_at < ? LIMIT 20)",
        (expires_at - EXPIRED_KEPT_S,),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of one access token. `workspace`: it is good there and nowhere else."""

    family: str
    expires_at: float
    ended: str | None
    account: str
    username: str
    scopes: str
    kind: str
    workspace: str | None


def known(connection: apsw.Connection, token_digest: bytes) -> Known | None:
    """The access token with this digest, whether it is still good or not."""
    row = connection.execute(
        "SELECT t.family, t.expires_at, f.ended, f.account, a.username, f.scopes, f.kind, f.workspace "
        "FROM access_token t "
        "JOIN family f ON f.id = t.family JOIN account a ON a.id = f.account WHERE t.digest = ?",
        (token_digest,),
    ).fetchone()
    return Known(*row) if row else None


@dataclass(frozen=True, slots=True)
class Device:
    """A sign-in that waits for a person. `account` is who approved it."""

    digest: bytes
    user_code: str
    scopes: str
    client: ClientName
    profile: str | None
    old_clients: bool
    expires_at: float
    polled_at: float
    interval_s: float
    account: str | None
    denied: bool


def begin_device(connection: apsw.Connection, device: Device, now: float) -> None:
    """The sign-in waits; those that nobody came for are forgotten.

    Raises:
        apsw.ConstraintError: another one waits under this user code.
    """
    connection.execute("DELETE FROM device_code WHERE expires_at < ?", (now - 600,))
    connection.execute(
        "INSERT INTO device_code (digest, user_code, scopes, client, host, pid, profile, old_clients, expires_at, "
        "interval_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            device.digest,
            device.user_code,
            device.scopes,
            device.client.client,
            device.client.host,
            device.client.pid,
            device.profile,
            device.old_clients,
            device.expires_at,
            device.interval_s,
        ),
    )


def new_user_code() -> str:
    """Letters that are hard to misread and spell no words: 20^8 of them, tried against a rate limit."""
    return "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(USER_CODE_LENGTH))


def device_by_digest(connection: apsw.Connection, device_digest: bytes) -> Device | None:
    """The waiting sign-in that this device code began."""
    return _device(connection, "digest = ?", device_digest)


def device_by_user_code(connection: apsw.Connection, user_code: str) -> Device | None:
    """The waiting sign-in that a person names."""
    return _device(connection, "user_code = ?", user_code)


def _device(connection: apsw.Connection, chosen: str, value: bytes | str) -> Device | None:
    row = connection.execute(
        "SELECT digest, user_code, scopes, client, host, pid, profile, old_clients, expires_at, polled_at, "  # noqa: S608 - constants
        f"interval_s, account, denied FROM device_code WHERE {chosen}",
        (value,),
    ).fetchone()
    if row is None:
        return None
    code_digest, user_code, scopes, client, host, pid, profile, old_clients, *times, account, denied = row
    expires_at, polled_at, interval_s = times
    return Device(
        code_digest,
        user_code,
        scopes,
        ClientName(client, host, pid),
        profile,
        bool(old_clients),
        expires_at,
        polled_at,
        interval_s,
        account,
        bool(denied),
    )


def device_polled(connection: apsw.Connection, device_digest: bytes, now: float, interval_s: float) -> None:
    """The client asked at `now` and must leave `interval_s` before it asks again."""
    connection.execute(
        "UPDATE device_code SET polled_at = ?, interval_s = ? WHERE digest = ?", (now, interval_s, device_digest)
    )


def settle_device(connection: apsw.Connection, device_digest: bytes, account: str | None) -> None:
    """A person answered: `account` approved it, or (None) it is denied."""
    connection.execute(
        "UPDATE device_code SET account = ?, denied = ? WHERE digest = ?", (account, account is None, device_digest)
    )


def forget_device(connection: apsw.Connection, device_digest: bytes) -> None:
    """The code has been used, or has served."""
    connection.execute("DELETE FROM device_code WHERE digest = ?", (device_digest,))
