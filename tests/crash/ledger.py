"""The server's real rotation decision, without a server: what a session's exchange asks, it asks here."""

import time
from dataclasses import replace

from relayfile.core.families import ANSWERED, Family, Outcome, Policy, Presented, Proof, begin, may_end, rotate
from relayfile.core.session import Ended, Renewed, Unanswered
from relayfile.model import Grant, Secret

POLICY = Policy(overlap_s=60.0, access_ttl_s=1_800.0, refresh_ttl_s=2_592_000.0, absolute_ttl_s=7_776_000.0)


class Ledger:
    """An exchange. `lose(n)`: is the answer to presentation number n (from 1) lost after the decision?"""

    def __init__(self, clock=None):
        self.families: dict[str, Family] = {}
        self.presented: list[tuple[str, Outcome]] = []
        self.lose = lambda _: False
        self.clock = clock

    def now(self):
        return time.time() if self.clock is None else self.clock.boottime() + 1_000_000_000

    def sign_in(self, *, good_for_s=1_800.0) -> Grant:
        """A new family's first pair."""
        name = f"f{len(self.families)}"
        self.families[name] = begin(POLICY, self.now(), old_clients=False)
        return self._grant(name, good_for_s)

    def outcomes(self):
        return [outcome for _, outcome in self.presented]

    # ------------------------------------------------------------------------ what a session's exchange must do

    def renew(self, grant, nonce, stop):
        refresh_token = grant.refresh_token
        _, name, generation = refresh_token.reveal().split(".")
        decision = rotate(
            self.families[name], Presented(int(generation)), Proof(nonce.reveal().encode()), self.now(), POLICY
        )
        self.families[name] = decision.family
        self.presented.append((refresh_token.reveal(), decision.outcome))
        if self.lose(len(self.presented)):
            return Unanswered("the answer was lost", maybe_sent=True)
        if decision.outcome in ANSWERED:
            boot = self.clock.boottime() if self.clock else time.clock_gettime(time.CLOCK_BOOTTIME)
            return Renewed(self._grant(name, 1_800.0), None, boot, boot)
        return Ended("invalid_grant", str(decision.outcome))

    def revoke(self, api_url, refresh_token, reason):
        _, name, generation = refresh_token.reveal().split(".")
        if may_end(self.families[name], Presented(int(generation))):
            self.families[name] = replace(self.families[name], ended=reason)
        return True

    def _grant(self, name, good_for_s):
        generation = self.families[name].generation
        now = time.time() if self.clock is None else self.clock.wall()
        return Grant(
            api_url="http://ledger",
            access_token=Secret(f"at.{name}.{generation}"),
            access_expires_at=now + good_for_s,
            refresh_token=Secret(f"rt.{name}.{generation}"),
            refresh_expires_at=now + POLICY.refresh_ttl_s,
            issued_at=now,
            family=name,
            generation=generation,
            account="ada",
        )
