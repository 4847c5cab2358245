"""The credential of one mirror: read, renewed with a proof of its key, replaced, and over when the server says so.

Only the daemon of the mirror uses it, so there is no lock, no intent and no race: the refresh token does not rotate,
and a lost answer costs a repetition.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from relayfile.core import daemon_credential as core
from relayfile.core import schedule
from relayfile.core import session as states
from relayfile.credentials.clock import Clock
from relayfile.credentials.daemon_file import DaemonFile
from relayfile.credentials.standing import phase_of, skew_s
from relayfile.errors import Damaged, RelayfileError, Unavailable
from relayfile.model import Secret
from relayfile.wire.credentials import Obtained, Pair, fingerprint
from relayfile.wire.daemon_credential import Enrolment, Held, Refusal


class Enroller(Protocol):
    """How a daemon credential is got, renewed and given up, and the keys it is bound to."""

    def new_key(self) -> Secret:
        """A new private key, as it is kept."""

    def thumbprint(self, key: Secret) -> str:
        """The name of a key. Raises Damaged: it is none."""

    def enrol(self, api_url: str, key: Secret, subject: Secret, workspace: str, mirror: str) -> core.Enrolled:
        """What the server answered when the sign-in with the access token `subject` vouched for this key."""

    def renew(self, api_url: str, key: Secret, refresh_token: Secret) -> states.Answer:
        """What became of presenting the refresh token with a proof of the key."""

    def revoke(self, api_url: str, refresh_token: Secret, reason: str) -> bool:
        """Whether the server was told that this credential is over. One attempt."""


@dataclass(frozen=True)
class Purpose:
    """What a credential is for: one workspace of one server, in one mirror. `profile` None need not be named."""

    api_url: str
    workspace: str
    mirror: str
    profile: str | None = None


class OwnCredential:
    """The credential on disk and in this process. Threads may share it: what others read of it is replaced whole."""

    def __init__(
        self, kept: DaemonFile, enroller: Enroller, purpose: Purpose, clock: Clock, chance: Callable[[], float]
    ) -> None:
        self._kept = kept
        self._enroller = enroller
        self._for = purpose
        self._clock = clock
        self._chance = chance
        self._held = self._read()
        self._point = schedule.owner_point(chance())
        self.trouble: RelayfileError | None = None

    @property
    def living(self) -> Held | None:
        """The credential, unless there is none or the server has refused it."""
        held = self._held
        return held if held is not None and held.enrolment.refusal is None else None

    @property
    def refusal(self) -> Refusal | None:
        """The server's word that it is over; None while it lives, or never was."""
        return None if self._held is None else self._held.enrolment.refusal

    def current(self) -> Secret | None:
        """Its access token while that lasts, without a request."""
        if (held := self.living) is None:
            return None
        left_s = self._life(held).left_s
        return held.pair.grant.access_token if left_s is None or left_s > 0 else None

    def due_in_s(self) -> float | None:
        """In how long it is to be renewed; None: it does not live, or no end of its access token is known."""
        held = self.living
        return None if held is None else states.due_in_s(self._life(held), "owner", self._point)

    def step(self, rejected: Secret | None, *, over: bool = False) -> core.Step | None:
        """What is to be done about it, `rejected` being what the server refused; None: it does not live.

        `over`: the server said of `rejected` that the credential has ended.
        """
        if (held := self.living) is None:
            return None
        life, again_at = self._life(held), held.enrolment.again_at
        return core.step_with(
            states.urgency(life, "owner", self._point),
            again=again_at is not None and self._clock.wall() >= again_at,
            disputed=held.pair.grant.access_token == rejected,
            fresh_after_dispute=held.pair.after_rejection and core.fresh(life) and not over,
        )

    def key(self, *, make: bool = False) -> Secret | None:
        """The key that the living credential is bound to, if it is here. `make`: else a new one, which is saved.

        Raises:
            OSError: the new one could not be saved.
        """
        key, held = self._kept.key(), self.living
        try:
            if key is not None and held is not None and self._enroller.thumbprint(key) == held.enrolment.key:
                return key
        except Damaged:
            key = None
        if not make:
            return None
        made = self._enroller.new_key()
        self._kept.save_key(made)
        return made

    def check_writable(self) -> None:
        """A credential could be saved now.

        Raises:
            OSError: it could not.
        """
        self._kept.check_writable()

    def keep(self, given: core.Given, key: Secret, by: str | None) -> None:
        """This is the credential now, vouched for by the sign-in `by`; the one it replaces is given up.

        Raises:
            OSError: it could not be saved; it was given up, and the file holds the one before.
        Durable: on return.
        """
        new, before = given.renewed.grant.refresh_token, self.living
        assert new is not None
        now = self._clock.wall()
        enrolment = Enrolment(
            workspace=self._for.workspace,
            mirror=self._for.mirror,
            key=self._enroller.thumbprint(key),
            at=now,
            again_at=core.again_at(now, given.ends_at, self._chance()),
            ends_at=given.ends_at,
            by=by,
        )
        held = Held(self._pair(given.renewed, None, after_rejection=False), enrolment)
        try:
            self._kept.save(held)
        except OSError:
            there = self._kept.read()  # of a folder that cannot be synced the file is whole, and the new one
            if there is None or there.pair.grant.refresh_token != new:
                self._enroller.revoke(self._for.api_url, new, "not_saved")
                raise
        self._held, self.trouble = held, None
        old = None if before is None else before.pair.grant.refresh_token
        if old is not None and old != new:
            self._enroller.revoke(self._for.api_url, old, "replaced")

    def renew(self, rejected: Secret | None, beside: Callable[[], str | None]) -> Secret | None:
        """A fresh access token, or the old one while it lasts; None: it does not live any more.

        `beside` is asked for the sign-in of the moment when the server refuses the credential.

        Raises:
            Unavailable: it could not be renewed now, and the old access token has ended.
        """
        held, key = self.living, self.key()
        if held is None or key is None:
            # Without its key it is worth nothing, which the server cannot know.
            self._held = None
            return None
        grant, disputed = held.pair.grant, held.pair.grant.access_token == rejected
        assert grant.refresh_token is not None
        assert grant.family is not None
        answer = self._enroller.renew(self._for.api_url, key, grant.refresh_token)
        if isinstance(answer, states.Renewed) and core.continues(answer, family=grant.family, scope=held.pair.scope):
            return self._take(held, answer, after_rejection=disputed)
        if isinstance(answer, states.Ended) and answer.error in states.ENDING_ERRORS:
            self._refuse(held, answer, beside())
            return None
        self.trouble = _not_now(answer)
        if disputed or (current := self.current()) is None:
            raise self.trouble
        return current

    def state(self) -> states.LoginState:
        """Where it stands, living or over."""
        assert self._held is not None
        held, trouble = self._held, self.trouble
        grant, enrolment, life = held.pair.grant, held.enrolment, self._life(held)
        phase, code, reason, since = states.Phase.VALID, None, None, None
        if (refusal := enrolment.refusal) is not None:
            ended = refusal.error == "invalid_grant"
            phase = states.Phase.AUTH_FAILED if ended else states.Phase.CLIENT_REJECTED
            code, reason, since = refusal.error, refusal.reason, refusal.at
        elif trouble is not None:
            phase, code, reason = phase_of(trouble), trouble.code, trouble.message
        elif self.due_in_s() == 0:
            phase = states.Phase.DUE
        ends_soon = core.ends_soon(enrolment.at, enrolment.ends_at, self._clock.wall())
        return states.LoginState(
            phase=phase,
            api_url=grant.api_url,
            account=grant.account,
            family=grant.family,
            generation=grant.generation,
            rt_fp=fingerprint(grant.refresh_token),
            access_left_s=life.left_s,
            refresh_expires_at=grant.refresh_expires_at,
            code=code,
            reason=reason,
            since=since,
            by=refusal.by if refusal is not None else None,
            clock_skew_s=skew_s(held.pair),
            path=self._kept.path,
            profile=self._for.profile,
            own=states.Own(enrolment.at, grant.account, enrolment.ends_at, ends_soon),
        )

    def give_up(self) -> None:
        """There is no credential and no key any more, as far as the disk and the server can be told."""
        held, self._held = self._held, None
        with suppress(OSError):
            self._kept.remove()
        if held is not None and held.enrolment.refusal is None and held.pair.grant.refresh_token is not None:
            self._enroller.revoke(self._for.api_url, held.pair.grant.refresh_token, "given_up")

    # --------------------------------------------------------------------------------------------------

    def _read(self) -> Held | None:
        """The credential on disk, if it is for this: a folder may have been copied."""
        held = self._kept.read()
        if held is None:
            return None
        made_for = held.pair.grant.api_url.rstrip("/"), held.enrolment.workspace, held.enrolment.mirror
        return held if made_for == (self._for.api_url.rstrip("/"), self._for.workspace, self._for.mirror) else None

    def _life(self, held: Held) -> states.Life:
        return states.life(held.pair, self._clock.boot_id, self._clock.boottime(), self._clock.wall())

    def _take(self, held: Held, answer: states.Renewed, *, after_rejection: bool) -> Secret:
        pair = self._pair(answer, held.pair, after_rejection=after_rejection)
        self._held = Held(pair, held.enrolment)
        self.trouble, self._point = None, schedule.owner_point(self._chance())
        self._save(self._held)
        return pair.grant.access_token

    def _refuse(self, held: Held, answer: states.Ended, beside: str | None) -> None:
        """It is over, which is remembered, and beside which sign-in."""
        reason = answer.reason or answer.message
        refusal = Refusal(answer.error, self._clock.wall(), reason, answer.by, beside)
        self._held = Held(held.pair, held.enrolment.over(refusal))
        self.trouble = None
        self._save(self._held)

    def _save(self, held: Held) -> None:
        """On a full disk nothing is lost: the refresh token there is still the right one, or refused once more."""
        with suppress(OSError):
            self._kept.save(held)

    def _pair(self, answer: states.Renewed, before: Pair | None, *, after_rejection: bool) -> Pair:
        """The pair as it is kept: where it goes and whose it is was decided when it was enrolled."""
        new = answer.grant
        begun, ended = new.issued_at, new.access_expires_at
        grant = replace(
            new,
            api_url=self._for.api_url,
            family=new.family if before is None else before.grant.family,
            account=new.account or (before.grant.account if before else None),
        )
        lifetime = None if begun is None or ended is None else max(0.0, ended - begun)
        obtained = Obtained(self._clock.boot_id, answer.sent_s, answer.received_s, lifetime)
        scope = answer.scope or (before.scope if before else None)
        return Pair(grant, scope, obtained, answer.server_date, after_rejection)


def _not_now(answer: states.Answer) -> Unavailable:
    if isinstance(answer, states.Unanswered):
        return Unavailable(
            f"the credential could not be renewed now: {answer.cause}; it was not harmed",
            code="auth_unavailable",
            retry_after_s=answer.retry_after_s,
            status=answer.status,
        )
    if isinstance(answer, states.Ended):
        return Unavailable(f"the server did not renew the credential now: {answer.error}", code="auth_unavailable")
    return Unavailable(
        "the server's answer does not continue this credential; it was not used", code="auth_unavailable"
    )
