"""Begins, renews and ends credential families: the one engine behind every door (3-protocol A7).

What a presented token means is decided by `core/families`; here the decision is stored, audited and answered in one
transaction, so that a pair is handed out only after the commit that makes it the newest (4-sessions C.2).
"""

import asyncio
import hmac
import math
import random
import secrets
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, TypeAlias, TypeVar

import apsw

from relayfile.core import enrolment
from relayfile.core.families import (
    ANSWERED,
    REUSE,
    ROTATIONS_A_LIFETIME,
    ROTATIONS_A_MINUTE,
    Decision,
    Outcome,
    Policy,
    Presented,
    Proof,
    begin,
    may_end,
    rotate,
)
from relayfile.errors import NotFound, Unavailable
from relayfile.model import Secret
from relayfile.server.bearer import Bearer
from relayfile.server.config import Lifetimes
from relayfile.server.keys import Keys
from relayfile.server.store import accounts, audit, families, proofs, tokens
from relayfile.server.store.accounts import Account
from relayfile.server.store.database import Database
from relayfile.server.store.families import (
    DAEMON,
    DELEGATION,
    REPLACED,
    REVOKED,
    SIGN_IN,
    SIGNED_OUT_EVERYWHERE,
    Ending,
    Holder,
    Stored,
)
from relayfile.server.store.proofs import KeyProof
from relayfile.server.throttle import Throttle
from relayfile.wire.auth import ACCESS_PREFIX, ClientName, RefreshToken

T = TypeVar("T")
_EndsSome: TypeAlias = Callable[[apsw.Connection], list[str]]

_PEOPLE: Final = frozenset({SIGN_IN})
_LOCK_WAIT_S: Final = 2.0
_SHORTENED: Final = 0.1
_AUDITED: Final = {
    Outcome.ROTATED: "rotated",
    Outcome.AHEAD: "ahead",
    Outcome.RETRY: "replayed",
    Outcome.LEGACY_RACE: "replayed",
    Outcome.SUPERSEDED: "superseded",
    Outcome.REUSED: "reused",
    Outcome.RENEWED: "renewed",
}
"""The audit's word for each outcome (R13); the others are `rejected`, and BUSY is no event: nothing was decided."""

_NOISE: Final = frozenset({Outcome.MALFORMED, Outcome.UNPROVEN})
"""What anybody can cause who has no right to the family: counted by address, and quiet above the limit."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A family somebody has been found entitled to. `door` is how they came, as the audit calls it.

    `mirror` and `jkt` (the thumbprint of its key) are a daemon credential's.
    """

    client: ClientName
    scopes: str
    old_clients: bool
    door: str
    profile: str | None = None
    kind: str = SIGN_IN
    parent: str | None = None
    workspace: str | None = None
    agent: str | None = None
    mirror: str | None = None
    jkt: str | None = None
    absolute_ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A pair, and all that an answer tells of it. A delegation has no opaque access token: `access` is None.

    `replaced` are the families that ended because this one is in use.
    """

    outcome: Outcome | None
    stored: Stored
    username: str
    access: Secret | None
    access_expires_at: float
    refresh: Secret
    now: float
    replaced: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a token got no pair. `family` and `generation` are those it named, when it was one of ours.

    `ending` is there when its family is over.
    """

    outcome: Outcome
    reason: str
    family: str | None = None
    generation: int | None = None
    retry_after_s: float = 0.0
    ending: Ending | None = None


class Grants:
    """The families of one server."""

    def __init__(
        self, database: Database, keys: Keys, bearer: Bearer, lifetimes: Lifetimes, *, restored_until: float = 0.0
    ) -> None:
        self._database = database
        self._keys = keys
        self._bearer = bearer
        self._noise = Throttle(30, 60.0)
        self._chance = random.SystemRandom()
        people = Policy(
            lifetimes.refresh_overlap_s,
            lifetimes.access_ttl_s,
            lifetimes.refresh_ttl_s,
            lifetimes.absolute_ttl_s,
            restored_until,
        )
        daemons = enrolment.policy_of(people)
        self._policies = {SIGN_IN: people, DELEGATION: people, DAEMON: daemons}
        a_minute = max(ROTATIONS_A_MINUTE, math.ceil(ROTATIONS_A_LIFETIME * 60 / daemons.access_ttl_s))
        self._renewals = Throttle(a_minute, 60.0)  # asked in the writer thread alone

    async def begin(self, account: Account, wish: Wish) -> Issued:
        """A new family for `account`.

        Durable: the family and its audit row.
        """
        return await self._database.write(lambda connection: self.begin_in(connection, account, wish))

    def begin_in(self, connection: apsw.Connection, account: Account, wish: Wish) -> Issued:
        """As `begin`, inside the caller's transaction.

        Runs in: writer thread.
        """
        now = time.time()
        policy = self._policies[wish.kind]
        if wish.absolute_ttl_s is not None:
            policy = replace(policy, absolute_ttl_s=min(wish.absolute_ttl_s, policy.absolute_ttl_s))
        family = begin(policy, now, old_clients=wish.old_clients)
        identity = secrets.token_hex(8)
        holder = Holder(
            identity,
            account.id,
            wish.kind,
            self._keys.new_family_key(identity),
            wish.scopes,
            wish.client,
            wish.profile,
            wish.parent,
            wish.workspace,
            wish.agent,
            wish.mirror,
            wish.jkt,
        )
        families.insert(connection, holder, family)
        audit.record(
            connection,
            "issued",
            now=now,
            client=wish.client,
            account=account.id,
            family=identity,
            generation=1,
            reason=wish.door,
        )
        return self._pair(connection, Stored(holder, family), account.username, None, now)

    async def renew(
        self,
        token: str,
        nonce: str,
        client: ClientName,
        address: str,
        *,
        kinds: Collection[str] = _PEOPLE,
        key: KeyProof | None = None,
    ) -> Issued | Refused:
        """The next pair of the family that `token` is of, or why there is none. `kinds`: those this door serves.

        Raises:
            Unavailable: the database was busy for 2 s; the token is as good as before.

        Durable: the decision and its audit row; a pair is returned only after that.
        Once: the same token with the same nonce is answered with the same successor until that has been used.
        """
        parsed = RefreshToken.parse(token)
        proof = Proof(sha256(nonce.encode()).digest() if nonce else b"")
        deadline = time.monotonic() + _LOCK_WAIT_S
        noisy = self._noise.wait_s(address)

        def work(connection: apsw.Connection) -> Issued | Refused:
            if time.monotonic() > deadline:
                raise Unavailable("the server is busy; the token was not used", retry_after_s=1.0)
            stored = families.load(connection, parsed.family) if parsed is not None else None
            if parsed is None or stored is None or stored.holder.kind not in kinds:
                if not noisy:
                    audit.record(connection, "rejected", now=time.time(), client=client, reason="unknown token")
                return Refused(Outcome.MALFORMED, "unknown")
            return self._present(connection, stored, parsed, (proof, key), client, noisy=bool(noisy))

        async def decide_and_tell() -> Issued | Refused:
            answer = await self._database.write(work)
            if isinstance(answer, Refused) and answer.outcome is Outcome.REUSED and answer.family:
                self._bearer.ended([answer.family], REUSE)
            elif isinstance(answer, Issued) and answer.replaced:
                self._bearer.ended(answer.replaced, REPLACED)
            return answer

        answer = await _whatever_happens(decide_and_tell())
        if isinstance(answer, Refused) and answer.outcome in _NOISE:
            if noisy:
                return replace(answer, outcome=Outcome.BUSY, reason="rate_limited", retry_after_s=max(1.0, noisy))
            self._noise.count(address)
        return answer

    async def revoke(self, token: str, client: ClientName, reason: str) -> None:
        """The family that `token` (refresh or access) is of has ended, if there is one and the token may end it."""
        parsed = RefreshToken.parse(token)

        def work(connection: apsw.Connection) -> list[str]:
            generation = None
            if parsed is not None:
                stored = families.load(connection, parsed.family)
                if stored is None or not may_end(stored.family, self._presented(stored, parsed)):
                    return []
                family, generation = parsed.family, parsed.generation
            else:
                known = tokens.known(connection, tokens.digest(token))
                if known is None or known.expires_at <= time.time():
                    return []
                family = known.family
            return self._end(connection, [family], client, reason, generation=generation)

        await self._end_and_tell(work, reason)

    async def end(self, family: str, client: ClientName, *, account: str | None, by: str | None = None) -> None:
        """This family has ended, and every delegation it made and daemon credential it enrolled. `by`: which user.

        Raises:
            NotFound: code `session_not_found`: no living family of `account` (None: of anyone) has this id.
        """

        def work(connection: apsw.Connection) -> list[str]:
            stored = families.load(connection, family)
            if stored is None or stored.family.ended or account not in {None, stored.holder.account}:
                raise NotFound(
                    f"no live sign-in {family[:40]!r}",
                    code="session_not_found",
                    hint="`relayfile auth sessions` shows them",
                )
            return self._end(connection, [family, *families.children(connection, family)], client, REVOKED, by=by)

        await self._end_and_tell(work, REVOKED)

    async def end_all(self, account: Account, client: ClientName) -> int:
        """Every family of `account` has ended, whatever its kind; how many these were."""

        def work(connection: apsw.Connection) -> list[str]:
            gone = families.of_account(connection, account.id)
            return self._end(connection, gone, client, SIGNED_OUT_EVERYWHERE)

        return await self._end_and_tell(work, SIGNED_OUT_EVERYWHERE)

    def _present(
        self,
        connection: apsw.Connection,
        stored: Stored,
        parsed: RefreshToken,
        proofs_sent: tuple[Proof, KeyProof | None],
        client: ClientName,
        *,
        noisy: bool,
    ) -> Issued | Refused:
        now = time.time()
        holder = stored.holder
        decision = self._decided(connection, stored, self._presented(stored, parsed), proofs_sent, now)
        outcome, after = decision.outcome, decision.family
        if after != stored.family:
            families.save(connection, stored, after)
        if outcome is Outcome.REUSED:
            families.sign(connection, holder.id, Ending(REUSE, now, host=client.host))
        reason = _reason(outcome, after.ended)
        if outcome is not Outcome.BUSY and not (outcome in _NOISE and noisy):
            audit.record(
                connection,
                _AUDITED.get(outcome, "rejected"),
                now=now,
                client=client,
                account=holder.account if outcome is not Outcome.MALFORMED else None,
                family=holder.id,
                generation=parsed.generation,
                reason=reason,
            )
        if outcome not in ANSWERED:
            ending = families.ending(connection, holder.id) if after.ended else None
            told = ending if outcome in {Outcome.REUSED, Outcome.REVOKED} else None
            return Refused(outcome, reason or outcome, holder.id, parsed.generation, decision.retry_after_s, told)
        families.used(connection, holder.id, client)
        replaced: list[str] = []
        if outcome is Outcome.RENEWED and stored.last is None:
            # Its first use proves that the daemon holds it durably: what its mirror had before is over.
            replaced = self._end(connection, families.replaced_by(connection, holder), client, REPLACED)
        account = accounts.by_id(connection, holder.account)
        username = account.username if account else ""
        return replace(
            self._pair(connection, Stored(holder, after, client), username, outcome, now), replaced=replaced
        )

    def _decided(
        self,
        connection: apsw.Connection,
        stored: Stored,
        presented: Presented,
        proofs_sent: tuple[Proof, KeyProof | None],
        now: float,
    ) -> Decision:
        holder, family, policy = stored.holder, stored.family, self._policies[stored.holder.kind]
        proof, key = proofs_sent
        if holder.kind != DAEMON:
            return rotate(family, presented, proof, now, policy)
        its_key = presented.authentic and key is not None and key.jkt == holder.jkt
        proven = its_key and key is not None and proofs.spend(connection, key, now)
        decision = enrolment.renew(family, presented, proven=proven, now=now, policy=policy)
        if decision.outcome is Outcome.RENEWED:
            if wait_s := self._renewals.wait_s(holder.id):
                return Decision(Outcome.BUSY, family, wait_s)
            self._renewals.count(holder.id)
        return decision

    def _presented(self, stored: Stored, parsed: RefreshToken) -> Presented:
        mac = self._keys.refresh_mac(stored.holder.key, parsed.family, parsed.generation)
        return Presented(parsed.generation, hmac.compare_digest(mac, parsed.mac))

    def _pair(
        self, connection: apsw.Connection, stored: Stored, username: str, outcome: Outcome | None, now: float
    ) -> Issued:
        """The family's newest refresh token, and (but for a delegation) a fresh access token."""
        holder, family = stored.holder, stored.family
        mac = self._keys.refresh_mac(holder.key, holder.id, family.generation)
        lives_s = self._policies[holder.kind].access_ttl_s * (
            1 - _SHORTENED * self._chance.random()
        )  # spreads a fleet's renewals
        expires_at = min(now + lives_s, family.absolute_expires_at)
        access = None
        if holder.kind != DELEGATION:
            access = Secret(ACCESS_PREFIX + secrets.token_urlsafe(32))
            tokens.remember(connection, access.reveal(), holder.id, family.generation, expires_at)
        refresh = Secret(RefreshToken(holder.id, family.generation, mac).text())
        return Issued(outcome, stored, username, access, expires_at, refresh, now)

    def _end(
        self,
        connection: apsw.Connection,
        gone: Sequence[str],
        client: ClientName,
        reason: str,
        *,
        generation: int | None = None,
        by: str | None = None,
    ) -> list[str]:
        """Those of `gone` that were alive; none is any more. `by` (their own user when None) did it."""
        ended, now = [], time.time()
        for family in gone:
            stored = families.load(connection, family)
            if stored is None:
                continue
            account = accounts.by_id(connection, stored.holder.account)
            ending = Ending(reason, now, by or (account.username if account else None), client.host)
            if families.end(connection, family, ending):
                ended.append(family)
                audit.record(
                    connection,
                    "revoked",
                    now=now,
                    client=client,
                    account=stored.holder.account,
                    family=family,
                    generation=generation or stored.family.generation,
                    reason=reason,
                )
        return ended

    async def _end_and_tell(self, work: _EndsSome, reason: str) -> int:
        """How many families `work` ended; whoever waits for their end has heard of it."""

        async def end_and_tell() -> int:
            if ended := await self._database.write(work):
                self._bearer.ended(ended, reason)
            return len(ended)

        return await _whatever_happens(end_and_tell())


def _reason(outcome: Outcome, ended: str | None) -> str | None:
    """The audit's reason, where the event alone does not say it."""
    match outcome:
        case Outcome.ROTATED | Outcome.RENEWED:
            return None
        case Outcome.AHEAD:
            return "the client held a newer token than the server remembered"
        case Outcome.SUPERSEDED:
            return "superseded"
        case Outcome.BUSY:
            return "rate_limited"
        case Outcome.REUSED | Outcome.REVOKED:
            return ended
        case _:
            return str(outcome)


async def _whatever_happens(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on to its end even if whoever asked goes away: a commit must be told."""
    return await asyncio.shield(asyncio.create_task(work))
