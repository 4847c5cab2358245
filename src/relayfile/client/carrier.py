"""One request at a time to a token endpoint, on a connection of its own, that says whether it may have arrived.

A lost answer of a token endpoint is unlike any other: the server may have acted. So the carrier tells "it did not
leave" from "it may have arrived", and when on which clock; what may follow is for its callers to say (R15).
"""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relayfile import __version__
from relayfile.client.answers import Answer
from relayfile.client.origin import Origin, trouble_of
from relayfile.core import schedule
from relayfile.core.causes import Kind
from relayfile.core.session import Answer as Outcome
from relayfile.core.session import Unanswered
from relayfile.credentials import durable
from relayfile.credentials.clock import Clock
from relayfile.wire.auth import user_agent

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
JSON: Final = {"Content-Type": "application/json"}
_MAX_ANSWER_BYTES: Final = 262_144


class NotSentError(Exception):
    """The request did not leave: what it would have presented is untouched. `kind` says what was in its way."""

    def __init__(self, message: str, kind: Kind = Kind.UNREACHABLE) -> None:
        super().__init__(message)
        self.kind = kind


class MaybeSentError(Exception):
    """The request may have arrived: only the same one may follow."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, and when on both clocks its request left and it came."""

    answer: Answer
    sent_s: float
    sent_wall: float
    received_s: float


class Carrier:
    """How this process reaches token endpoints. `role` is what the server's audit log calls it."""

    def __init__(self, role: str, clock: Clock, limits: schedule.Limits) -> None:
        self._agent = user_agent(__version__, role)
        self._clock = clock
        self._limits = limits

    def send(  # noqa: PLR0917 - what a request consists of
        self,
        origin: Origin,
        method: str,
        path: str,
        headers: dict[str, str],
        body: str | None,
        until: float,
        reach: durable.Reach = durable.no_reach,
    ) -> Received:
        """The answer. Each wait ends with the budget, whatever its own limit.

        Raises:
            NotSentError: no connection came about.
            MaybeSentError: it broke after the request had begun to leave.
        """
        left_s = until - self._clock.boottime()
        if left_s <= 0:
            raise NotSentError("the time for renewing ran out")
        connection = origin.connection(min(self._limits.connect_s, left_s))
        try:
            try:
                connection.connect()
            except OSError as error:
                why = error.strerror or "timed out"
                raise NotSentError(f"{origin.netloc} cannot be reached: {why}", trouble_of(error)) from error
            connection.sock.settimeout(min(self._limits.read_s, max(0.1, until - self._clock.boottime())))
            sent_s, sent_wall = self._clock.boottime(), self._clock.wall()
            try:
                answer = self._round_trip(connection, origin.prefix + path, method, headers, body, reach)
            except (OSError, http.client.HTTPException) as error:
                raise MaybeSentError(f"no whole answer from {origin.netloc}: {type(error).__name__}") from error
            reach("FP8 answer read")
            return Received(answer, sent_s, sent_wall, self._clock.boottime())
        finally:
            connection.close()

    def _round_trip(  # noqa: PLR0917 - as above
        self,
        connection: http.client.HTTPConnection,
        path: str,
        method: str,
        headers: dict[str, str],
        body: str | None,
        reach: durable.Reach,
    ) -> Answer:
        raw = body.encode() if body is not None else None
        connection.putrequest(method, path, skip_accept_encoding=True)
        own = {"User-Agent": self._agent, "Accept": "application/json", "Connection": "close", **headers}
        if raw is not None:
            own["Content-Length"] = str(len(raw))
        for name, value in own.items():
            connection.putheader(name, value)
        connection.endheaders()
        if raw is not None:
            half = len(raw) // 2
            connection.send(raw[:half])
            reach("FP6 half sent")
            connection.send(raw[half:])
        reach("FP7 sent")
        response = connection.getresponse()
        body_read = response.read(_MAX_ANSWER_BYTES)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body_read)


def repeated(
    attempt: Callable[[float], Outcome],
    clock: Clock,
    chance: Callable[[], float],
    limits: schedule.Limits,
    stop: Callable[[], bool],
) -> Outcome:
    """The first answer of `attempt`, which is told until when its budget lasts; or why there was none."""
    until = clock.boottime() + limits.holder_s
    outcome = Unanswered("no attempt was made", maybe_sent=False)
    maybe_sent = False
    for number in range(1, limits.attempts + 1):
        latest = attempt(until)
        if not isinstance(latest, Unanswered):
            return latest
        maybe_sent = maybe_sent or latest.maybe_sent
        outcome = Unanswered(latest.cause, maybe_sent, latest.retry_after_s, latest.status, latest.kind)
        pause_s = schedule.attempt_pause_s(number, chance(), limits)
        if latest.retry_after_s is not None:
            pause_s = max(pause_s, latest.retry_after_s)
        if number == limits.attempts or stop() or clock.boottime() + pause_s >= until:
            break
        clock.sleep(pause_s)
    return outcome
