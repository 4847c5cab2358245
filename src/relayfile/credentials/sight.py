"""A credential file as one process last saw it: read again only when it, or a verdict on it, has changed. No lock."""

from collections.abc import Callable

from relayfile.core import schedule
from relayfile.core import session as core
from relayfile.credentials.clock import Clock
from relayfile.credentials.file import CredentialFile, Signature
from relayfile.errors import Damaged
from relayfile.wire.credentials import Content, Ending, Pair, fingerprint


class Sight:
    """What a role sees in a file. Threads may share it: what is kept is replaced whole, and may be read twice."""

    def __init__(self, file: CredentialFile, role: core.Role, clock: Clock, chance: Callable[[], float]) -> None:
        self._file = file
        self._role: core.Role = role
        self._clock = clock
        self._chance = chance
        self._seen: tuple[Signature, Content, Ending | None] | None = None
        self._torn: tuple[Signature, Damaged] | None = None
        self._point = ("", 0.0)

    def look(self) -> tuple[Content, Ending | None]:
        """The file, and any verdict on its refresh token.

        Raises:
            Damaged: it is no credential file.
            Misconfigured: it cannot be used.
        """
        signature = self._file.signature()
        if self._torn is not None and self._torn[0] == signature:
            # It was looked at for 100 ms and nobody has touched it since.
            raise self._torn[1]
        seen = self._seen
        if seen is None or seen[0] != signature:
            try:
                content = self._file.read(self._clock)
            except Damaged as error:
                self._torn = (self._file.signature(), error)
                raise
            # Taken before the reading: a change during it is seen at the next look.
            seen = self._seen = (signature, content, self._ending_of(content.pair))
        return seen[1], seen[2]

    def worth(self, min_ttl_s: float = 0.0) -> tuple[Pair | None, core.Urgency]:
        """The pair of the file, if it may be used at all, and how much it wants renewal.

        Raises:
            Misconfigured: the file cannot be used.
        """
        try:
            content, ending = self.look()
        except Damaged:
            # The holder of the lock may be able to put something back.
            return None, core.Urgency.MANDATORY
        if content.pair is None or ending is not None:
            return None, core.Urgency.MANDATORY
        return content.pair, self.urgency(content.pair, min_ttl_s)

    def urgency(self, pair: Pair, min_ttl_s: float = 0.0) -> core.Urgency:
        """How much this pair wants renewal by this role, now."""
        return core.urgency(self.life(pair), self._role, self._point_of(pair), min_ttl_s)

    def due_in_s(self, pair: Pair) -> float | None:
        """In how long this role renews this pair; None: no end of it is known."""
        return core.due_in_s(self.life(pair), self._role, self._point_of(pair))

    def life(self, pair: Pair) -> core.Life:
        """How old this pair is now, and how much of it is left."""
        return core.life(pair, self._clock.boot_id, self._clock.boottime(), self._clock.wall())

    def fingerprint(self) -> str:
        """The name of the refresh token that was last seen; empty for none."""
        seen = self._seen
        return fingerprint(seen[1].pair.grant.refresh_token) if seen is not None and seen[1].pair else ""

    def _point_of(self, pair: Pair) -> float:
        """The owner's share for this pair, drawn once a generation."""
        name = pair.grant.access_token.reveal()
        if self._point[0] != name:
            self._point = (name, schedule.owner_point(self._chance()))
        return self._point[1]

    def _ending_of(self, pair: Pair | None) -> Ending | None:
        if pair is None:
            return None
        fp = fingerprint(pair.grant.refresh_token)
        return next((one for one in self._file.journal.endings().verdicts if one.rt_fp == fp), None)
