"""Clients and servers that are wrong in one thing each, for the explorer to find."""

from contextlib import contextmanager
from dataclasses import replace

from model import process
from model.process import told_now
from relayfile.core.families import LOST, Decision, Outcome, Proof, rotate
from relayfile.credentials.journal import Journal
from relayfile.credentials.renewal import Renewal
from relayfile.credentials.session import Session
from relayfile.wire.credentials import decode

RENEWAL = "relayfile.credentials.session.Renewal"
JOURNAL = "relayfile.credentials.file.Journal"
FILE = "model.process._File"
SESSION = "model.process.Session"


class UsesBeforeItKeeps(Renewal):
    def _commit(self, content, pair, successor):
        told_now().effect("use", successor.grant.access_token.reveal())
        return super()._commit(content, pair, successor)


class PresentsWhatItRemembers(Renewal):
    """The defect of the field report: what the process read before it had the lock is what it presents."""

    def settle(self, worth, rejected, *, over=False):
        content = decode(told_now().log[0])
        return self._present(content, content.pair, after_rejection=False)


class DropsThePromiseOfAPairPutBack(Renewal):
    def _put_back(self, content, history):
        super()._put_back(content, history)
        self._journal.drop_intent()


class PromisesAnewEachTime(Journal):
    def nonce(self, pair, now):
        told_now().effect("rename", "intent", None)
        return super().nonce(pair, now)


class SendsAPromiseItDidNotSync(Journal):
    def nonce(self, pair, now):
        held = process._Durable.sync_folder
        process._Durable.sync_folder = lambda *_: None
        try:
            return super().nonce(pair, now)
        finally:
            process._Durable.sync_folder = held


class ForgetsWhatItConsumed(Journal):
    def record(self, consumed, newest):
        """Nothing is kept."""


class ForgetsVerdicts(Journal):
    def add_verdict(self, ending):
        """Nothing is kept."""


class ForgetsLogouts(Journal):
    def add_tombstone(self, tombstone):
        """Nothing is kept."""


class KeepsWhatItReplaces(Session):
    def _revoke(self, pair, reason):
        """Nobody is told."""
        return True


class GoesOnWithoutTheLock(process._File):
    """Who has waited long enough renews all the same."""

    @contextmanager
    def locked(self, purpose, wait_s, clock, chance, needless=lambda: False):
        self.journal = self._journal()
        waited = self._told.effect("lock") == "waited long"
        try:
            yield process._Held()
        except process.Paused:
            raise
        except BaseException:
            if not waited:
                self._told.effect("unlock")
            raise
        if not waited:
            self._told.effect("unlock")


def strict(family, presented, proof, now, policy):
    """The cloud of the field report: no nonce, and reuse ends the family."""
    return rotate(family, presented, Proof(), now, policy)


def deep(family, presented, proof, now, policy):
    """Repeats what was asked two generations ago, too."""
    decision = rotate(family, presented, proof, now, policy)
    recent = decision.outcome is Outcome.SUPERSEDED and presented.generation == family.generation - 2
    return Decision(Outcome.RETRY, family) if recent else decision


def gracious(family, presented, proof, now, policy):
    """Within the overlap a consumed token gets the current pair, whoever brings it."""
    decision = rotate(family, presented, proof, now, policy)
    spent = next((one for one in family.consumed if one.generation == presented.generation), None)
    if decision.outcome is Outcome.REUSED and spent and now < spent.at + policy.overlap_s:
        return Decision(Outcome.RETRY, family)
    return decision


def forgiving(family, presented, proof, now, policy):
    """Refuses a consumed token, and leaves it at that."""
    decision = rotate(family, presented, proof, now, policy)
    return Decision(Outcome.SUPERSEDED, family) if decision.outcome is Outcome.REUSED else decision


def doubled(family, presented, proof, now, policy):
    """Takes the predecessor for as good as the newest."""
    if presented.generation == family.generation - 1 and family.ended is None:
        newest = replace(presented, generation=family.generation)
        return rotate(family, newest, proof, now, policy)
    return rotate(family, presented, proof, now, policy)


def never_catches_up(family, presented, proof, now, policy):
    """Answers whoever is ahead, and stays where it is."""
    decision = rotate(family, presented, proof, now, policy)
    return Decision(Outcome.AHEAD, family) if decision.outcome is Outcome.AHEAD else decision


def forgets_lost_commits(family, presented, proof, now, policy):
    """After a failover it knows nothing of the generations it skipped."""
    decision = rotate(family, presented, proof, now, policy)
    if decision.outcome is not Outcome.AHEAD:
        return decision
    known = tuple(one for one in decision.family.consumed if one.nonce != LOST)
    return Decision(Outcome.AHEAD, replace(decision.family, consumed=known))
