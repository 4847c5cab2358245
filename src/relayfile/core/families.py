"""The server's rotation decision: what one presented refresh token means for its credential family.

A family is one sign-in. Its refresh tokens are numbered generations, of which only the newest would advance it.
A client names each attempt by a nonce that it wrote down before it asked, so that a lost answer can be repeated
and a stolen token cannot pass for a lost answer (4-sessions A, C; R1, R2, R5 to R7, R12, R13). No token, key or MAC
is known here: the caller says whether the token's proof held.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

REMEMBERED: Final = 64
REMEMBERED_S: Final = 900.0
MAX_REPLAYS: Final = 50
REPLAY_PAUSE_S: Final = 5.0
ROTATIONS_A_MINUTE: Final = 10
ROTATIONS_A_LIFETIME: Final = 4

LATE_COPIES: Final = 4
LOST: Final = b"lost"
"""In place of a nonce digest that went with a lost commit: that generation gets no pair and ends nothing."""

REUSE: Final = "reuse_detected"


class Outcome(StrEnum):
    """What a presentation was. Those in ANSWERED answer a pair; only REUSED ends the family.

    RENEWED and UNPROVEN are of daemon credentials alone (`core/enrolment`).
    """

    ROTATED = "rotated"
    AHEAD = "ahead"
    RETRY = "retry"
    LEGACY_RACE = "legacy_race"
    SUPERSEDED = "superseded"
    REUSED = "reused"
    REVOKED = "revoked"
    EXPIRED = "expired"
    UNISSUED = "unissued"
    MALFORMED = "malformed"
    BUSY = "busy"
    RENEWED = "renewed"
    UNPROVEN = "unproven"


ANSWERED: Final = frozenset({Outcome.ROTATED, Outcome.AHEAD, Outcome.RETRY, Outcome.LEGACY_RACE, Outcome.RENEWED})
"""The outcomes after which the client gets the family's newest refresh token and a fresh access token."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long things last. Until `restored_until` clients may be ahead of a database that came from a backup."""

    overlap_s: float
    access_ttl_s: float
    refresh_ttl_s: float
    absolute_ttl_s: float
    restored_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Consumed:
    """A generation exchanged for its successor at `at`, by a request with this nonce digest (empty: none)."""

    generation: int
    at: float
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Family:
    """One sign-in as the server knows it. `consumed` is in order of time, the newest last."""

    generation: int
    begun_at: float
    renewed_at: float
    expires_at: float
    absolute_expires_at: float
    old_clients: bool
    ended: str | None = None
    replays: int = 0
    consumed: tuple[Consumed, ...] = ()


@dataclass(frozen=True, slots=True)
class Presented:
    """A refresh token of this family as it came in. `authentic`: its MAC is the family's own."""

    generation: int
    authentic: bool = True


@dataclass(frozen=True, slots=True)
class Proof:
    """What came with it: the digest of the attempt's nonce (empty: none sent); possession of the family's key."""

    nonce: bytes = b""
    same_key: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What it was, and the family as it must be stored now. `retry_after_s` counts for BUSY alone."""

    outcome: Outcome
    family: Family
    retry_after_s: float = 0.0


def begin(policy: Policy, now: float, *, old_clients: bool) -> Family:
    """A family at generation 1, issued now. `old_clients`: it was begun through a v1 door (R2)."""
    absolute = now + policy.absolute_ttl_s
    return Family(1, now, now, min(now + policy.refresh_ttl_s, absolute), absolute, old_clients)


def rotate(family: Family, presented: Presented, proof: Proof, now: float, policy: Policy) -> Decision:
    """What presenting this token means, and what becomes of the family.

    Once: repeating the same attempt (same generation, same nonce) is answered with the same successor until that
    successor has itself been used.
    Source: R1, R2; 4-sessions C.2; invariant S9.
    """
    if not presented.authentic:
        return Decision(Outcome.MALFORMED, family)
    if family.ended is not None:
        return Decision(Outcome.REVOKED, family)
    if now >= family.expires_at:
        return Decision(Outcome.EXPIRED, family)
    step = presented.generation - family.generation
    if step == 0:
        wait_s = _too_soon_s(family, now, policy)
        if wait_s > 0:
            return Decision(Outcome.BUSY, family, wait_s)
        return Decision(Outcome.ROTATED, _advanced(family, presented.generation, proof, now, policy))
    if step > 0:
        # Only we could have signed it, so we lost commits: one after a failover, any number after a restore.
        if step == 1 or now < policy.restored_until:
            caught_up = _caught_up(family, presented.generation, now)
            return Decision(Outcome.AHEAD, _advanced(caught_up, presented.generation, proof, now, policy))
        return Decision(Outcome.UNISSUED, family)
    return _consumed(family, presented.generation, proof, now, policy)


def may_end(family: Family, presented: Presented) -> bool:
    """May whoever holds this token sign the family out? In a flagged family a consumed token ends nothing (R2)."""
    return presented.authentic and (not family.old_clients or presented.generation >= family.generation)


def _consumed(family: Family, generation: int, proof: Proof, now: float, policy: Policy) -> Decision:
    """The token was exchanged before: a repeat, a benign race, an old client, or a thief."""
    spent = next((each for each in family.consumed if each.generation == generation), None)
    repeated = spent is not None and proof.nonce != b"" and proof.nonce == spent.nonce
    if repeated or proof.same_key:
        if generation < family.generation - 1:
            return Decision(Outcome.SUPERSEDED, family)  # a late copy: what it asked for was answered and used
        if family.replays >= MAX_REPLAYS:
            return Decision(Outcome.BUSY, family, REPLAY_PAUSE_S)
        return Decision(Outcome.RETRY, replace(family, replays=family.replays + 1))
    if spent is not None and now < spent.at + policy.overlap_s and not (proof.nonce and spent.nonce):
        return Decision(Outcome.LEGACY_RACE if family.old_clients else Outcome.SUPERSEDED, family)
    if family.old_clients or (spent is not None and spent.nonce == LOST):
        return Decision(Outcome.SUPERSEDED, family)
    return Decision(Outcome.REUSED, replace(family, ended=REUSE))


def _caught_up(family: Family, generation: int, now: float) -> Family:
    """The family with the commits that were lost before `generation`: they were consumed, by which nonce is lost too.

    A copy of such a request may still be on its way, and it is one of the last few.
    """
    first = max(family.generation, generation - LATE_COPIES)
    lost = tuple(Consumed(each, now, LOST) for each in range(first, generation))
    return replace(family, consumed=(*family.consumed, *lost))


def _advanced(family: Family, consumed: int, proof: Proof, now: float, policy: Policy) -> Family:
    """The family after `consumed` was exchanged for the generation that follows it."""
    horizon = now - max(policy.overlap_s, REMEMBERED_S)
    # Counted from when its successor was consumed: until then a repeat of it may be under way, however old it is.
    passed_at = [*(each.at for each in family.consumed[1:]), now]
    kept = tuple(each for each, at in zip(family.consumed, passed_at, strict=False) if at > horizon)[1 - REMEMBERED :]
    return replace(
        family,
        generation=consumed + 1,
        renewed_at=now,
        expires_at=min(now + policy.refresh_ttl_s, family.absolute_expires_at),
        replays=0,
        consumed=(*kept, Consumed(consumed, now, proof.nonce)),
    )


def _too_soon_s(family: Family, now: float, policy: Policy) -> float:
    """How long this family must wait to rotate: its rate is max(10 a minute, 4 an access lifetime) (R6)."""
    waits = []
    for limit, window_s in ((ROTATIONS_A_MINUTE, 60.0), (ROTATIONS_A_LIFETIME, policy.access_ttl_s)):
        if len(family.consumed) < limit:
            return 0.0
        waits.append(family.consumed[-limit].at + window_s - now)
    return min(waits)
