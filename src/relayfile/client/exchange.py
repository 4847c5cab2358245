"""The renewal request: standard library, synchronous, with its own budgeted retries (R15).

It runs in the one thread that holds the lock of the credential file, and is the only place where a refresh token
leaves the process. An answer ends a login only by a JSON `error` word (I9); everything else keeps token and nonce.
"""

import email.utils
import random
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import msgspec

from relayfile.client.answers import Answer, json_object, retry_after_s
from relayfile.client.carrier import FORM, JSON, Carrier, MaybeSentError, NotSentError, Received, repeated
from relayfile.client.origin import Origin
from relayfile.core import schedule
from relayfile.core.causes import Kind
from relayfile.core.session import ENDING_ERRORS, Ended, Renewed, Role, Unanswered
from relayfile.core.session import Answer as Outcome
from relayfile.credentials import durable
from relayfile.credentials.clock import Clock, SystemClock
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.home import Home
from relayfile.credentials.profiles import named
from relayfile.credentials.session import Session
from relayfile.errors import UsageError
from relayfile.model import Grant, Secret
from relayfile.wire.auth import CLIENT_ID, GRANT_REFRESH, ServerMetadata, TokenAnswer
from relayfile.wire.credentials import seconds

OAUTH_PATH: Final = "/oauth/token"
V1_PATH: Final = "/api/v1/auth/token/refresh"
NO_SUCH_DOOR: Final = frozenset({404, 405})
_CHANCE: Final = random.SystemRandom().random


class TokenExchange:
    """How this process presents refresh tokens. `role` is what the server's audit log calls it."""

    def __init__(
        self,
        role: str,
        *,
        clock: Clock | None = None,
        chance: Callable[[], float] = _CHANCE,
        limits: schedule.Limits | None = None,
        reach: durable.Reach = durable.no_reach,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._chance = chance
        self._limits = limits or schedule.Limits()
        self._carrier = Carrier(role, self._clock, self._limits)
        self._reach = reach
        self._speaks_oauth: dict[str, bool] = {}

    def renew(self, grant: Grant, nonce: Secret, stop: Callable[[], bool]) -> Outcome:
        """What became of presenting the refresh token, after at most four attempts within the holder's budget.

        Once: by the nonce, which is the same in each attempt and in every later call for this token.
        """
        try:
            origin = Origin.parse(grant.api_url)
        except UsageError as error:
            return Unanswered(error.message, maybe_sent=False)
        if grant.generation is not None:
            # Only the OAuth door tells generations: this very token came from there, so nobody needs to ask for it.
            self._speaks_oauth.setdefault(origin.url, True)
        return repeated(
            lambda until: self._attempt(origin, grant, nonce, until),
            self._clock,
            self._chance,
            self._limits,
            stop,
        )

    def revoke(self, api_url: str, refresh_token: Secret, reason: str) -> bool:
        """Whether the server was told that this login is over (RFC 7009), and why. One attempt."""
        form = {
            "token": refresh_token.reveal(),
            "token_type_hint": "refresh_token",
            "client_id": CLIENT_ID,
            "reason": reason,
        }
        try:
            received = self._carrier.send(
                Origin.parse(api_url), "POST", "/oauth/revoke", FORM, urlencode(form), self._clock.boottime() + 5.0
            )
        except (NotSentError, MaybeSentError, UsageError):
            return False
        return received.answer.status == 200

    # ---------------------------------------------------------------------------------- one attempt

    def _attempt(self, origin: Origin, grant: Grant, nonce: Secret, until: float) -> Outcome:
        presented = False
        try:
            while True:
                oauth = self._oauth(origin, until)
                if isinstance(oauth, Unanswered):
                    return oauth
                again, presented = presented, True
                received = self._presented(origin, grant, nonce, until, oauth=oauth)
                if received.answer.status not in NO_SUCH_DOOR or again:
                    return outcome_of(received, oauth_grant if oauth else _v1_grant)
                # The door is gone: the server is asked what it speaks now.
                del self._speaks_oauth[origin.url]
        except NotSentError as error:
            return Unanswered(str(error), maybe_sent=False, kind=error.kind)
        except MaybeSentError as error:
            kind = Kind.LOST if presented else Kind.UNREACHABLE
            return Unanswered(str(error), maybe_sent=presented, kind=kind)

    def _presented(self, origin: Origin, grant: Grant, nonce: Secret, until: float, *, oauth: bool) -> Received:
        """The answer of one door to the refresh token; of v1's, which takes no nonce, where there is no other."""
        token = grant.refresh_token.reveal() if grant.refresh_token else ""
        if not oauth:
            body = msgspec.json.encode({"refreshToken": token}).decode()
            return self._carrier.send(origin, "POST", V1_PATH, JSON, body, until, self._reach)
        form = {
            "grant_type": GRANT_REFRESH,
            "client_id": CLIENT_ID,
            "refresh_token": token,
            "refresh_nonce": nonce.reveal(),
        }
        return self._carrier.send(origin, "POST", OAUTH_PATH, FORM, urlencode(form), until, self._reach)

    def _oauth(self, origin: Origin, until: float) -> bool | Unanswered:
        """Whether the server has the OAuth door; a server of v1 only answers its metadata with 404.

        Asked once, and again when a door is gone. The question carries no token, so that no refresh token is
        presented to a route that the server was never known to have.
        """
        if (known := self._speaks_oauth.get(origin.url)) is not None:
            return known
        received = self._carrier.send(origin, "GET", "/.well-known/oauth-authorization-server", {}, None, until)
        answer = received.answer
        if answer.status == 200:
            try:
                msgspec.json.decode(answer.body, type=ServerMetadata)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                what = "something that is not relayfile answered"
                return Unanswered(what, maybe_sent=False, status=200, kind=Kind.WRONG_SERVICE)
            self._speaks_oauth[origin.url] = True
        elif answer.status == 404 and json_object(answer) is not None:
            self._speaks_oauth[origin.url] = False
        else:
            return Unanswered(
                f"HTTP {answer.status}",
                maybe_sent=False,
                retry_after_s=retry_after_s(answer),
                status=answer.status,
                kind=_kind_of(answer),
            )
        return self._speaks_oauth[origin.url]


def outcome_of(received: Received, grant: Callable[[Received], tuple[Grant, str | None]]) -> Outcome:
    """What an answer to a presented refresh token means: only JSON is believed, and of a refusal only its `error`."""
    answer = received.answer
    if answer.status == 200:
        try:
            given, scope = grant(received)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Unanswered(
                "an answer that cannot be understood", maybe_sent=True, status=200, kind=_kind_of(answer)
            )
        return Renewed(given, scope, received.sent_s, received.received_s, _server_date(answer))
    body = json_object(answer) or {}
    error = body.get("error")
    if isinstance(error, str) and error in ENDING_ERRORS:
        by, host = _word(body, "ended_by"), _word(body, "ended_from")
        return Ended(
            error,
            _word(body, "error_reason"),
            _word(body, "error_description"),
            _word(body, "request_id"),
            f"{by} from {host}" if by and host else by,
        )
    cause = f"HTTP {answer.status}" + (f" {error[:60]}" if isinstance(error, str) else "")
    # These a proxy may have made after the server had rotated; 503 and 429 are said before anything is done.
    maybe_sent = answer.status in {500, 502, 504}
    return Unanswered(cause, maybe_sent, retry_after_s(answer), answer.status, _kind_of(answer))


def _kind_of(answer: Answer) -> Kind:
    """Whether a server that could not, or something else, gave an answer that does not help."""
    return Kind.WRONG_SERVICE if json_object(answer) is None and answer.status < 500 else Kind.SERVER


def oauth_grant(received: Received) -> tuple[Grant, str | None]:
    """The grant and the scope of a token answer.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: it is no token answer.
    """
    told = msgspec.json.decode(received.answer.body, type=TokenAnswer)
    return grant_of(told, received.sent_wall), told.scope


def grant_of(told: TokenAnswer, issued_at: float) -> Grant:
    """The grant that a token answer gives; its times count from `issued_at`, just before it was asked for."""
    return Grant(
        api_url=told.api_url,
        access_token=Secret(told.access_token),
        access_expires_at=issued_at + told.expires_in,
        refresh_token=Secret(told.refresh_token),
        refresh_expires_at=issued_at + told.refresh_token_expires_in,
        issued_at=issued_at,
        family=told.family,
        generation=told.generation,
        account=told.username or told.account,
        absolute_expires_at=seconds(told.absolute_expires_at),
    )


class _V1Answer(msgspec.Struct, rename="camel"):
    """As `wire.auth.V1Grant`, with what the v1 client itself treats as optional."""

    access_token: str
    refresh_token: str
    access_token_expires_at: str
    refresh_token_expires_at: str | None = None
    api_url: str = ""


def _v1_grant(received: Received) -> tuple[Grant, str | None]:
    told = msgspec.json.decode(received.answer.body, type=_V1Answer)
    end = seconds(told.access_token_expires_at)
    grant = Grant(
        api_url=told.api_url,
        access_token=Secret(told.access_token),
        access_expires_at=None if end is None else _on_our_clock(end, received),
        refresh_token=Secret(told.refresh_token),
        refresh_expires_at=seconds(told.refresh_token_expires_at),
        issued_at=received.sent_wall,
    )
    return grant, None


def _on_our_clock(moment: float, received: Received) -> float:
    """When a moment of the server's clock comes on ours, or a little before.

    Its `Date` tells whole seconds, and servers write it once a second: it is up to two behind. Clocks that may agree
    are taken to agree, since a short life taken for two seconds longer would be used after its end.
    """
    told = _server_seconds(received.answer)
    if told is None:
        return moment
    received_wall = received.sent_wall + (received.received_s - received.sent_s)
    ahead_least, ahead_most = told - received_wall, told + 2.0 - received.sent_wall
    return moment if ahead_least <= 0.0 <= ahead_most else moment - ahead_most


def _server_seconds(answer: Answer) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


def _server_date(answer: Answer) -> str | None:
    at = _server_seconds(answer)
    return None if at is None else f"{at:.0f}"


def _word(body: dict[str, object], name: str) -> str | None:
    value = body.get(name)
    return value[:200] if isinstance(value, str) and value else None


def open_session(
    home: Home,
    profile: str,
    role: str,
    *,
    notice: Callable[[str], None] | None = None,
    server: str | None = None,
    limits: schedule.Limits | None = None,
) -> Session:
    """The login of a profile. `role` is `daemon`, which renews early, or `cli`; `notice` is told what was mended.

    `server` is where it should be, for those who must sign in again.
    """
    file = CredentialFile(home.credentials(profile), home.stash_places, notice=notice)
    renews: Role = "owner" if role == "daemon" else "other"
    return Session(file, TokenExchange(role), renews, limits=limits, profile=named(profile), server=server)
