"""The login of one daemon: a credential of the mirror's own, or the shared sign-in as long as it has none (R10).

While the credential lives the shared file is not read. It is read to enrol: at first, when two thirds of the
credential's life are over, and when a person has signed in after the server refused it. Where no credential can be
had the daemon lives on the shared sign-in as a command does, says so, and asks again later.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from relayfile.core import daemon_credential as core
from relayfile.core import session as states
from relayfile.core.daemon_credential import SignIn, Step
from relayfile.credentials.clock import Clock
from relayfile.credentials.daemon_file import DaemonFile
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.own import Enroller, OwnCredential, Purpose
from relayfile.credentials.session import Session
from relayfile.errors import LoginRequired, RelayfileError, Unavailable
from relayfile.model import Secret
from relayfile.wire.daemon_credential import EXPIRED

_CHANCE: Final = random.SystemRandom().random
NOT_OFFERED: Final = "this server gives mirrors no credential of their own"


@dataclass(frozen=True)
class _Pause:
    """A credential was asked for in vain; the shared sign-in serves until boot time `until`."""

    until: float
    why: str
    tries: int


class DaemonLogin:
    """What a `Gate` is given. `token` and `renew_now` may block and run in one thread; the rest answers at once."""

    def __init__(
        self,
        kept: DaemonFile,
        shared: Session,
        enroller: Enroller,
        purpose: Purpose,
        *,
        chance: Callable[[], float] = _CHANCE,
    ) -> None:
        self.chance = chance
        self._shared = shared
        self._enroller = enroller
        self._for = purpose
        self._own = OwnCredential(kept, enroller, purpose, shared.clock, chance)
        self._flight = threading.Lock()
        self._pause: _Pause | None = None
        self._after_over: Secret | None = None

    @property
    def file(self) -> CredentialFile:
        """Where a new sign-in would appear."""
        return self._shared.file

    @property
    def clock(self) -> Clock:
        """The clocks this login lives by."""
        return self._shared.clock

    @property
    def trouble(self) -> RelayfileError | None:
        """What kept the last renewal from succeeding; None after one that did."""
        return self._own.trouble if self._own.living else self._shared.trouble

    def current(self) -> Secret | None:
        """The access token while it lasts, without a request; None when there is none."""
        if self._own.living:
            return self._own.current()
        return self._shared.current() if self._step() is Step.SHARE else None

    def due_in_s(self) -> float | None:
        """In how long something is to be renewed or asked for; 0 now; None: not while nothing changes."""
        if self._own.living:
            return self._own.due_in_s()
        step = self._step()
        if step is not Step.SHARE:
            return 0.0 if step is Step.ENROL else None
        shared_s, pause_s = self._shared.due_in_s(), self._pause_left_s()
        if pause_s <= 0:
            return shared_s
        return pause_s if shared_s is None else min(shared_s, pause_s)

    def token(self) -> Secret:
        """A usable access token; renewed, or a credential enrolled, first when it must be.

        Raises:
            LoginRequired: a person must sign in; nothing is sent until the shared file changes.
            Unavailable: it could not be renewed now, and the old one has ended.
            Misconfigured: this machine must be mended first.
        """
        with self._flight:
            return self._good(None)

    def renew_now(self, rejected: Secret, *, over: bool = False) -> Secret:
        """An access token other than `rejected`, which the server refused. `over`: as `Session.renew_now`.

        Raises:
            LoginRequired: the credential is over, and there is no new sign-in.
            Unavailable: code `token_rejected`: the server refuses tokens that it has just issued; or as `token`.
            Misconfigured: as `token`.
        """
        with self._flight:
            over = over and rejected != self._after_over
            token = self._good(rejected, over=over)
            if over:
                self._after_over = token
            return token

    def readmit(self) -> None:
        """A credential that was refused is forgotten: the sign-in that is there may vouch for a new one."""
        with self._flight:
            if self._own.refusal is not None:
                self._own.give_up()

    def state(self) -> states.LoginState:
        """Where the login stands, as files and memory tell; no network."""
        if self._own.living:
            return self._own.state()
        sign_in, shared = self._sign_in(), self._shared.state()
        if sign_in is SignIn.USABLE:
            if self._pause is not None and self._pause_left_s() > 0:
                return replace(shared, note=self._pause.why)
            return replace(shared, phase=states.Phase.DUE, code=None, reason=None)
        if sign_in is SignIn.UNREADABLE:
            return shared
        if self._own.refusal is not None:
            return self._own.state()
        if sign_in is SignIn.ELSEWHERE:
            why = f"this sign-in is at {shared.api_url}"
            elsewhere = replace(shared, phase=states.Phase.NO_SESSION, code="other_server", reason=why)
            return replace(elsewhere, api_url=self._for.api_url)
        return shared

    # ---------------------------------------------------------------------------------------- deciding

    def _good(self, rejected: Secret | None, *, over: bool = False) -> Secret:
        step = self._own.step(rejected, over=over)
        if step is Step.DISTRUST:
            self._own.trouble = Unavailable("the server refuses tokens it has just issued", code="token_rejected")
            raise self._own.trouble
        if step is Step.REPLACE and self._pause_left_s() <= 0 and self._sign_in() is SignIn.USABLE and self._enrol():
            step = Step.USE
        if step in {Step.RENEW, Step.REPLACE}:
            token = self._own.renew(rejected, lambda: self._shared.state().family)
            if token is not None:
                return token
        if (living := self._own.living) is not None:
            return living.pair.grant.access_token
        return self._without(rejected, over=over)

    def _without(self, rejected: Secret | None, *, over: bool) -> Secret:
        """As `token`, when there is no credential: one is asked for, or the shared sign-in serves."""
        if self._step() is Step.ENROL and self._enrol() and (token := self._own.current()) is not None:
            return token
        if self._step() is Step.PARK:
            state = self.state()
            raise LoginRequired(states.sentence(state), code=state.code, hint=states.remedy(state))
        return self._shared.token() if rejected is None else self._shared.renew_now(rejected, over=over)

    def _step(self) -> Step:
        return core.step_without(self._sign_in(), paused=self._pause_left_s() > 0)

    def _sign_in(self) -> SignIn:
        """What the shared sign-in is worth now. The one place that looks at it."""
        state, refusal = self._shared.state(), self._own.refusal
        if states.parked(state):
            return SignIn.NONE
        if state.phase is states.Phase.CONFIG_ERROR:
            return SignIn.UNREADABLE
        if (state.api_url or "").rstrip("/") != self._for.api_url.rstrip("/"):
            return SignIn.ELSEWHERE
        if refusal is None:
            return SignIn.USABLE
        return core.sign_in_after_refusal(expired=refusal.reason == EXPIRED, same=refusal.beside == state.family)

    # --------------------------------------------------------------------------------------- enrolling

    def _enrol(self) -> bool:
        """Whether there is a new credential. Else there is a pause, in which what there is goes on serving."""
        answer: core.Enrolled | None = None
        try:
            self._own.check_writable()
            key = self._own.key(make=True)
            assert key is not None
            answer = self._asked(key)
            if isinstance(answer, core.Given):
                self._own.keep(answer, key, self._shared.state().family)
                self._pause = None
                self._shared.file.say("enrolled: this mirror has a credential of its own")
                return True
            why = _why(answer)
        except OSError as error:
            why = f"its own could not be saved: {error.strerror}"
        except RelayfileError as error:
            why = error.message
        tries = 1 if self._pause is None else self._pause.tries + 1
        self._pause = _Pause(self.clock.boottime() + core.pause_s(answer, tries), why, tries)
        return False

    def _asked(self, key: Secret) -> core.Enrolled:
        """What the server says to a sign-in that vouches; an access token that it does not know is renewed, once.

        One that is merely due is good enough for this: the sign-in is left to those who live on it.
        """
        subject = self._shared.current() or self._shared.token()
        answer = self._enroller.enrol(self._for.api_url, key, subject, self._for.workspace, self._for.mirror)
        if not isinstance(answer, states.Ended) or not core.doubts_the_sign_in(answer):
            return answer
        subject = self._shared.renew_now(subject)
        return self._enroller.enrol(self._for.api_url, key, subject, self._for.workspace, self._for.mirror)

    def _pause_left_s(self) -> float:
        return 0.0 if self._pause is None else max(0.0, self._pause.until - self.clock.boottime())


def _why(answer: core.NotOffered | states.Ended | states.Unanswered) -> str:
    if isinstance(answer, core.NotOffered):
        return NOT_OFFERED
    if isinstance(answer, states.Ended):
        return f"the server gave no credential: {answer.message or answer.error}"
    return f"a credential could not be had: {answer.cause}"
