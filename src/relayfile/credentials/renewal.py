"""One renewal by the holder of the lock: look again, decide, promise a nonce, present, keep, then use.

Only `Renewal` presents a refresh token. The order of its steps is the safety argument (4-sessions B.2, B.5): a crash
between any two of them leaves either the old pair with its promised nonce, or the new pair durable.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from relayfile.core import schedule
from relayfile.core import session as core
from relayfile.core.causes import Kind
from relayfile.credentials import interruption, trouble
from relayfile.credentials.clock import Clock
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.lock import Lock, Note
from relayfile.errors import Damaged, LoginRequired, Unavailable
from relayfile.model import Grant, Secret
from relayfile.wire.credentials import Content, Ending, History, Obtained, Pair, Trouble, fingerprint


class Exchange(Protocol):
    """How a refresh token travels to its server."""

    def renew(self, grant: Grant, nonce: Secret, stop: Callable[[], bool]) -> core.Answer:
        """What became of presenting the grant's refresh token; repeats it, with the same nonce, until `stop()` or its
        budget ends.
        """

    def revoke(self, api_url: str, refresh_token: Secret, reason: str) -> bool:
        """Whether the server was told that this login is over, and why. One attempt."""


class Renewal:
    """Made anew for each time the lock is held."""

    def __init__(  # noqa: PLR0917 - made in one place, by the session that has them all
        self,
        file: CredentialFile,
        exchange: Exchange,
        clock: Clock,
        chance: Callable[[], float],
        limits: schedule.Limits,
        lock: Lock,
    ) -> None:
        self._file = file
        self._journal = file.journal
        self._exchange = exchange
        self._clock = clock
        self._chance = chance
        self._limits = limits
        self._lock = lock

    def settle(  # noqa: C901 - one branch a step
        self, worth: Callable[[Pair], core.Urgency], rejected: Secret | None, *, over: bool = False
    ) -> Secret | Ending:
        """A usable access token, durable here or in a stash; or the verdict on the login.

        `over`: the server said of `rejected` that its sign-in has ended.

        Raises:
            LoginRequired: there is no login.
            Unavailable: the server did not give a successor now; token and nonce are kept.
            Misconfigured: a successor could not be kept, so none was asked for, or it was not used.
            Damaged: the file cannot be understood and nothing can be put back.
        """
        while True:
            content, torn = self._read()
            self._file.reach("FP3 read again")
            history = self._journal.history()
            pair = content.pair if content else None
            seen = replace(self._seen(content, pair, history, worth, rejected), over=over)
            step = core.next_step(seen)
            if step is core.Step.PUT_BACK:
                self._put_back(content, history)
            elif step is core.Step.DAMAGED:
                assert torn is not None
                raise torn
            elif step is core.Step.NOT_SIGNED_IN or pair is None or content is None:
                raise not_signed_in(self._file.path)
            elif step is core.Step.COMMIT_STASH:
                if (token := self._commit_stash(content, pair, worth)) is not None:
                    return token
            elif step is core.Step.ADOPT:
                return pair.grant.access_token
            elif step is core.Step.ENDED:
                return self._known_ending(pair)
            elif step is core.Step.DISTRUST:
                raise Unavailable("the server refuses tokens that it has just issued", code="token_rejected")
            elif step is core.Step.PAUSE:
                raise Unavailable("the server asked to wait", retry_after_s=seen.paused_s, code="auth_paused")
            else:
                return self._present(content, pair, after_rejection=seen.disputed)

    # -------------------------------------------------------------------------------------- looking

    def _read(self) -> tuple[Content | None, Damaged | None]:
        try:
            return self._file.read(self._clock), None
        except Damaged as error:
            return None, error

    def _seen(
        self,
        content: Content | None,
        pair: Pair | None,
        history: History,
        worth: Callable[[Pair], core.Urgency],
        rejected: Secret | None,
    ) -> core.Seen:
        restorable = self._restorable(history, pair)
        if pair is None:
            return core.Seen(present=content is None, torn=content is None, restorable=restorable)
        fp = fingerprint(pair.grant.refresh_token)
        endings = self._journal.endings()
        life = self._life(pair)
        fresh = life.age_s is not None and life.lifetime_s is not None
        note = self._lock.note
        paused = note.pause_until - self._clock.boottime() if note.boot == self._clock.boot_id else 0.0
        return core.Seen(
            present=True,
            has_refresh_token=bool(pair.grant.refresh_token),
            consumed=fp in history.consumed,
            ended=next((one.error for one in endings.verdicts if one.rt_fp == fp), None),
            tombstoned=any(
                one.rt_fp == fp or (one.family is not None and one.family == pair.grant.family)
                for one in endings.tombstones
            ),
            stashed=self._journal.stashed(fp) is not None,
            restorable=restorable,
            worth=worth(pair),
            disputed=rejected is not None and pair.grant.access_token == rejected,
            fresh_after_dispute=pair.after_rejection
            and fresh
            and (life.age_s or 0.0) < schedule.OWNER_SPAN[0] * (life.lifetime_s or 0.0),
            paused_s=max(0.0, paused),
        )

    def _restorable(self, history: History, pair: Pair | None) -> bool:
        """Whether the newest pair of the history may be put back: no logout, no verdict, the same server (R9)."""
        newest = history.newest
        if newest is None or newest.grant.refresh_token is None:
            return False
        fp = fingerprint(newest.grant.refresh_token)
        endings = self._journal.endings()
        dead = {one.rt_fp for one in endings.verdicts} | {one.rt_fp for one in endings.tombstones}
        families = {one.family for one in endings.tombstones if one.family is not None}
        if fp in dead or fp in history.consumed or newest.grant.family in families:
            return False
        return pair is None or pair.grant.api_url.rstrip("/") == newest.grant.api_url.rstrip("/")

    def _life(self, pair: Pair) -> core.Life:
        return core.life(pair, self._clock.boot_id, self._clock.boottime(), self._clock.wall())

    def _known_ending(self, pair: Pair) -> Ending:
        """The verdict on this pair; one that the history or a missing refresh token amounts to is said like one."""
        fp = fingerprint(pair.grant.refresh_token)
        found = next((one for one in self._journal.endings().verdicts if one.rt_fp == fp), None)
        if found is not None:
            return found
        reason = "already exchanged" if pair.grant.refresh_token else "no refresh token"
        return Ending(fp, "invalid_grant", self._clock.wall(), reason)

    # ------------------------------------------------------------------------------------- mending

    def _put_back(self, content: Content | None, history: History) -> None:
        assert history.newest is not None
        try:
            if content is None:
                self._file.keep_damaged()
            self._file.replace(Content(history.newest, content.others if content else {}))
        except OSError as error:
            raise self._file.unwritable(error) from error
        # The intent stays: it may be the promise for this very pair, whose renewal somebody began and did not end.
        what = "could not be understood" if content is None else "held a login that was already renewed"
        self._file.say(f"{self._file.path} {what}; the newest login was put back")

    def _commit_stash(self, content: Content, pair: Pair, worth: Callable[[Pair], core.Urgency]) -> Secret | None:
        """None when the stashed successor is in the file now; its token when the file still cannot be written."""
        fp = fingerprint(pair.grant.refresh_token)
        successor = self._journal.stashed(fp)
        assert successor is not None
        try:
            self._journal.record(fp, successor)
            self._file.replace(Content(successor, content.others))
        except OSError as error:
            if worth(successor) is core.Urgency.MANDATORY:
                raise self._file.unwritable(error) from error
            return successor.grant.access_token
        self._journal.drop_stash()
        self._journal.drop_intent()
        return None

    # ---------------------------------------------------------------------------------- presenting

    def _present(self, content: Content, pair: Pair, *, after_rejection: bool) -> Secret | Ending:
        grant = pair.grant
        assert grant.refresh_token is not None
        self._file.check_writable()
        try:
            nonce = self._journal.nonce(pair, self._clock.wall())
        except OSError as error:
            raise self._file.unwritable(error) from error
        with interruption.deferred():
            answer = self._exchange.renew(grant, nonce, interruption.pending)
            verdict = core.after_answer(answer, family=grant.family, generation=grant.generation, scope=pair.scope)
            if verdict is core.Verdict.COMMIT and isinstance(answer, core.Renewed):
                return self._commit(content, pair, self._successor(pair, answer, after_rejection=after_rejection))
            if verdict is core.Verdict.END and isinstance(answer, core.Ended):
                return self._end(pair, answer)
            later = self._not_now(answer)
            kind = answer.kind if isinstance(answer, core.Unanswered) else Kind.SERVER
            fp = fingerprint(grant.refresh_token)
            trouble.note(self._file.path, Trouble(fp, self._clock.wall(), kind, later.message))
        raise later

    def _successor(self, pair: Pair, answer: core.Renewed, *, after_rejection: bool) -> Pair:
        """The pair as it will be kept: what the answer left out is that of its predecessor, expiries excepted."""
        new = answer.grant
        lifetime = (
            None
            if new.access_expires_at is None or new.issued_at is None
            else max(0.0, new.access_expires_at - new.issued_at)
        )
        grant = replace(
            new,
            # Where a login goes is decided when it begins: no answer can send its tokens elsewhere.
            api_url=pair.grant.api_url,
            family=new.family or pair.grant.family,
            account=new.account or pair.grant.account,
            absolute_expires_at=new.absolute_expires_at or pair.grant.absolute_expires_at,
        )
        obtained = Obtained(self._clock.boot_id, answer.sent_s, answer.received_s, lifetime)
        return Pair(grant, answer.scope or pair.scope, obtained, answer.server_date, after_rejection)

    def _commit(self, content: Content, pair: Pair, successor: Pair) -> Secret:
        """The successor is durable before anyone uses it (I3).

        A foreign writer takes no lock. What it wrote since we read is newer than what we presented, so it stays; a
        file that it removed stays removed.
        """
        fp, mine = fingerprint(pair.grant.refresh_token), fingerprint(successor.grant.refresh_token)
        now, torn = self._read()
        there = None if now is None or now.pair is None else fingerprint(now.pair.grant.refresh_token)
        if torn is None and there is None:
            raise not_signed_in(self._file.path)
        consumed = {*self._journal.history().consumed, fp}
        foreign = now is not None and there is not None and there not in {*consumed, mine}
        try:
            if foreign:
                self._journal.record(fp, None)
            else:
                self._journal.record(fp, successor)
                self._file.replace(Content(successor, (now or content).others))
        except OSError as error:
            if not self._journal.stash(fp, successor):
                raise self._file.unwritable(error) from error
            self._file.say(f"{self._file.path} cannot be written ({error.strerror}); the renewed login was stashed")
            return successor.grant.access_token
        self._journal.drop_intent()
        self._file.reach("FP13 intent removed")
        self._lock.write(Note(self._lock.note.pid, "renewed", self._clock.wall()))
        if foreign and now is not None and now.pair is not None:
            return now.pair.grant.access_token
        return successor.grant.access_token

    def _end(self, pair: Pair, answer: core.Ended) -> Ending:
        """The verdict is remembered before anyone hears of it (I5)."""
        fp = fingerprint(pair.grant.refresh_token)
        ending = Ending(fp, answer.error, self._clock.wall(), answer.reason or answer.message, answer.by)
        try:
            self._journal.add_verdict(ending)
        except OSError as error:
            raise self._file.unwritable(error) from error
        self._journal.drop_intent()
        return ending

    def _not_now(self, answer: core.Answer) -> Unavailable:
        if isinstance(answer, core.Unanswered):
            if answer.retry_after_s is not None:
                until = self._clock.boottime() + min(answer.retry_after_s, schedule.RETRY_AFTER_CAP_S)
                note = self._lock.note
                self._lock.write(Note(note.pid, "waits", self._clock.wall(), self._clock.boot_id, until))
            code = "auth_ambiguous" if answer.maybe_sent else "auth_unavailable"
            return Unavailable(
                f"the login could not be renewed now: {answer.cause}; it was not harmed",
                code=code,
                retry_after_s=answer.retry_after_s,
                status=answer.status,
                details={"kind": answer.kind},
            )
        if isinstance(answer, core.Ended):
            return Unavailable(f"the server refused to renew the login now: {answer.error}", code="auth_unavailable")
        return Unavailable("the server's answer does not continue this login; it was not used", code="auth_ambiguous")


def not_signed_in(path: str) -> LoginRequired:
    """The error that says there is no login in `path`."""
    return LoginRequired(
        "not signed in", code="login_required", hint="run `relayfile login URL`", details={"store": path}
    )


def login_ended(ending: Ending, api_url: str | None) -> LoginRequired:
    """The error that says the login has ended, and why."""
    by = f" by {ending.by}" if ending.by else ""
    return LoginRequired(
        f"the sign-in has ended: {ending.reason or ending.error}{by}",
        code="login_required",
        hint=f"run `relayfile login {api_url or 'URL'}`",
        details={"reason": ending.reason or ending.error, "error": ending.error},
    )
