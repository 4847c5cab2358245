"""What a mirror's base is worth when the log it was agreed on was put back from a backup (R24).

The server then goes on from an older state under a new epoch, and a mirror holds versions that it lost. Positions are
handed out once, so a version of the log that was is told from one written since by its position alone.
"""

from relayfile.model import Cursor, Version


def put_back(before: Cursor, epoch: str, head: int) -> bool:
    """Whether the log that is read from 0 now lost what a mirror that stood at `before` had observed.

    A reader's epoch is that of the log, and the name of its view behind a dot.
    """
    if not before.epoch:  # nothing was ever observed
        return False
    return before.epoch.partition(".")[0] != epoch.partition(".")[0] or head < before.position


def base(base: Version, remote: Version | None, *, held: bool, before: int, known: int) -> Version | None:
    """The base of a path from now on; `held`: a file lies at it here.

    `before` is how far the log that was had been observed, `known` the last position of it that the log of now is
    known to hold: a base up to there is no loss, and what differs from it was changed there since. A base behind it
    may be lost. If what lies on the server now is older, the base grew from it, and the file here is an edit of
    that. If it was written since, or is gone, the file here and it have nothing in common: neither is overwritten
    or deleted. A deletion of what was lost is no deletion of what is there.
    """
    if base.revision <= known:
        return base
    return remote if held and remote is not None and remote.revision <= before else None
