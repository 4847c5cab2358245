"""What a daemon does about a credential of its own: use, renew or ask for one, or live on the shared sign-in. Pure.

`step_with` decides while there is a credential that the server has not refused, `step_without` when there is none.
So the shared sign-in is not even looked at while the daemon's own credential lives (R10).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from relayfile.core import schedule
from relayfile.core.session import ENDING_ERRORS, Answer, Ended, Life, Renewed, Unanswered, Urgency

AGAIN_SPAN: Final = (60 / 90, 75 / 90)
WARN_S: Final = 14 * 86_400.0
WARN_SHARE: Final = 14 / 90
NOT_OFFERED_PAUSE_S: Final = 3600.0
FIRST_PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 600.0


class SignIn(Enum):
    """What the shared sign-in is worth to a daemon that has no credential."""

    NONE = "there is none that could be used"
    SPENT = "it is the one beside which the server refused the credential"
    ELSEWHERE = "it is of another server"
    UNREADABLE = "its file must be mended first"
    USABLE = "it can vouch for the daemon"


class Step(Enum):
    """What the daemon does next."""

    USE = "use the access token it has"
    RENEW = "present its refresh token, with a proof of its key"
    REPLACE = "ask for a new credential, and if there is none renew the one it has"
    DISTRUST = "say that the server refuses tokens it has just issued"
    ENROL = "ask for a credential"
    SHARE = "live on the shared sign-in"
    PARK = "wait for a person to sign in"


@dataclass(frozen=True, slots=True)
class Given:
    """The server gave a credential, good until `ends_at` at the most."""

    renewed: Renewed
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class NotOffered:
    """This server has no credentials for daemons."""


Enrolled = Given | NotOffered | Ended | Unanswered


def step_with(worth: Urgency, *, again: bool, disputed: bool = False, fresh_after_dispute: bool = False) -> Step:
    """The step while the credential lives. `again`: the time to ask for its successor has come.

    `disputed`: the server refused the very access token it has; `fresh_after_dispute`: that one was itself the answer
    to such a refusal, a moment ago.
    """
    if worth is Urgency.FINE and not disputed:
        return Step.USE
    if disputed and fresh_after_dispute:
        return Step.DISTRUST
    return Step.REPLACE if again else Step.RENEW


def step_without(sign_in: SignIn, *, paused: bool) -> Step:
    """The step without a living credential. `paused`: one was asked for in vain, and it is too early to ask again."""
    if sign_in is SignIn.USABLE:
        return Step.SHARE if paused else Step.ENROL
    return Step.SHARE if sign_in is SignIn.UNREADABLE else Step.PARK


def sign_in_after_refusal(*, expired: bool, same: bool) -> SignIn:
    """What a usable sign-in at the right server is worth after a refusal. `same`: it was there at that moment.

    Whoever revokes a credential does not want it back by itself, so only the next sign-in brings it back. One that
    merely ran out nobody decided against.
    """
    return SignIn.SPENT if same and not expired else SignIn.USABLE


def doubts_the_sign_in(answer: Ended) -> bool:
    """Whether an enrolment was refused for the access token that vouched, which may be mended by renewing that."""
    return answer.error in ENDING_ERRORS or (answer.reason or "").startswith("token_")


def fresh(life: Life) -> bool:
    """Whether an access token is younger than any renewal of it would be (R5)."""
    return (life.age_s or 0.0) < schedule.OWNER_SPAN[0] * (life.lifetime_s or 0.0)


def again_at(enrolled_at: float, ends_at: float | None, chance: float) -> float | None:
    """When to ask for a successor: between day 60 and 75 of 90, drawn once (R10); None: no end is known."""
    if ends_at is None or ends_at <= enrolled_at:
        return None
    low, high = AGAIN_SPAN
    return enrolled_at + (low + (high - low) * chance) * (ends_at - enrolled_at)


def ends_soon(enrolled_at: float, ends_at: float | None, now: float) -> bool:
    """Whether people are told that it ends: the last 14 days of 90."""
    return ends_at is not None and ends_at - now <= min(WARN_S, WARN_SHARE * (ends_at - enrolled_at))


def pause_s(answer: Enrolled | None, tries: int) -> float:
    """How long to wait before a credential is asked for again. None: what failed was on this machine."""
    if isinstance(answer, NotOffered):
        return NOT_OFFERED_PAUSE_S
    wait_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries - 1, 16))
    if isinstance(answer, Unanswered) and answer.retry_after_s is not None:
        wait_s = max(wait_s, min(answer.retry_after_s, schedule.RETRY_AFTER_CAP_S))
    return wait_s


def continues(answer: Answer, *, family: str, scope: str | None) -> bool:
    """Whether an answer continues this credential: of its family, with a refresh token, no wider than it was (R9).

    The generation says nothing here: the refresh token does not rotate.
    """
    if not isinstance(answer, Renewed) or not answer.grant.refresh_token:
        return False
    if answer.grant.family not in {None, family}:
        return False
    return scope is None or answer.scope is None or set(answer.scope.split()) <= set(scope.split())
