"""What the mirror shows of itself: the last report, as a picture with one state word and its cause (R36)."""

import asyncio
from typing import Final

from relayfile.errors import Halted, LoginRequired, RelayfileError
from relayfile.mirror.awaited import applied
from relayfile.mirror.cycle import Report
from relayfile.mirror.pace import Pace
from relayfile.mirror.picture import Cause, Picture, StateWord, Traffic
from relayfile.mirror.ports import Clock, Trouble
from relayfile.mirror.reader import Reader

_DELETIONS: Final = "run `relayfile resume --accept-deletes` to let them through, or `--restore` to undo them"

_PAUSED: Final = "nothing is placed and nothing sent, and local edits are recorded"


class Board:
    """Holds what the engine posts, and tells whoever waits that something new hangs there.

    `failure` is the last turn that failed, `gone` why the workspace cannot be reached at all; None when all is well.
    `traffic` is what was fetched so far. `paused`: a person wants nothing placed and nothing sent.
    """

    def __init__(self, clock: Clock, reader: Reader) -> None:
        self._clock = clock
        self._reader = reader
        self._news = asyncio.Event()
        self.pace = Pace(clock.monotonic())
        self.report: Report | None = None
        self.unsaved_cycles = 0
        self.failure: Cause | None = None
        self.failing = False
        self.gone: RelayfileError | None = None
        self.paused = False
        self.traffic = Traffic()

    def post(self, report: Report) -> None:
        """The report is what everyone sees now."""
        self.pace.count(report.tally, report.pending, self._clock.monotonic())
        self.report = report
        self.announce()

    def announce(self) -> None:
        """Whoever waits for news looks again."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Returns when something was posted after the call."""
        await self._news.wait()

    def check(self, login: Trouble | None) -> None:
        """Returns while it makes sense to wait.

        Raises:
            LoginRequired: the login died.
            Halted: a person must decide first, or the workspace is gone.
        """
        if login is not None:
            raise LoginRequired(login.sentence, code=login.code)
        if self.gone is not None:
            raise Halted(self.gone.message, code=self.gone.code, hint=self.gone.hint) from self.gone
        word, cause = self._word(None)
        if word in {"halted", "damaged"} and cause is not None:
            raise Halted(cause.sentence, code=cause.code)

    def check_not_paused(self) -> None:
        """Returns while the two sides are brought together.

        Raises:
            Halted: code `paused`: they are not, by a person's word.
        """
        if self.paused:
            raise Halted(f"the mirror is paused: {_PAUSED}", code="paused", hint="`relayfile resume` lets it go on")

    def refused(self) -> Cause | None:
        """Why nothing more will come for now, although not everything has: all of the rest was refused."""
        report = self.report
        if report is None or not report.pending.stuck or not report.refused:
            return None
        first, count = report.refused[0], report.pending.waiting
        others = "" if count == 1 else f" and {count - 1:,} more"
        return Cause("paths_refused", f"{first.path}: {first.reason}{others}; tried again by itself")

    def picture(self, login: Trouble | None) -> Picture:
        """The mirror as it stands."""
        report, reader = self.report, self._reader
        state, cause = self._word(login)
        if report is None:
            return Picture(
                *(state, cause),
                last_error=self.failure,
                bootstrapping=True,
                connection=reader.connection,
                paused=self.paused,
            )
        stream, pending, counters = report.stream, report.pending, report.counters
        refused: dict[str, str] = {one.path: one.reason for one in report.refused}
        left = [item for item in (*report.impossible.items(), *report.left.items()) if item[0] not in refused]
        return Picture(
            state,
            cause,
            head=max(stream.head, stream.position, reader.head),
            observed=stream.position,
            applied=applied(stream, pending),
            equal=report.equal,
            proven_at=counters.proven_at,
            pending_edits=pending.edits,
            conflicts=report.conflicts,
            not_kept=(*refused.items(), *left),
            not_kept_count=report.refused_count + len(left),
            local_names=tuple(report.elsewhere.items()),
            held_deletions=sum(halt.count for halt in report.halts.values()),
            engine_starts=counters.engine_starts,
            cycles=counters.cycles + self.unsaved_cycles,
            cycles_cancelled=counters.cycles_cancelled,
            mismatches=counters.mismatches,
            mismatched_at=counters.mismatched_at,
            progress=self.pace.progress,
            last_error=self.failure,
            bootstrapping=not stream.observed_once,
            connection=reader.connection,
            traffic=self.traffic,
            paused=self.paused,
        )

    def _word(self, login: Trouble | None) -> tuple[StateWord, Cause | None]:
        """The first word that fits, and why (R36)."""
        if (stopped := self._stopped_by(login)) is not None:
            return stopped
        if self.paused:  # before what it would otherwise be doing (docs/decisions/0009)
            return "paused", Cause("paused", f"{_PAUSED}; `relayfile resume` lets it go on")
        return self._on_its_way()

    def _stopped_by(self, login: Trouble | None) -> tuple[StateWord, Cause] | None:
        """What keeps the mirror from working, if anything does."""
        report, reader = self.report, self._reader
        if self.failing and self.failure is not None and self.failure.code == "state_damaged":
            return "damaged", self.failure
        if report is not None and report.damaged:
            text = "both sides were read again and still differ; `relayfile verify --deep` names what it finds"
            return "damaged", Cause("tree_digest_mismatch", text)
        if self.gone is not None:
            return "halted", _cause(self.gone)
        if report is not None and report.halts:
            count = sum(halt.count for halt in report.halts.values())
            return "halted", Cause("mass_deletion", f"{count} deletions wait for a decision; {_DELETIONS}")
        if login is not None:
            return login.state, Cause(login.code, login.sentence)
        if self.failing and self.failure is not None:
            return "config-error", self.failure
        if reader.connection == "offline":
            trouble = reader.trouble
            return "offline", _cause(trouble) if trouble else Cause("unavailable", "the server cannot be reached")
        return None

    def _on_its_way(self) -> tuple[StateWord, Cause | None]:
        report = self.report
        if report is None or not report.stream.observed_once:
            return "bootstrapping", None
        stream = report.stream
        behind = stream.open or stream.position < max(stream.head, self._reader.head)
        if self._reader.connection != "live" or behind or report.pending.down:
            return "catching-up", self.refused()
        if report.conflicts:
            count = report.conflicts
            lie = "copy lies beside its file" if count == 1 else "copies lie beside their files"
            text = f"{count} conflict {lie}; `relayfile conflicts` lists them, `relayfile resolve` settles one"
            return "conflict", Cause("conflict_copies", text)
        if report.pending.edits and (refused := self.refused()):
            return "pending", refused
        if report.pending.edits:
            count = report.pending.edits
            text = "1 local edit is on its way" if count == 1 else f"{count} local edits are on their way"
            return "pending", Cause("pending_edits", text)
        return "live", None


def _cause(error: RelayfileError) -> Cause:
    return Cause(error.code, f"{error.message}; {error.hint}" if error.hint else error.message)
