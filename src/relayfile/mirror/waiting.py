"""Whoever waits for something of a running mirror: the first observation, what is now on both sides, an arrival."""

import asyncio
from collections.abc import AsyncIterator

from relayfile.errors import Halted, NotFound, Unavailable
from relayfile.mirror.awaited import Awaited
from relayfile.mirror.board import Board
from relayfile.mirror.cycle import Ticket
from relayfile.mirror.inbox import Due, Inbox
from relayfile.mirror.picture import Picture, Progress
from relayfile.mirror.ports import Ports


class Waiting:
    """Leaves in the engine's inbox what is waited for, and looks at what the engine posts until it is so.

    All methods belong to the event loop's thread.
    """

    def __init__(self, ports: Ports, board: Board, inbox: Inbox, due: Due, wake: asyncio.Event) -> None:
        self._ports = ports
        self._board = board
        self._inbox = inbox
        self._due = due
        self._wake = wake

    async def first_observed(self) -> None:
        """Returns once this mirror has ever observed the whole workspace (at once on a mirror that resumes).

        Raises:
            Halted: the workspace is gone, or not for this sign-in.
        """
        while True:
            report = self._board.report
            if report is not None and report.stream.observed_once:
                return
            self._board.check(None)
            await self._board.news()

    async def current(self, deadline_s: float, ticket: Ticket | None = None) -> AsyncIterator[Progress]:
        """Progress until the head and the local edits as of now are on both sides; then it ends.

        With a `ticket` of its own whoever waits can ask for a proof.

        Raises:
            Unavailable: `deadline_s` passed first; or code `paths_refused`: all that is left was tried, and refused.
            LoginRequired: the login died.
            Halted: a person must decide first, or it is paused.
        """
        clock = self._ports.clock
        began_s = clock.monotonic()
        ticket = ticket or Ticket()
        ticket.since_s = began_s
        self._inbox.tickets.append(ticket)
        self._inbox.sweep = True
        if self._due.refused_s is not None:
            self._due.refused_s = began_s  # whoever waits wants it tried now
        self._wake.set()
        try:
            while True:
                self._board.check_not_paused()
                picture = self._picture()
                if ticket.settled and ticket.head is not None and picture.applied >= ticket.head:
                    return
                self._board.check(self._ports.login())
                if ticket.reached(picture.observed) and (cause := self._board.refused()):
                    raise Unavailable(cause.sentence, code=cause.code, hint="see `relayfile status`")
                if clock.monotonic() - began_s >= deadline_s:
                    raise Unavailable(
                        f"not caught up in time: at evt_{picture.applied} of evt_{picture.head}, "
                        f"{picture.pending_edits} local edits on their way",
                        code="deadline_passed",
                        hint="it goes on in the background; see `relayfile status`",
                    )
                yield picture.progress
                await self._board.news()
        finally:
            self._inbox.tickets.remove(ticket)

    async def arrival(self, awaited: Awaited, deadline_s: float) -> AsyncIterator[Progress]:
        """Progress until what is awaited is on this disk; then it ends.

        Raises:
            NotFound: the path was deleted since that revision, or never had it.
            Halted: this mirror does not keep the path, or a person must decide first.
            Unavailable: `deadline_s` passed first.
            LoginRequired: the login died.
        """
        clock, path = self._ports.clock, awaited.path
        until_s = clock.monotonic() + deadline_s
        self._inbox.awaited.append(awaited)
        self._wake.set()
        try:
            while awaited.standing != "here":
                if awaited.standing == "asked" and not self._board.failing:
                    await self._board.news()
                    continue
                picture = self._picture()
                if path is not None and awaited.standing == "gone":
                    raise NotFound(
                        f"nothing lies at {path.wire}, deleted after rev_{awaited.position} or never written",
                        code="path_gone",
                    )
                if path is not None and awaited.standing == "left_out":
                    raise Halted(f"{path.wire} is not kept in this mirror: {awaited.reason}", code="not_kept")
                self._board.check(self._ports.login())
                self._board.check_not_paused()
                if clock.monotonic() >= until_s:
                    why = f": {awaited.reason}" if awaited.reason else ""
                    raise Unavailable(
                        f"not here in time{why}; the mirror is at evt_{picture.applied} of evt_{picture.head}",
                        code="deadline_passed",
                        hint="it goes on in the background; see `relayfile status`",
                    )
                yield picture.progress
                if awaited.standing in {"asked", "coming"}:
                    await self._board.news()
        finally:
            self._inbox.awaited.remove(awaited)

    def _picture(self) -> Picture:
        return self._board.picture(self._ports.login())
