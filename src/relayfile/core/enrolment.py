"""Daemon credentials: what one may hold, and what presenting its refresh token means (R10, R11; 4-sessions C.5).

A daemon credential is a credential family whose refresh token stays the same as long as it lives. It may, because it
is worth nothing without the key that it was enrolled with: each renewal must prove that key. So a race, a lost answer
or a copy of the file costs nothing, and there is no reuse to detect.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from relayfile.core.families import Decision, Family, Outcome, Policy, Presented
from relayfile.core.scopes import ACCOUNT, ACTIONS, Scopes

ACCESS_TTL_S: Final = 900.0
REFRESH_TTL_S: Final = 30 * 86_400.0
ABSOLUTE_TTL_S: Final = 90 * 86_400.0

SLOT_S: Final = 300.0
"""A server's nonce names one slot of this length; it is good in its slot and the next (R11)."""


def policy_of(people: Policy) -> Policy:
    """How long things of a daemon credential last (R7): never longer than those of the people who enrol them."""
    return replace(
        people,
        access_ttl_s=min(ACCESS_TTL_S, people.access_ttl_s),
        refresh_ttl_s=min(REFRESH_TTL_S, people.refresh_ttl_s),
        absolute_ttl_s=min(ABSOLUTE_TTL_S, people.absolute_ttl_s),
    )


def renew(family: Family, presented: Presented, *, proven: bool, now: float, policy: Policy) -> Decision:
    """What presenting this refresh token means. `proven`: with a fresh proof of the family's own key.

    Whoever has no such proof learns nothing and ends nothing: a stolen token does not harm its owner.
    """
    if not presented.authentic:
        return Decision(Outcome.MALFORMED, family)
    if not proven:
        return Decision(Outcome.UNPROVEN, family)
    if family.ended is not None:
        return Decision(Outcome.REVOKED, family)
    if now >= family.expires_at:
        return Decision(Outcome.EXPIRED, family)
    if presented.generation != family.generation:
        return Decision(Outcome.UNISSUED, family)
    expires_at = min(now + policy.refresh_ttl_s, family.absolute_expires_at)
    return Decision(Outcome.RENEWED, replace(family, renewed_at=now, expires_at=expires_at))


def scopes_of(subject: Iterable[str], wanted: Iterable[str], workspace: str) -> Scopes | None:
    """What a daemon of `workspace` gets from a sign-in with these words: all that counts there, or what is wanted.

    None when more is wanted than the sign-in has, or nothing is left. Managing the account is never part of it.
    """
    files = frozenset(ACTIONS) - {ACCOUNT}
    mine = Scopes.parse(subject, workspace=workspace)
    words = list(wanted)
    asked = Scopes.parse(words, workspace=workspace) if words else mine.only(files)
    fits = bool(asked.grants) and ACCOUNT not in asked.grants and asked.within(mine)
    return asked if fits else None


def slot(now: float) -> int:
    """The number of the nonce slot that `now` lies in."""
    return int(now // SLOT_S)


def good_slots(now: float) -> tuple[int, int]:
    """The slots whose nonce is accepted now: the current one and the one before."""
    return slot(now), slot(now) - 1


def forgotten_at(of: int) -> float:
    """When no nonce of slot `of` is accepted any more, so that its proofs need not be remembered."""
    return (of + 2) * SLOT_S
