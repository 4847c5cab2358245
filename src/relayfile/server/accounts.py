"""People: passwords, the first owner, and the owner's sign-in without a prompt."""

import asyncio
import getpass
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Final

import apsw
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from relayfile.errors import LoginRequired, Misconfigured
from relayfile.server.config import Owner
from relayfile.server.store import accounts
from relayfile.server.store.accounts import Account
from relayfile.server.store.database import Database
from relayfile.server.throttle import Throttle

SIGNIN_FILE: Final = "owner-signin"
PASSWORD_FILE: Final = "owner-password"  # noqa: S105 - the name of a file
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's second choice for argon2id
_AT_ONCE: Final = 2
_PASSWORD_BYTES: Final = 1_024
_WRONG: Final = "wrong user name or password"


class Accounts:
    """Checks passwords. Slowly on purpose, never in the event loop, and only so often."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._failures = Throttle(10, 300.0)
        self._hashing = asyncio.Semaphore(_AT_ONCE)
        self._nobody = _HASHER.hash(secrets.token_hex(16))

    async def authenticate(self, username: str, password: str, address: str) -> Account:
        """Who this is.

        Raises:
            LoginRequired: code `wrong_password`: no such account, or not its password; which of the two is not told.
            Unavailable: 429: too many failures for this name, or from this address.
        """
        who = ("name", username.casefold())
        where = ("address", address)
        self._failures.check(who, where)
        account = await self._database.read(lambda connection: accounts.by_username(connection, username))
        async with self._hashing:
            self._failures.check(who, where)  # again: many may have come at once and waited for their turn here
            right = await asyncio.to_thread(_verify, account.password if account else self._nobody, password)
            if account is None or not right:
                self._failures.count(who, where)
        if account is None or not right:
            raise LoginRequired(_WRONG, code="wrong_password")
        return account


class OwnerSignin:
    """The way in without a prompt, for whoever may read the data folder: DATA/owner-signin (R45).

    0600, each word good once; a new one at each start and after each use.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / SIGNIN_FILE
        self._word = ""
        self._renew()

    def use(self, word: str) -> bool:
        """Whether `word` is the one in the file; if so it is used up, and another is there."""
        right = bool(word) and hmac.compare_digest(word.encode("utf-8", "surrogatepass"), self._word.encode())
        if right:
            self._renew()
        return right

    def close(self) -> None:
        """No word is good any more, and the file is gone."""
        self._word = secrets.token_urlsafe(32)
        self._path.unlink(missing_ok=True)

    def _renew(self) -> None:
        self._word = secrets.token_urlsafe(32)
        write_private(self._path, self._word + "\n")


def first_owner(connection: apsw.Connection, owner: Owner, data: Path) -> str | None:
    """There is an owner. How they sign in, when this call created them; else None.

    Raises:
        Misconfigured: the password file gives no password; no account was created.
    """
    if accounts.owner(connection) is not None:
        return None
    name = owner.name or _os_user()
    if owner.password_file is not None:
        password = _password(owner.password_file)
        how = "with the password you gave"
    else:
        password = secrets.token_urlsafe(18)
        write_private(data / PASSWORD_FILE, password + "\n")
        how = f"with the password in {data / PASSWORD_FILE} (only its owner can read it)"
    with connection:
        accounts.create(connection, name, _HASHER.hash(password), accounts.OWNER, time.time())
    return f"sign in as {name.casefold()!r} {how}"


def hashed(password: str) -> str:
    """`password` as it may be stored."""
    return _HASHER.hash(password)


def write_private(path: Path, text: str) -> None:
    """The file holds `text` and only its owner can read it, whatever stood there before."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _password(path: Path) -> str:
    """The first line of the file at `path`.

    Raises:
        Misconfigured: it cannot be read, or is nothing that somebody could type.
    """
    hint = (
        f"write the password as the first line of a file of text, at most {_PASSWORD_BYTES} bytes, that we may read"
    )
    try:
        with path.open("rb") as file:
            line = file.readline(_PASSWORD_BYTES + 2).rstrip(b"\r\n")  # it may be a device without an end
    except OSError as error:
        raise Misconfigured(
            f"the owner's password cannot be read from {path}: {error.strerror}. No account was created.",
            hint=hint,
            code="owner_password",
        ) from error
    password = line.decode(errors="replace")
    if not password.isprintable() or "\ufffd" in password or not 0 < len(line) <= _PASSWORD_BYTES:
        raise Misconfigured(
            f"the first line of {path} is empty, too long or no text, so no password. No account was created.",
            hint=hint,
            code="owner_password",
        )
    return password


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "owner"
