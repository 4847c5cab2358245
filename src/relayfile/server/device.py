"""Device sign-in: a code that a person approves at a page, also from another machine (RFC 8628)."""

import secrets
import time
from dataclasses import dataclass
from typing import Final

import apsw

from relayfile.errors import LoginRequired, RelayfileError, UsageError
from relayfile.model import Secret
from relayfile.server.grants import Grants, Issued, Wish
from relayfile.server.store import accounts, tokens
from relayfile.server.store.accounts import Account
from relayfile.server.store.database import Database
from relayfile.server.store.tokens import USER_CODE_LENGTH, USER_CODE_LETTERS, Device
from relayfile.server.throttle import Throttle
from relayfile.wire.auth import ClientName

EXPIRES_IN_S: Final = 600
INTERVAL_S: Final = 5
_FIRST_INTERVAL_S: Final = 1.0
_EARLY_S: Final = 0.2
_HALF: Final = USER_CODE_LENGTH // 2


@dataclass(frozen=True, slots=True)
class Begun:
    """What the client needs: its secret code, and the words a person needs."""

    device_code: Secret
    user_code: str
    expires_in_s: int
    interval_s: int


class Devices:
    """Sign-ins that wait for a person. They outlive a restart."""

    def __init__(self, database: Database, grants: Grants) -> None:
        self._database = database
        self._grants = grants
        self._begins = Throttle(30, 60.0)

    async def begin(self, wish: Wish, address: str) -> Begun:
        """A sign-in waits for a person.

        Raises:
            Unavailable: 429: too many from this address.
        """
        self._begins.check(address)
        self._begins.count(address)
        device_code = Secret(secrets.token_urlsafe(32))
        now = time.time()

        def work(connection: apsw.Connection) -> str:
            user_code = tokens.new_user_code()
            while tokens.device_by_user_code(connection, user_code) is not None:
                user_code = tokens.new_user_code()
            device = Device(
                tokens.digest(device_code.reveal()),
                user_code,
                wish.scopes,
                wish.client,
                wish.profile,
                wish.old_clients,
                now + EXPIRES_IN_S,
                0.0,
                _FIRST_INTERVAL_S,
                None,
                denied=False,
            )
            tokens.begin_device(connection, device, now)
            return user_code

        user_code = await self._database.write(work)
        return Begun(device_code, shown(user_code), EXPIRES_IN_S, int(_FIRST_INTERVAL_S))

    async def redeem(self, device_code: str, client: ClientName) -> Issued:
        """The pair of an approved sign-in.

        Raises:
            LoginRequired: code `authorization_pending`, `slow_down`, `access_denied` or `expired_token`.

        Once: a code is good for one pair; a repeat is `expired_token`.
        """
        digest = tokens.digest(device_code)

        def work(connection: apsw.Connection) -> Issued | LoginRequired:
            now = time.time()
            device = tokens.device_by_digest(connection, digest)
            if device is None or now >= device.expires_at:
                return LoginRequired("the device code has expired or was used; begin again", code="expired_token")
            if device.denied:
                tokens.forget_device(connection, digest)
                return LoginRequired("the person at the page said no", code="access_denied")
            account = accounts.by_id(connection, device.account) if device.account else None
            if account is None:
                return self._pending(connection, device, now)
            tokens.forget_device(connection, digest)
            named = client if client.pid is not None else device.client
            wish = Wish(named, device.scopes, device.old_clients, "device", device.profile)
            return self._grants.begin_in(connection, account, wish)

        answer = await self._database.write(work)
        if isinstance(answer, RelayfileError):  # returned, not raised: what was noted about the poll must be kept
            raise answer
        return answer

    async def waiting(self, user_code: str) -> Device | None:
        """The sign-in that a person means by this code, if it can still be answered."""
        code = read_code(user_code)
        if code is None:
            return None
        device = await self._database.read(lambda connection: tokens.device_by_user_code(connection, code))
        if device is None or device.expires_at <= time.time() or device.denied or device.account:
            return None
        return device

    async def answer(self, device: Device, account: Account | None) -> None:
        """`account` has approved the sign-in, or (None) it has been denied.

        Raises:
            UsageError: it was answered before, or has expired.
        """

        def work(connection: apsw.Connection) -> None:
            now = tokens.device_by_digest(connection, device.digest)
            if now is None or now.account or now.denied or now.expires_at <= time.time():
                raise UsageError("this sign-in was answered before or has expired", code="code_spent")
            tokens.settle_device(connection, device.digest, account.id if account else None)

        await self._database.write(work)

    @staticmethod
    def _pending(connection: apsw.Connection, device: Device, now: float) -> LoginRequired:
        early = now < device.polled_at + device.interval_s - _EARLY_S
        interval_s = device.interval_s + INTERVAL_S if early else device.interval_s
        tokens.device_polled(connection, device.digest, now, interval_s)
        if early:
            return LoginRequired(f"ask each {interval_s:.0f} s", code="slow_down")
        return LoginRequired("nobody has approved it yet", code="authorization_pending")


def shown(user_code: str) -> str:
    """A user code as people read it: `BCDF-GHJK`."""
    return f"{user_code[:_HALF]}-{user_code[_HALF:]}"


def read_code(text: str) -> str | None:
    """The user code that a person typed, whatever its case and dashes; None when it cannot be one."""
    code = "".join(c for c in text.upper() if c.isalnum())
    return code if len(code) == USER_CODE_LENGTH and set(code) <= set(USER_CODE_LETTERS) else None
