"""One login, as a process uses it: a token without a lock when there is one, else a renewal under the lock.

The heart of P1. A refresh token is presented by `renewal` alone, under the flock, with the bytes read under it.
"""

import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Final

from relayfile.core import schedule
from relayfile.core import session as core
from relayfile.credentials import interruption, standing
from relayfile.credentials.clock import Clock, SystemClock
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.lock import Lock
from relayfile.credentials.renewal import Exchange, Renewal, login_ended, not_signed_in
from relayfile.credentials.sight import Sight
from relayfile.errors import Damaged, LoginRequired, Misconfigured, RelayfileError, Unavailable, UsageError
from relayfile.model import Grant, Secret
from relayfile.wire.credentials import Content, Ending, Obtained, Pair, Tombstone, fingerprint

_CHANCE: Final = random.SystemRandom().random
_INTERRUPTS: Final = (Exception, KeyboardInterrupt)


@dataclass(frozen=True)
class SignedOut:
    """The server of the login that was given up, None if there was none; and whether it was told."""

    api_url: str | None
    told: bool


class Session:
    """The login of one credential file. Threads may share it; each process has its own."""

    def __init__(
        self,
        file: CredentialFile,
        exchange: Exchange,
        role: core.Role = "other",
        clock: Clock | None = None,
        *,
        chance: Callable[[], float] = _CHANCE,
        limits: schedule.Limits | None = None,
        profile: str | None = None,
        server: str | None = None,
    ) -> None:
        """`profile` and `server` are what people must name to sign in again, where the file does not tell."""
        self.file = file
        self.clock: Clock = clock or SystemClock()
        self.chance = chance
        self._role: core.Role = role
        self._profile = profile
        self._exchange = exchange
        self._limits = limits or schedule.Limits()
        self._flight = threading.Lock()
        self._sight = Sight(file, role, self.clock, chance)
        self._trouble: tuple[str, RelayfileError] | None = None
        self._server = server
        self._after_over: Secret | None = None

    def token(self, min_ttl_s: float = 0.0) -> Secret:
        """A usable access token, good for `min_ttl_s` if its life allows; renewed first when it must be.

        Raises:
            LoginRequired: there is no login, or it has ended; nothing is sent until the file changes.
            Unavailable: it could not be renewed now (`auth_busy`: another is at it), and the old one has ended.
            Misconfigured: this machine must be mended first, and the old one has ended.
        """
        pair, worth = self._sight.worth(min_ttl_s)
        if pair is not None and worth is core.Urgency.FINE:
            return pair.grant.access_token
        advisable = pair is not None and worth is core.Urgency.ADVISABLE
        # While the token is good nobody queues for the lock; the daemon, whose thread it is, does.
        wait_s = 0.0 if advisable and self._role == "other" else self._limits.lock_wait_s
        try:
            return self._renewed(None, wait_s, min_ttl_s, over=False)
        except (Unavailable, Misconfigured):
            if (good := self.current()) is not None:
                return good
            raise

    def renew_now(self, rejected: Secret, *, over: bool = False) -> Secret:
        """An access token other than `rejected`, which the server refused; the file's own if it has another already.

        `over`: the server said that the sign-in behind it has ended. That is believed once: a server that renews it
        nevertheless does not mean it.

        Raises:
            LoginRequired: the login has ended.
            Unavailable: code `token_rejected`: the server refuses tokens that it has just issued; or as `token`.
            Misconfigured: as `token`.
        """
        over = over and rejected != self._after_over
        token = self._renewed(rejected, self._limits.lock_wait_s, 0.0, over=over)
        if over:
            self._after_over = token
        return token

    def current(self) -> Secret | None:
        """The access token of the file while it lasts, without a lock or a request; None when it has none."""
        pair, _ = self._sight.worth()
        if pair is None:
            return None
        left_s = self._sight.life(pair).left_s
        return pair.grant.access_token if left_s is None or left_s > 0 else None

    def due_in_s(self) -> float | None:
        """In how long this role renews; 0 now; None: there is no login, or no end of it is known."""
        pair, _ = self._sight.worth()
        return None if pair is None else self._sight.due_in_s(pair)

    def adopt(self, grant: Grant, *, scope: str | None = None, replace: bool = False) -> None:
        """`grant` is the login of this file, whatever was there; the login it replaces is revoked if it can be.

        Whatever happens, the one of the two that the file does not hold is revoked: nobody will ever use it, and
        alive it would lie on the server for a month. Signals wait while the file is written.

        Raises:
            UsageError: code `other_server`: the file holds the login of another server, and not `replace` (R16).
            Misconfigured: it cannot be saved; the file holds the old login.
            Unavailable: code `auth_busy`.
        Durable: on return, unless a notice says that the folder could not be synced.
        """
        over: tuple[Pair | None, str] = (Pair(grant), "not_saved")
        try:
            with self._flight, self._lock("login") as holding:
                assert holding is not None
                content = self._content_under_lock()
                if not replace:
                    _check_server(self.file.path, content.pair, grant)
                replaced = (None if _is_of(content.pair, grant) else content.pair, "replaced")
                with interruption.deferred():
                    try:
                        self._save(Pair(grant, scope, _just_obtained(grant, self.clock)), content)
                        over = replaced
                    except _INTERRUPTS:
                        if _holds(self.file, grant):
                            over = replaced
                        raise
        except _INTERRUPTS:
            self._revoke(*over)
            raise
        self._revoke(*over)

    def check_ready(self, wait_s: float | None = None) -> None:
        """A login could be adopted now: the lock is free within `wait_s`, and what is there can be replaced.

        Raises:
            Misconfigured: it could not be saved.
            Unavailable: code `auth_busy`.
        """
        with self._flight, self._lock("login", wait_s) as holding:
            assert holding is not None
            with suppress(Damaged):
                self.file.read(self.clock)
            self.file.check_writable()

    def logout(self) -> SignedOut:
        """There is no login in this file any more, and nothing of it comes back.

        Raises:
            Misconfigured: the file cannot be changed.
            Unavailable: code `auth_busy`: a renewal under way did not end in time.
        Durable: on return.
        """
        with self._flight, self._lock("logout") as holding:
            assert holding is not None
            content = self._content_under_lock()
            journal, pair = self.file.journal, content.pair
            if pair is None:
                pair = journal.history().newest
            try:
                if pair is not None:
                    fp = fingerprint(pair.grant.refresh_token)
                    journal.add_tombstone(Tombstone(fp, self.clock.wall(), pair.grant.family))
                journal.record(None, None)
                if content.others:
                    self.file.replace(Content(None, content.others))
                else:
                    self.file.remove()
            except OSError as error:
                raise self.file.unwritable(error) from error
            journal.drop_intent()
            journal.drop_stash()
        if pair is None:
            return SignedOut(None, told=False)
        return SignedOut(pair.grant.api_url, told=self._revoke(pair, "logged_out"))

    def readmit(self) -> None:
        """Nothing: a sign-in that is over comes back by a sign-in alone (I5)."""

    @property
    def trouble(self) -> RelayfileError | None:
        """What kept the last renewal of this process from succeeding; None after one that did."""
        if self._trouble is None or self._trouble[0] != self._sight.fingerprint():
            # Trouble with one pair says nothing about the next, which somebody else may have brought.
            return None
        return self._trouble[1]

    def api_url(self) -> str | None:
        """The server of this login; None when there is none to be read."""
        with suppress(Damaged, Misconfigured):
            pair = self._sight.look()[0].pair
            return pair.grant.api_url if pair else None
        return None

    def state(self) -> core.LoginState:
        """Where this login stands, as the files and this process's last attempt tell; no network, no lock."""
        found = standing.of(self.file, self._sight, self.trouble)
        return replace(found, profile=self._profile, api_url=found.api_url or self._server)

    # ----------------------------------------------------------------------------------------- renewing

    def _lock(
        self, purpose: str, wait_s: float | None = None, needless: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[Lock | None]:
        wait = self._limits.lock_wait_s if wait_s is None else wait_s
        return self.file.locked(purpose, wait, self.clock, self.chance, needless)

    def _renewed(self, rejected: Secret | None, wait_s: float, min_ttl_s: float, *, over: bool) -> Secret:
        def somebody_did() -> bool:
            pair, worth = self._sight.worth(min_ttl_s)
            return pair is not None and worth is core.Urgency.FINE and pair.grant.access_token != rejected

        def usable() -> Secret | None:
            pair, _ = self._sight.worth()
            return pair.grant.access_token if pair is not None and somebody_did() else None

        with self._flight:
            if (token := usable()) is not None:
                return token
            self._check_login()
            try:
                return self._settled(rejected, wait_s, min_ttl_s, somebody_did, usable, over=over)
            except Damaged as error:
                trouble = Misconfigured(error.message, code=error.code, hint=error.hint)
                self._trouble = (self._sight.fingerprint(), trouble)
                raise trouble from error
            except LoginRequired:
                self._trouble = None
                raise
            except RelayfileError as error:
                self._trouble = (self._sight.fingerprint(), error)
                raise

    def _settled(
        self,
        rejected: Secret | None,
        wait_s: float,
        min_ttl_s: float,
        somebody_did: Callable[[], bool],
        usable: Callable[[], Secret | None],
        *,
        over: bool,
    ) -> Secret:
        while True:
            self.file.reach("FP1 before the lock")
            with self._lock("renew", wait_s, somebody_did) as holding:
                if holding is None:
                    if (token := usable()) is not None:
                        return token
                    continue
                self.file.reach("FP2 locked")
                renewal = Renewal(self.file, self._exchange, self.clock, self.chance, self._limits, holding)
                outcome = renewal.settle(lambda pair: self._sight.urgency(pair, min_ttl_s), rejected, over=over)
                self.file.reach("FP14 unlocking")
            if isinstance(outcome, Secret):
                self._trouble = None
                return outcome
            # The verdict is durable. A foreign writer may be about to bring the pair it got in our place: look for
            # that, without the lock, at 1 s and 3 s after the verdict, and only then ask for a sign-in.
            if not self._foreign_pair_comes(outcome):
                raise login_ended(outcome, self.api_url())

    def _foreign_pair_comes(self, ending: Ending) -> bool:
        age_s = self.clock.wall() - ending.at
        for moment_s in self._limits.rereads_s:
            if not 0 <= age_s < moment_s:
                continue
            self.clock.sleep(moment_s - age_s)
            age_s = moment_s
            with suppress(Damaged, Misconfigured):
                content, found = self._sight.look()
                if content.pair is None:
                    raise not_signed_in(self.file.path)
                if found is None:
                    return True
        return False

    def _check_login(self) -> None:
        """A login that is known to be absent or over is not waited for, locked for, or asked about."""
        with suppress(Damaged):
            content, ending = self._sight.look()
            if content.pair is None:
                raise not_signed_in(self.file.path)
            if ending is not None and not 0 <= self.clock.wall() - ending.at < max(
                self._limits.rereads_s, default=0.0
            ):
                raise login_ended(ending, content.pair.grant.api_url)

    # --------------------------------------------------------------------------------- login and logout

    def _save(self, pair: Pair, before: Content) -> None:
        """The file holds `pair`, and nothing beside it is of the login in `before`.

        Raises:
            Misconfigured: the file does not hold it, and nothing will put it there.
        """
        journal = self.file.journal
        newest = journal.history().newest
        try:
            journal.forget_unreadable_endings()
            journal.record(None, pair)
            self.file.replace(Content(pair, before.others))
        except _INTERRUPTS as error:
            if not _holds(self.file, pair.grant):
                with suppress(OSError):  # what is to be given up must not be put back
                    journal.record(None, newest)
                if isinstance(error, OSError):
                    raise self.file.unwritable(error) from error
                raise
            if not isinstance(error, OSError):
                raise
            self.file.say(
                f"{self.file.path} holds the new login, but its folder cannot be synced ({error.strerror}): "
                "a power cut now may bring back what was there before"
            )
        journal.drop_intent()
        journal.drop_stash()
        self._trouble = None

    def _content_under_lock(self) -> Content:
        """What the file holds; of one that cannot be understood a copy is kept, and its login is the newest known."""
        try:
            return self.file.read(self.clock)
        except Damaged:
            try:
                self.file.keep_damaged()
            except OSError as error:
                raise self.file.unwritable(error) from error
            return Content(self.file.journal.history().newest, {})

    def _revoke(self, pair: Pair | None, reason: str) -> bool:
        """Whether the server was told that this pair is over; it is over here whatever the server says."""
        refresh = None if pair is None else pair.grant.refresh_token
        return pair is not None and refresh is not None and self._exchange.revoke(pair.grant.api_url, refresh, reason)


def _check_server(path: str, before: Pair | None, grant: Grant) -> None:
    """The grant is of the server of the login that it would replace, if there is one (R16)."""
    if before is None or before.grant.api_url.rstrip("/") == grant.api_url.rstrip("/"):
        return
    raise UsageError(
        f"{path} holds the login of {before.grant.api_url}",
        code="other_server",
        hint="use --profile NAME to keep both, or --replace",
    )


def _just_obtained(grant: Grant, clock: Clock) -> Obtained:
    now, wall = clock.boottime(), clock.wall()
    began = wall if grant.issued_at is None else grant.issued_at
    life = None if grant.access_expires_at is None else max(0.0, grant.access_expires_at - began)
    return Obtained(clock.boot_id, now, now, life)


def _is_of(pair: Pair | None, grant: Grant) -> bool:
    return pair is not None and pair.grant.refresh_token == grant.refresh_token


def _holds(file: CredentialFile, grant: Grant) -> bool:
    """Whether `grant` is the login in the file. One that cannot be read is of no use to anybody."""
    with suppress(Damaged, Misconfigured):
        return _is_of(file.read_once().pair, grant)
    return False
