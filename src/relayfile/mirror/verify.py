"""`relayfile verify`: equality recomputed in place of believed. Compares only what was asked or read anew."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from relayfile.errors import Halted
from relayfile.mirror.cycle import Cycle, Ticket
from relayfile.mirror.engine import Engine
from relayfile.mirror.picture import Progress
from relayfile.model import TreePath, Version
from relayfile.wire import control

MOST_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A path at which the disk and the server do not hold the same. None: nothing there."""

    path: TreePath
    why: str
    local: Version | None
    remote: Version | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `equal_to` is the position at which both sums were equal, None if they never were.

    `count` is that of all differences, of which `differences` lists as many as can be. `files` and `size_bytes` were
    read again, `mended` files are the server's again, `drifted`: the mirror's own sum was wrong, and was put right.
    """

    equal_to: int | None
    differences: list[Difference]
    count: int
    files: int | None
    size_bytes: int
    mended: int
    drifted: bool
    not_kept: int
    halted: Halted | None


async def verify(engine: Engine, deadline_s: float, *, deep: bool, mend: bool) -> AsyncIterator[Progress | Verdict]:
    """Progress, and last the verdict.

    Raises:
        Unavailable, LoginRequired: as `Waiting.current`. What was found until then is in the rows.
        Halted: the root was replaced while it was read.
    """
    audit = await engine.between(Cycle.audit) if deep else None
    if audit is not None:
        with suppress(Halted):  # what halts is told at the end; what lies here can be read all the same
            async for done in engine.waiting.current(deadline_s):  # so that what is known to be edited is no rot
                yield done
        while await engine.between(lambda _: audit.piece()):
            yield audit.progress
    mended = await engine.between(Cycle.mend) if mend else 0
    ticket, halted = Ticket(prove=True), None
    try:
        async for done in engine.waiting.current(deadline_s, ticket):
            yield done
    except Halted as error:
        halted = error
    count, rows = await engine.between(lambda cycle: cycle.differing(MOST_LISTED))
    differences = [Difference(one.path, why, one.local, one.remote) for one, why in rows]
    if audit is not None:
        trees = await engine.between(lambda cycle: cycle.trees(audit.unread))
        differences += [Difference(one.path, audit.unread[one.path], None, one.remote) for one in trees]
        count += audit.unread_count
    yield Verdict(
        ticket.proven,
        differences[:MOST_LISTED],
        count,
        None if audit is None else audit.files,
        0 if audit is None else audit.size_bytes,
        mended,
        ticket.drifted,
        engine.picture().not_kept_count,
        halted,
    )


def ended(verdict: Verdict) -> control.Verdict:
    """The last line of a verification."""
    equal = verdict.halted is None and not verdict.count
    return control.Verdict(
        exit=0 if equal else Halted.exit_code,
        message=_message(verdict),
        equal_to=verdict.equal_to if equal else None,
        files_read=verdict.files,
        bytes_read=verdict.size_bytes,
        mended=verdict.mended,
        sum_mended=verdict.drifted,
        differences=[
            control.Difference(
                path=one.path.wire,
                why=one.why,
                disk=control.version(one.local),
                server=control.version(one.remote),
            )
            for one in verdict.differences
        ],
        differences_count=verdict.count,
    )


def _message(verdict: Verdict) -> str:
    if verdict.halted is not None:
        said = verdict.halted.message
    elif verdict.count:
        said = f"{_plural(verdict.count, 'path differs', 'paths differ')} from evt_{verdict.equal_to}"
    else:
        said = f"equal to evt_{verdict.equal_to}"
    if verdict.not_kept:
        said += f" ({_plural(verdict.not_kept, 'path', 'paths')} not kept here)"
    if verdict.files is not None:
        said += f"; {_plural(verdict.files, 'file', 'files')} read again"
    if verdict.mended:
        said += f"; {_plural(verdict.mended, 'file', 'files')} taken back from the server"
    if verdict.drifted:
        said += "; the sum that the mirror keeps was wrong, and was put right"
    return said


def _plural(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
