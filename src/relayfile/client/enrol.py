"""Getting and renewing a daemon credential: token exchange (RFC 8693) with proofs of a key (RFC 9449, R11).

As with every renewal only the `error` word of a JSON body ends anything (I9), and here two words never do: a wanted
nonce is answered at once, and a proof that was not believed is trouble that may pass.
"""

import random
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import msgspec

from relayfile.client.answers import json_object, retry_after_s
from relayfile.client.carrier import FORM, Carrier, MaybeSentError, NotSentError, Received, repeated
from relayfile.client.dpop import Key
from relayfile.client.exchange import OAUTH_PATH, TokenExchange, oauth_grant, open_session, outcome_of
from relayfile.client.origin import Origin
from relayfile.core import schedule
from relayfile.core.daemon_credential import Enrolled, Given, NotOffered
from relayfile.core.session import Answer, Ended, Renewed, Unanswered
from relayfile.credentials.clock import Clock, SystemClock
from relayfile.credentials.daemon import DaemonLogin
from relayfile.credentials.daemon_file import DaemonFile
from relayfile.credentials.home import Home
from relayfile.credentials.own import OwnCredential, Purpose
from relayfile.errors import UsageError
from relayfile.model import Secret
from relayfile.wire.auth import (
    CLIENT_ID,
    DPOP_ALGORITHM,
    GRANT_EXCHANGE,
    GRANT_REFRESH,
    TYPE_ACCESS,
    TYPE_REFRESH,
    USE_DPOP_NONCE,
    TokenAnswer,
)
from relayfile.wire.credentials import seconds
from relayfile.wire.daemon_credential import Offer

PROOF_HEADER: Final = "DPoP"
NONCE_HEADER: Final = "dpop-nonce"
_ROLE: Final = "daemon"
_METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
_CHANCE: Final = random.SystemRandom().random


class DaemonEnroller:
    """How a daemon speaks to the token endpoint for itself. For one thread at a time."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        chance: Callable[[], float] = _CHANCE,
        limits: schedule.Limits | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._chance = chance
        self._limits = limits or schedule.Limits()
        self._carrier = Carrier(_ROLE, self._clock, self._limits)
        self._shared = TokenExchange(_ROLE, clock=self._clock, chance=chance, limits=self._limits)
        self._nonce: str | None = None

    def new_key(self) -> Secret:
        """A new private key, as it is kept."""
        return Key.new().pem()

    def thumbprint(self, key: Secret) -> str:
        """The name of a key.

        Raises:
            Damaged: it is none.
        """
        return Key.parse(key).thumbprint

    def enrol(self, api_url: str, key: Secret, subject: Secret, workspace: str, mirror: str) -> Enrolled:
        """What the server answered when the sign-in with the access token `subject` vouched for this key.

        One attempt: whoever asks has another login to live on meanwhile. A lost answer leaves a credential at the
        server that nobody can use, and that ends by itself.
        """
        form = {
            "grant_type": GRANT_EXCHANGE,
            "client_id": CLIENT_ID,
            "subject_token": subject.reveal(),
            "subject_token_type": TYPE_ACCESS,
            "requested_token_type": TYPE_REFRESH,
            "workspace": workspace,
            "mirror": mirror,
        }
        until = self._clock.boottime() + self._limits.holder_s
        try:
            origin = Origin.parse(api_url)
            offered = self._offered(origin, until)
            if offered is not None:
                return offered
            received = self._proven(origin, Key.parse(key), form, until)
        except UsageError as error:
            return Unanswered(error.message, maybe_sent=False)
        except NotSentError as error:
            return Unanswered(str(error), maybe_sent=False)
        except MaybeSentError as error:
            return Unanswered(str(error), maybe_sent=True)
        answer = outcome_of(received, oauth_grant)
        if isinstance(answer, Renewed):
            return Given(answer, _ends_at(received)) if answer.grant.family else NotOffered()
        return answer if isinstance(answer, Ended) else _refused(received, answer)

    def renew(self, api_url: str, key: Secret, refresh_token: Secret) -> Answer:
        """What became of presenting the refresh token with a proof of the key.

        Once: repeating it is harmless, the refresh token does not rotate.
        """
        form = {"grant_type": GRANT_REFRESH, "client_id": CLIENT_ID, "refresh_token": refresh_token.reveal()}
        try:
            origin = Origin.parse(api_url)
        except UsageError as error:
            return Unanswered(error.message, maybe_sent=False)
        mine = Key.parse(key)

        def attempt(until: float) -> Answer:
            try:
                return outcome_of(self._proven(origin, mine, form, until), oauth_grant)
            except NotSentError as error:
                return Unanswered(str(error), maybe_sent=False)
            except MaybeSentError as error:
                return Unanswered(str(error), maybe_sent=True)

        return repeated(attempt, self._clock, self._chance, self._limits, lambda: False)

    def revoke(self, api_url: str, refresh_token: Secret, reason: str) -> bool:
        """Whether the server was told that this credential is over. One attempt."""
        return self._shared.revoke(api_url, refresh_token, reason)

    # --------------------------------------------------------------------------------------------------

    def _offered(self, origin: Origin, until: float) -> NotOffered | Unanswered | None:
        """None when the server says that it gives credentials to daemons that prove a key of our kind."""
        answer = self._carrier.send(origin, "GET", _METADATA_PATH, {}, None, until).answer
        if answer.status == 404 and json_object(answer) is not None:
            return NotOffered()
        try:
            offer = msgspec.json.decode(answer.body, type=Offer) if answer.status == 200 else None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            offer = None
        if offer is None:
            cause = f"HTTP {answer.status}" if answer.status != 200 else "something that is not relayfile answered"
            return Unanswered(cause, maybe_sent=False, retry_after_s=retry_after_s(answer), status=answer.status)
        both = (
            GRANT_EXCHANGE in offer.grant_types_supported
            and DPOP_ALGORITHM in offer.dpop_signing_alg_values_supported
        )
        return None if both else NotOffered()

    def _proven(self, origin: Origin, key: Key, form: dict[str, str], until: float) -> Received:
        """The answer to `form` with a proof; the first time, or when its nonce was too old, with the one it names."""
        received = self._sent(origin, key, form, until)
        told = json_object(received.answer) if received.answer.status in {400, 401} else None
        if told is not None and told.get("error") == USE_DPOP_NONCE and self._nonce is not None:
            received = self._sent(origin, key, form, until)
        return received

    def _sent(self, origin: Origin, key: Key, form: dict[str, str], until: float) -> Received:
        proof = key.proof("POST", origin.url + OAUTH_PATH, at=self._clock.wall(), nonce=self._nonce)
        headers = {**FORM, PROOF_HEADER: proof}
        received = self._carrier.send(origin, "POST", OAUTH_PATH, headers, urlencode(form), until)
        nonce = received.answer.headers.get(NONCE_HEADER)
        if nonce:
            self._nonce = nonce
        return received


def _refused(received: Received, answer: Unanswered) -> Enrolled:
    """A refusal that says why, when it is one: the request was understood and will not be granted as it is."""
    told = json_object(received.answer)
    error = None if told is None else told.get("error")
    if not isinstance(error, str) or received.answer.status not in {400, 401, 403}:
        return answer
    reason, description = (told.get(name) if told else None for name in ("error_reason", "error_description"))
    return Ended(
        error[:60],
        reason[:60] if isinstance(reason, str) else None,
        description[:200] if isinstance(description, str) else None,
    )


def _ends_at(received: Received) -> float | None:
    try:
        return seconds(msgspec.json.decode(received.answer.body, type=TokenAnswer).absolute_expires_at)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def open_daemon_login(
    home: Home, purpose: Purpose, profile: str, *, notice: Callable[[str], None] | None = None
) -> DaemonLogin:
    """The login of the daemon of one mirror; `notice` is told what was mended, and that it enrolled."""
    shared = open_session(home, profile, _ROLE, notice=notice, server=purpose.api_url)
    return DaemonLogin(DaemonFile(home.mirror(purpose.mirror)), shared, DaemonEnroller(), purpose)


def give_up(home: Home, purpose: Purpose) -> None:
    """The mirror has no credential of its own any more: its person chose the shared sign-in."""
    kept = DaemonFile(home.mirror(purpose.mirror))
    if kept.exists():
        OwnCredential(kept, DaemonEnroller(), purpose, SystemClock(), _CHANCE).give_up()
