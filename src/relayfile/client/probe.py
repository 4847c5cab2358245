"""One look at a server's address: does relayfile answer there, what time does it have, and if not, why not.

Unlike `login.probe` it is asked about a server that was good before, so a failure is a finding and no error.
"""

import email.utils
from dataclasses import dataclass
from typing import Final

import msgspec

from relayfile.client.answers import json_object
from relayfile.client.carrier import Carrier, MaybeSentError, NotSentError, Received
from relayfile.client.origin import Origin
from relayfile.core.causes import Kind
from relayfile.core.schedule import Limits
from relayfile.credentials.clock import Clock
from relayfile.wire.auth import ServerMetadata

WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Reached:
    """A relayfile server answers. `version` None: one that knows v1 only, and does not say more.

    `clock_ahead_s`: how far this machine's clock is ahead of its; None: not told.
    """

    version: str | None
    clock_ahead_s: float | None


@dataclass(frozen=True, slots=True)
class NotReached:
    """None does, and why."""

    kind: Kind
    cause: str


def look(api_url: str, clock: Clock) -> Reached | NotReached:
    """What answers at `api_url`, after one request without a token."""
    origin = Origin.parse(api_url)
    carrier = Carrier("cli", clock, Limits())
    try:
        received = carrier.send(
            origin,
            "GET",
            "/.well-known/oauth-authorization-server",
            {},
            None,
            clock.boottime() + WITHIN_S,
        )
    except NotSentError as error:
        return NotReached(error.kind, str(error))
    except MaybeSentError as error:
        return NotReached(Kind.UNREACHABLE, str(error))
    status = received.answer.status
    if status in {429, 500, 502, 503, 504}:
        return NotReached(Kind.SERVER, f"{origin.netloc} answers HTTP {status}")
    if status == 404 and json_object(received.answer) is not None:
        return Reached(None, _ahead_s(received))
    try:
        version = msgspec.json.decode(received.answer.body, type=ServerMetadata).relayfile_version
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NotReached(Kind.WRONG_SERVICE, f"{origin.netloc} answers HTTP {status}")
    return Reached(version, _ahead_s(received))


def _ahead_s(received: Received) -> float | None:
    """This machine's clock when the server wrote its date, less that date (which names a whole second)."""
    try:
        date = email.utils.parsedate_to_datetime(received.answer.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
    half_way = received.sent_wall + (received.received_s - received.sent_s) / 2
    return half_way - (date + 0.5)
