"""The daemon's gate before the network: a token when there is one, a wait when there is none, never an error.

One coroutine, `run`, renews and watches; every request only asks `token()`. So an expiry costs nothing, a dead login
is quiet (no request at all while it lasts), and a login by another process opens the gate within two seconds
(promises P1 to P3).
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from relayfile.core import schedule
from relayfile.core.session import PARKED, LoginState, Phase, text
from relayfile.credentials.clock import Clock
from relayfile.errors import Damaged, LoginRequired, Misconfigured, RelayfileError, Unavailable
from relayfile.model import Secret

T = TypeVar("T")

LOOK_EVERY_S: Final = 1.0
CONFIG_POLL_S: Final = 30.0
WAKE_GAP_S: Final = 15.0
_log: Final = logging.getLogger(__name__)


class RunBlocking(Protocol):
    """How work that blocks is kept off the event loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of `work`, run elsewhere."""


class Watched(Protocol):
    """The file in which a new sign-in would appear."""

    def signature(self) -> object:
        """What changes when the login, or a verdict on it, changes."""

    def folder(self) -> str:
        """The folder in which it lies or will lie."""


class Login(Protocol):
    """What a gate opens and closes by: the shared `Session`, or a `DaemonLogin`.

    `token` and `renew_now` may block; everything else answers at once and asks nobody.
    """

    @property
    def file(self) -> Watched:
        """Where a new sign-in would appear."""

    @property
    def clock(self) -> Clock:
        """The clocks it lives by."""

    @property
    def chance(self) -> Callable[[], float]:
        """Numbers drawn uniformly from [0, 1)."""

    @property
    def trouble(self) -> RelayfileError | None:
        """What kept the last renewal from succeeding; None after one that did."""

    def state(self) -> LoginState:
        """Where it stands."""

    def current(self) -> Secret | None:
        """The access token while it lasts."""

    def due_in_s(self) -> float | None:
        """In how long it is to be renewed; 0 now."""

    def token(self) -> Secret:
        """A usable access token, renewed first when it must be."""

    def renew_now(self, rejected: Secret, *, over: bool = False) -> Secret:
        """An access token other than `rejected`; `over`: the server said that what is behind it has ended."""

    def readmit(self) -> None:
        """What the server refused may be asked for once more: a person said so."""


class Gate:
    """The login of one daemon, awaited by its requests. `run` must be running for anyone to pass a closed gate.

    `refusals` counts the requests, and sockets, that the server refused or closed for their token.
    """

    def __init__(self, session: Login, run_blocking: RunBlocking) -> None:
        self._session = session
        self._run_blocking = run_blocking
        self._login = session.state()
        self._turn: asyncio.Event | None = None
        self._nudge = asyncio.Event()
        self._refused: Secret | None = None
        self.refusals = 0
        self._over = False
        self._failures = 0
        self._failing_since = 0.0
        self._not_before = 0.0
        self._woke_at = float("-inf")

    @property
    def login(self) -> LoginState:
        """Where the login stands now, for `status`."""
        wait_s = self._not_before - self._session.clock.boottime()
        if self._failures == 0:
            return self._login
        return replace(self._login, failures=self._failures, next_attempt_s=max(0.0, wait_s))

    async def token(self) -> Secret:
        """A usable access token; waits, without raising and without a request, while a sign-in is needed."""
        while True:
            if self._login.phase not in PARKED:
                try:
                    token = self._session.current()
                except (Damaged, Misconfigured):
                    token = None
                if token is not None and token != self._refused:
                    return token
            turned = self._turned()
            self._nudge.set()
            await turned.wait()

    def rejected(self, token: Secret, *, over: bool = False) -> None:
        """The server refused `token`: it is renewed once, and not handed out again meanwhile.

        `over`: it said that the sign-in or credential behind the token has ended.

        Word about a token that has been replaced since is old news.
        """
        self.refusals += 1
        with suppress(Damaged, Misconfigured):
            if self._session.current() == token:
                self._over = over or (self._over and self._refused == token)
                self._refused = token
                self._nudge.set()

    async def readmit(self) -> None:
        """A person wants this mirror to go on: what was refused is forgotten, and the gate looks again."""
        await self._run_blocking(self._session.readmit)
        self._nudge.set()

    async def changed(self) -> LoginState:
        """Returns, with the new state, when the login's phase has changed."""
        before = self._login.phase
        while self._login.phase is before:
            await self._turned().wait()
        return self.login

    async def run(self) -> None:
        """Renews at the owner's point, parks when the login is over, wakes when its file changes; for ever.

        In a parked phase it makes no request; it looks at the credential file, by notification and each second.
        """
        with self._notified() as notified:
            while True:
                signature = self._session.file.signature()
                await self._step()
                await self._rest(signature, notified)

    # ------------------------------------------------------------------------------------------- steps

    async def _step(self) -> None:
        """Renews if it is time, and takes over what is true now."""
        if self._due_s() <= 0:
            await self._renew()
        self._enter(self._state())

    async def _renew(self) -> None:
        refused, over, session = self._refused, self._over, self._session
        try:
            if refused is None:
                await self._run_blocking(session.token)
            else:
                await self._run_blocking(lambda: session.renew_now(refused, over=over))
        except LoginRequired:
            self._recovered()
        except RelayfileError as error:
            self._failed(error)
        else:
            # `token` answers with the old one while it lasts; only what is due no longer has been renewed.
            trouble = session.trouble
            if trouble is None:
                self._recovered()
            else:
                self._failed(trouble)

    def _recovered(self) -> None:
        self._refused, self._failures, self._not_before = None, 0, 0.0

    def _failed(self, error: RelayfileError) -> None:
        now = self._session.clock.boottime()
        if now - self._woke_at > schedule.WAKE_GRACE_S or self._failures == 0:
            # For a minute after a sleep the network may not be there yet; that is no growing trouble.
            self._failures += 1
        if self._failures == 1:
            self._failing_since = now
        if isinstance(error, Unavailable):
            pause_s = schedule.backoff_s(
                self._failures,
                self._session.chance(),
                failing_for_s=now - self._failing_since,
                retry_after_s=error.retry_after_s,
            )
        else:
            pause_s = CONFIG_POLL_S
        self._not_before = now + pause_s

    def _state(self) -> LoginState:
        state = self._session.state()
        if state.phase not in PARKED and self._refused is not None and state.phase is Phase.VALID:
            return replace(state, phase=Phase.DUE)
        return state

    def _enter(self, state: LoginState) -> None:
        before, self._login = self._login, state
        if before.phase is not state.phase:
            level = logging.INFO if state.phase in {Phase.VALID, Phase.DUE} else logging.WARNING
            _log.log(level, "login: %s", text(state))
        if self._turn is not None:
            self._turn.set()
            self._turn = None

    # ----------------------------------------------------------------------------------------- waiting

    def _due_s(self) -> float:
        """In how long something is to be done over the network; infinite while the gate is parked."""
        try:
            state, due_s = self._session.state(), self._session.due_in_s()
        except (Damaged, Misconfigured):
            return max(0.0, self._not_before - self._session.clock.boottime())
        if state.phase in PARKED:
            self._recovered()
            return float("inf")
        if self._refused is not None:
            if self._session.current() != self._refused:
                self._refused = None
            else:
                due_s = 0.0
        if due_s is None:
            due_s = 0.0 if state.phase is Phase.CONFIG_ERROR else float("inf")
        return max(due_s, self._not_before - self._session.clock.boottime())

    async def _rest(self, signature: object, notified: asyncio.Event) -> None:
        """Returns when it is time to renew, the file has changed, a request waits, or the machine has slept."""
        while True:
            due_s = self._due_s()
            if due_s <= 0:
                return
            asleep = self._session.clock.boottime()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(due_s, LOOK_EVERY_S)):
                    await notified.wait()
            notified.clear()
            gap_s = self._session.clock.boottime() - asleep
            if gap_s > WAKE_GAP_S:
                # The machine slept: everybody wakes at once, so look first and renew a little apart.
                self._woke_at = self._session.clock.boottime()
                self._not_before = self._woke_at + 2.0 * self._session.chance()
                return
            if self._session.file.signature() != signature:
                # Somebody renewed, signed in or signed out: whatever kept us waiting is old news.
                self._not_before, self._failures = 0.0, 0
                return
            if self._state().phase is not self._login.phase:
                return

    def _turned(self) -> asyncio.Event:
        if self._turn is None:
            self._turn = asyncio.Event()
        return self._turn

    @contextmanager
    def _notified(self) -> Iterator[asyncio.Event]:
        """The event that is set when the credential file may have changed, or a request waits for a token."""
        with _folder_changes(self._session.file.folder(), self._nudge):
            yield self._nudge


@contextmanager
def _folder_changes(folder: str, event: asyncio.Event) -> Iterator[None]:
    """`event` is set on each change in `folder`, where the system tells; the look each second does not need it."""
    if not sys.platform.startswith("linux"):
        yield
        return
    from asyncinotify import Inotify, Mask  # noqa: PLC0415 - exists on Linux only

    loop = asyncio.get_running_loop()
    told: Inotify | None = None
    with suppress(OSError):  # this user, or this process, may have no more of them
        told = Inotify()
    if told is None:
        yield
        return
    with told as inotify:
        try:
            inotify.add_watch(folder, Mask.MOVED_TO | Mask.CLOSE_WRITE | Mask.DELETE | Mask.CREATE)
        except OSError:
            # No folder yet, or no watches left.
            yield
            return

        def drain() -> None:
            with suppress(BlockingIOError):
                os.read(inotify.fd, 65_536)
            event.set()

        loop.add_reader(inotify.fd, drain)
        try:
            yield
        finally:
            loop.remove_reader(inotify.fd)
