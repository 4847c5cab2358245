"""A machine token as the login of a daemon: read from its file, never renewed, parked once the server refuses it.

Another token in the file is the word it waits for, as a new sign-in is for other daemons.
"""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from relayfile.core.session import LoginState, Phase
from relayfile.credentials import machine
from relayfile.credentials.clock import Clock, SystemClock
from relayfile.errors import LoginRequired, Misconfigured, RelayfileError, Unavailable
from relayfile.model import Secret

_CHANCE: Final = random.SystemRandom().random
_DISTRUST_S: Final = 60.0

Signature = tuple[int, ...]


class TokenFile:
    """The file of a machine token, looked at again only when it has changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[Signature, Secret] | None = None

    def signature(self) -> Signature:
        """What changes when the file does; costs one `stat`."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            return (error.errno or 0,)
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def folder(self) -> str:
        """The folder in which it lies."""
        return os.path.dirname(self.path)

    def token(self) -> Secret:
        """The token it holds.

        Raises:
            Misconfigured: it holds none, or cannot be read.
        """
        signature = self.signature()
        if self._seen is None or self._seen[0] != signature:
            self._seen = (signature, machine.in_file(self.path).token)
        return self._seen[1]


class MachineLogin:
    """The login of one daemon that lives on a machine token. `ask` uses the token once, and raises what it met."""

    def __init__(
        self,
        path: str,
        api_url: str,
        ask: Callable[[str, Secret], object],
        clock: Clock | None = None,
        chance: Callable[[], float] = _CHANCE,
    ) -> None:
        self.file = TokenFile(path)
        self.clock: Clock = clock or SystemClock()
        self.chance = chance
        self.trouble: RelayfileError | None = None
        self._api_url = api_url
        self._ask = ask
        self._refused: tuple[Secret, LoginRequired, float] | None = None
        self._good_at = float("-inf")

    def state(self) -> LoginState:
        """Where it stands, as its file and the server's last word tell; asks nobody."""
        phase, code, reason, since = Phase.VALID, None, None, None
        try:
            refusal = self._refusal(self.file.token())
        except Misconfigured as error:
            phase, code, reason = Phase.CONFIG_ERROR, error.code, error.message
        else:
            if refusal is not None:
                phase, code, reason, since = Phase.AUTH_FAILED, refusal[1].code, refusal[1].message, refusal[2]
            elif self.trouble is not None:
                phase, code, reason = Phase.DEGRADED, self.trouble.code, self.trouble.message
        return LoginState(
            phase,
            api_url=self._api_url,
            code=code,
            reason=reason,
            since=since,
            path=self.file.path,
            token_file=self.file.path,
        )

    def current(self) -> Secret | None:
        """The token, unless the server has refused it."""
        with suppress(Misconfigured):
            token = self.file.token()
            return None if self._refusal(token) else token
        return None

    def due_in_s(self) -> float | None:
        """Never: a machine token is not renewed."""
        return None

    def token(self) -> Secret:
        """The token.

        Raises:
            LoginRequired: the server has refused it; nothing is sent until the file holds another.
            Misconfigured: the file holds none.
        """
        token = self.file.token()
        if (refusal := self._refusal(token)) is not None:
            raise refusal[1]
        return token

    def renew_now(self, rejected: Secret, *, over: bool = False) -> Secret:
        """A token other than `rejected`, if the file holds one by now; else the same, if the server still takes it.

        It is asked whatever it said before, `over` or not: its answer tells why.

        Raises:
            LoginRequired: the server says that it is over, and why.
            Unavailable: it could not be asked, or it takes the token and refuses it by turns.
            Misconfigured: as `token`.
        """
        del over
        token = self.token()
        if token != rejected:
            self.trouble = None
            return token
        try:
            self._ask(self._api_url, token)
            now = self.clock.boottime()
            if now - self._good_at < _DISTRUST_S:
                raise Unavailable("the server takes this token and refuses it by turns", code="token_rejected")
            self._good_at = now
        except LoginRequired as error:
            self._refused, self.trouble = (token, error, self.clock.wall()), None
            raise
        except RelayfileError as error:
            self.trouble = error
            raise
        self.trouble = None
        return token

    def readmit(self) -> None:
        """The token is tried once more, whatever the server said of it before."""
        self._refused = None

    def _refusal(self, token: Secret) -> tuple[Secret, LoginRequired, float] | None:
        refused = self._refused
        return refused if refused is not None and refused[0] == token else None
