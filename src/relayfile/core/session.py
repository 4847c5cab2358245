"""The client's sign-in state machine: what a login is worth, and the one next step of a renewal. Pure.

`urgency` says whether a token should be renewed, `next_step` what the holder of the lock does with what it read
there, `after_answer` what an answer of the server means, and the table at the end how people read the state.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Final, Literal, TypeAlias

from relayfile.core import schedule
from relayfile.model import Grant
from relayfile.wire.control import timestamp
from relayfile.wire.credentials import Pair

Role: TypeAlias = Literal["owner", "other"]

ENDING_ERRORS: Final = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
"""The only words of a parsed JSON body that end a session (I9)."""

DAMAGED: Final = "credentials_damaged"
"""The code of a credential file that is none: a sign-in mends it, if its history cannot."""

PROFILE_OF_UP: Final = "local"
"""The profile of the server that `relayfile up` runs: it signs in there without a prompt (R16, R45)."""


class Phase(StrEnum):
    """Where a login stands (4-sessions B.5)."""

    NO_SESSION = "no-session"
    VALID = "valid"
    DUE = "due"
    AMBIGUOUS = "ambiguous"
    PERSIST_FAILED = "persist-failed"
    DEGRADED = "degraded"
    AUTH_BUSY = "auth-busy"
    AUTH_FAILED = "auth-failed"
    CLIENT_REJECTED = "client-rejected"
    CONFIG_ERROR = "config-error"
    LOGGED_OUT = "logged-out"


PARKED: Final = frozenset({Phase.NO_SESSION, Phase.AUTH_FAILED, Phase.CLIENT_REJECTED, Phase.LOGGED_OUT})
"""The phases in which nothing goes over the network until the credential file changes."""


class Urgency(Enum):
    """How much a token wants to be renewed."""

    FINE = 0
    ADVISABLE = 1
    MANDATORY = 2


@dataclass(frozen=True, slots=True)
class Life:
    """An access token in time. `age_s` counts from the receipt of its answer, `left_s` to its end at the earliest.

    `lifetime_s` is as issued; None is unknown (a foreign writer did not say). `left_s` None: no end is known.
    """

    age_s: float | None
    lifetime_s: float | None
    left_s: float | None
    refresh_left_s: float | None = None
    refresh_life_s: float | None = None


def life(pair: Pair, boot_id: str, boottime_s: float, wall_s: float) -> Life:
    """How old `pair` is and how much of it is left.

    By the clock nobody sets, if this boot's clock saw its answer; otherwise by the clock people set, as good as that
    is. The age begins with the receipt and the end is counted from the sending: between them the server began to
    count, so a renewal is never too early (R5) and a use never too late.
    """
    grant, got = pair.grant, pair.obtained
    end, began = grant.refresh_expires_at, grant.issued_at
    refresh_left = None if end is None else end - wall_s
    refresh_life = None if end is None or began is None else end - began
    if (
        got is not None
        and got.lifetime is not None
        and boot_id
        and got.boot == boot_id
        and boottime_s >= got.received
    ):
        left = got.lifetime - (boottime_s - got.sent)
        return Life(boottime_s - got.received, got.lifetime, left, refresh_left, refresh_life)
    if grant.access_expires_at is None:
        return Life(None, None, None, refresh_left, refresh_life)
    left = grant.access_expires_at - wall_s
    lifetime = None if began is None else grant.access_expires_at - began
    if lifetime is None or lifetime <= 0:
        return Life(None, None, left, refresh_left, refresh_life)
    # A clock set back must not make a token older than new, nor one set forward give it more than its life.
    left = min(left, lifetime)
    return Life(lifetime - left, lifetime, left, refresh_left, refresh_life)


def urgency(life: Life, role: Role, point: float, min_ttl_s: float = 0.0) -> Urgency:
    """Whether this token should be renewed now, by this role; `point` is the owner's share of the life (B.4).

    However much time a caller asks for, a token is never called worn before 65 % of its life (R5): otherwise one
    caller with a large wish would renew at every call.
    """
    if life.left_s is None:
        return Urgency.FINE
    lifetime = life.lifetime_s
    if lifetime is None or lifetime <= 0:
        if life.left_s <= 30.0:
            return Urgency.MANDATORY
        return Urgency.ADVISABLE if life.left_s <= 60.0 else Urgency.FINE
    earliest = schedule.OWNER_SPAN[0]
    wish_s = min(min_ttl_s, (1.0 - earliest) * lifetime)
    if life.left_s <= max(schedule.mandatory_left_s(lifetime), wish_s):
        return Urgency.MANDATORY
    share = 1.0 - life.left_s / lifetime if life.age_s is None else life.age_s / lifetime
    at = point if role == "owner" else schedule.ADVISORY_AT
    if _refresh_token_worn(life):
        at = earliest
    return Urgency.ADVISABLE if share >= at else Urgency.FINE


def due_in_s(life: Life, role: Role, point: float) -> float | None:
    """In how long `urgency` stops being FINE; None when nothing is known of its end."""
    if life.left_s is None:
        return None
    if life.lifetime_s is None or life.age_s is None or life.lifetime_s <= 0:
        return max(0.0, life.left_s - 60.0)
    at = point if role == "owner" else schedule.ADVISORY_AT
    if _refresh_token_worn(life):
        at = schedule.OWNER_SPAN[0]
    by_end = life.left_s - schedule.mandatory_left_s(life.lifetime_s)
    return max(0.0, min(at * life.lifetime_s - life.age_s, by_end))


def _refresh_token_worn(life: Life) -> bool:
    if life.refresh_left_s is None or life.refresh_life_s is None:
        return False
    return life.refresh_left_s <= schedule.refresh_window_s(life.refresh_life_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything the holder of the lock read, as far as it decides.

    `torn`: the file is there but is no credential file. `consumed`: its refresh token was already exchanged, as the
    history tells. `ended` is the `error` word of a verdict on it, `tombstoned` a logout of its family. `stashed`:
    a successor for it lies in a stash. `restorable`: the newest pair of the history may be put back (R9).
    `disputed`: the caller's own token was rejected by the server and is still the one in the file. `over`: with the
    word that the sign-in behind it has ended, so that presenting can only bring the verdict.
    """

    present: bool
    torn: bool = False
    has_refresh_token: bool = True
    consumed: bool = False
    ended: str | None = None
    tombstoned: bool = False
    stashed: bool = False
    restorable: bool = False
    worth: Urgency = Urgency.FINE
    disputed: bool = False
    fresh_after_dispute: bool = False
    over: bool = False
    paused_s: float = 0.0


class Step(Enum):
    """What the holder of the lock does next."""

    ADOPT = "use the access token of the file"
    PUT_BACK = "put the newest pair of the history back"
    COMMIT_STASH = "put the stashed successor into the file"
    PRESENT = "present the refresh token"
    NOT_SIGNED_IN = "say that there is no login"
    ENDED = "say that the login has ended"
    DAMAGED = "say that the file cannot be read"
    DISTRUST = "say that the server rejects tokens it has just issued"
    PAUSE = "keep the pause the server asked for"


def next_step(seen: Seen) -> Step:  # noqa: C901 - a ladder, read from the top
    """The one next step. A refresh token is presented only when nothing else can be done (I1, I5, R9)."""
    if not seen.present:
        return Step.NOT_SIGNED_IN
    if seen.torn:
        return Step.PUT_BACK if seen.restorable else Step.DAMAGED
    if seen.tombstoned:
        return Step.NOT_SIGNED_IN
    if seen.stashed:
        return Step.COMMIT_STASH
    if seen.consumed and seen.restorable:
        return Step.PUT_BACK
    if seen.ended is not None:
        return Step.ENDED
    if seen.worth is Urgency.FINE and not seen.disputed:
        return Step.ADOPT
    if seen.consumed or not seen.has_refresh_token:
        return Step.ENDED
    if seen.disputed and seen.fresh_after_dispute and not seen.over:
        return Step.DISTRUST
    if seen.paused_s > 0:
        return Step.PAUSE
    return Step.PRESENT


@dataclass(frozen=True, slots=True)
class Renewed:
    """The server gave a successor. `sent_s` and `received_s` are boot-time seconds around the answered attempt."""

    grant: Grant
    scope: str | None
    sent_s: float
    received_s: float
    server_date: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The server said, in a JSON body with one of `ENDING_ERRORS`, that this refresh token is over.

    `by` is whose hand ended it, and from where, in people's words; None: nobody's, or it was not told.
    """

    error: str
    reason: str | None = None
    message: str | None = None
    request_id: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No usable answer. `maybe_sent`: the server may have rotated; only the same request may follow.

    `kind` says for programs what `cause` says for people (`core/causes`).
    """

    cause: str
    maybe_sent: bool
    retry_after_s: float | None = None
    status: int | None = None
    kind: str = ""


Answer: TypeAlias = Renewed | Ended | Unanswered


class Verdict(Enum):
    """What an answer is worth."""

    COMMIT = "make it durable, then use it"
    END = "remember the verdict, look for a foreign writer, then ask for a sign-in"
    WAIT = "keep token and nonce; try again later"


def after_answer(answer: Answer, *, family: str | None, generation: int | None, scope: str | None) -> Verdict:
    """What to do with `answer`, given what is known of the pair that was presented (R9).

    A successor without a refresh token, of another family, of no greater generation or of wider scope is not
    believed; it is as if the answer had been lost, so the same request is repeated later.
    """
    if isinstance(answer, Ended):
        return Verdict.END if answer.error in ENDING_ERRORS else Verdict.WAIT
    if isinstance(answer, Unanswered) or not answer.grant.refresh_token:
        return Verdict.WAIT
    new = answer.grant
    if family is not None and new.family is not None and new.family != family:
        return Verdict.WAIT
    if generation is not None and new.generation is not None and new.generation <= generation:
        return Verdict.WAIT
    if scope is not None and answer.scope is not None and not set(answer.scope.split()) <= set(scope.split()):
        return Verdict.WAIT
    return Verdict.COMMIT


@dataclass(frozen=True, slots=True)
class Own:
    """A daemon credential, for people: since when, by whom, until when at the most. Times are unix seconds."""

    enrolled_at: float
    by: str | None = None
    ends_at: float | None = None
    ends_soon: bool = False


@dataclass(frozen=True, slots=True)
class LoginState:
    """One picture of a login, for `status` and for whoever must wait for it. Times are unix seconds.

    `family` and `rt_fp` are names, not secrets. `since` is when the phase began, `next_attempt_s` from now.
    `holder` is the process that holds the lock, when it was asked for. `own` is set for a daemon's own credential;
    `note` says why a daemon that should have one lives on the shared sign-in. `token_file` is set where a
    machine token stands in for a sign-in. `hint` is what mends the very trouble that `code` names.
    """

    phase: Phase
    api_url: str | None = None
    account: str | None = None
    family: str | None = None
    generation: int | None = None
    rt_fp: str | None = None
    access_left_s: float | None = None
    refresh_expires_at: float | None = None
    absolute_expires_at: float | None = None
    code: str | None = None
    reason: str | None = None
    by: str | None = None
    since: float | None = None
    next_attempt_s: float | None = None
    failures: int = 0
    holder: int | None = None
    clock_skew_s: float | None = None
    path: str | None = None
    profile: str | None = None
    own: Own | None = None
    note: str | None = None
    token_file: str | None = None
    hint: str | None = None


_TEXTS: Final = {
    Phase.NO_SESSION: "not signed in",
    Phase.VALID: "signed in",
    Phase.DUE: "signed in, renewal due",
    Phase.AMBIGUOUS: "outcome of a renewal unknown, will be repeated safely",
    Phase.PERSIST_FAILED: "cannot save the renewed login",
    Phase.DEGRADED: "renewal does not get through",
    Phase.AUTH_BUSY: "another process has been renewing for long",
    Phase.AUTH_FAILED: "auth-failed: needs re-login",
    Phase.CLIENT_REJECTED: "this client is not accepted",
    Phase.CONFIG_ERROR: "this machine must be mended",
    Phase.LOGGED_OUT: "signed out",
}


def parked(state: LoginState) -> bool:
    """Whether nothing goes over the network until the credential file changes."""
    return state.phase in PARKED


def ran_out(state: LoginState, now: float) -> bool:
    """Whether access token and refresh token are both past their end, by a clock that may be off: nothing is left."""
    ends_at, left_s = state.refresh_expires_at, state.access_left_s
    return ends_at is not None and ends_at <= now and left_s is not None and left_s <= 0


def how_to_sign_in(api_url: str | None, profile: str | None = None) -> str:
    """What a person does for a usable login at this server. `profile` None is the one that need not be named."""
    if profile == PROFILE_OF_UP:
        return "run `relayfile up`"
    named = f" --profile {profile}" if profile else ""
    return f"run `relayfile login {api_url or 'URL'}{named}`"


def remedy(state: LoginState) -> str | None:
    """The command or act that mends the state; None when nothing need be done."""
    if state.token_file is not None:
        mends = f"put another token into {state.token_file}: `relayfile token create` makes one"
        return mends if state.phase in {Phase.AUTH_FAILED, Phase.CONFIG_ERROR} else None
    if state.phase in {Phase.NO_SESSION, Phase.AUTH_FAILED, Phase.LOGGED_OUT} or state.code == DAMAGED:
        return how_to_sign_in(state.api_url, state.profile)
    if state.phase is Phase.CLIENT_REJECTED:
        return "upgrade relayfile"
    if state.phase in {Phase.CONFIG_ERROR, Phase.PERSIST_FAILED}:
        return state.hint or "mend it, or move RELAYFILE_HOME to a local disk"
    return None


def sentence(state: LoginState) -> str:
    """The state in one line, without what to do about it."""
    line = _TEXTS[state.phase] if state.own is None else _own(state.phase, state.own)
    if state.token_file is not None:
        line = f"machine token of {state.token_file}" + (f": {line}" if state.phase is not Phase.VALID else "")
    if state.reason:
        line += f" ({state.reason} by {state.by})" if state.by else f" ({state.reason})"
    if state.phase is Phase.VALID and state.own is None and state.access_left_s is not None:
        line += f", access token good for {max(0, round(state.access_left_s))} s"
    if state.phase is Phase.DEGRADED and state.next_attempt_s is not None:
        line += f", {state.failures} failures, next attempt in {max(0, round(state.next_attempt_s))} s"
    if state.clock_skew_s is not None and abs(state.clock_skew_s) > 120:
        line += f", clock off by {round(state.clock_skew_s)} s"
    return f"{line}; on the shared sign-in: {state.note}" if state.note else line


def _own(phase: Phase, own: Own) -> str:
    """As people know it: whose it is while it is good, what is wrong with it when it is not."""
    if phase not in {Phase.VALID, Phase.DUE}:
        return f"own credential: {_TEXTS[phase]}"
    line = f"own credential, enrolled {_day(own.enrolled_at)}"
    if own.by:
        line += f" by {own.by}"
    line += ", key in a 0600 file"
    if own.ends_soon and own.ends_at is not None:
        line += f", ends {_day(own.ends_at)} unless somebody signs in before"
    return line


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def text(state: LoginState) -> str:
    """The state in one line and the command that mends it, as `status` shows it."""
    mend = remedy(state)
    return f"{sentence(state)} · {mend}" if mend else sentence(state)


def as_fields(state: LoginState) -> dict[str, object]:
    """The state for programs (4-sessions B.6), without a secret in it. Moments are RFC 3339, lengths seconds."""
    return {
        "state": state.phase.value,
        "text": text(state),
        "server": state.api_url,
        "account": state.account,
        "family": state.family[:8] if state.family else None,
        "generation": state.generation,
        "rt_fp": state.rt_fp[:8] if state.rt_fp else None,
        "at_expires_in": round(state.access_left_s, 1) if state.access_left_s is not None else None,
        "rt_expires_at": timestamp(state.refresh_expires_at),
        "code": state.code,
        "reason": state.reason,
        "by": state.by,
        "since": timestamp(state.since),
        "next_attempt_in": round(state.next_attempt_s, 1) if state.next_attempt_s is not None else None,
        "failures": state.failures,
        "holder": state.holder,
        "clock_skew": state.clock_skew_s,
        "credential": "token" if state.token_file else "shared" if state.own is None else "own",
        "enrolled_at": timestamp(state.own.enrolled_at) if state.own else None,
        "enrolled_by": state.own.by if state.own else None,
        "ends_at": timestamp(state.own.ends_at if state.own else state.absolute_expires_at),
        "note": state.note,
        "store": state.path,
        "hint": remedy(state),
    }
