"""A workspace that was put back from a backup: what lies here and was lost there is an edit again (R24).

The rows of base that the log no longer knows are corrected while the log is read from 0, before anything is decided
about their paths. Which, is `core.restored`.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import apsw

from relayfile.core import restored
from relayfile.mirror.past import Decision, Past
from relayfile.mirror.trees import Agreement, TreeRows
from relayfile.model import Change, Cursor, Put, TreePath

_CHUNK: Final = 512


class Restored:
    """What was known of the log before the open generation, and what follows from it.

    All of it belongs in the transaction that observes. Once the log is known to be another, it stays so until the
    generation has ended, however far it goes on meanwhile.
    """

    def __init__(self, connection: apsw.Connection, trees: TreeRows, past: Past) -> None:
        self._db = connection
        self._trees = trees
        self._past = past

    def compare(self, epoch: str, head: int, changes: Sequence[Change], now_s: float) -> None:
        """The paths of these changes, just observed in the open generation, have a base that the log knows of."""
        if (lost := self._lost(epoch, head)) is None:
            return
        before, known = lost
        old = [one.position for one in changes if isinstance(one, Put) and one.position <= before]
        known = max([known, *old])
        self._db.execute("UPDATE mirror SET known = ?", (known,))
        self._correct((change.path for change in changes), before, known, now_s)

    def compare_unseen(self, epoch: str, head: int, generation: int, now_s: float) -> None:
        """So have those that the generation, which ends, did not see: what only the lost log had is not gone."""
        if (lost := self._lost(epoch, head)) is None:
            return
        before, known = lost
        unseen = self._db.execute(
            "SELECT path FROM node WHERE r_generation < ? AND b_revision > ? AND b_digest IS NOT NULL",
            (generation, known),
        ).fetchall()
        self._correct((TreePath(path) for (path,) in unseen), before, known, now_s, gone=True)

    def _lost(self, epoch: str, head: int) -> tuple[int, int] | None:
        """How far the log that was had been observed, and how far it is known to be held still; None: it goes on."""
        before_epoch, before, known = self._db.execute("SELECT before_epoch, before, known FROM mirror").get
        if known is None and not restored.put_back(Cursor(before_epoch, before), epoch, head):
            return None
        return before, known or 0

    def _correct(
        self, paths: Iterator[TreePath], before: int, known: int, now_s: float, *, gone: bool = False
    ) -> None:
        while chunk := list(islice(paths, _CHUNK)):
            agreed: list[Agreement] = []
            outlived: list[Decision] = []
            for node in self._trees.nodes(chunk):
                base, local = node.trees.base, node.trees.local
                remote = None if gone else node.trees.remote
                if base is None:
                    continue
                right = restored.base(base, remote, held=local is not None, before=before, known=known)
                if right == base:
                    continue
                agreed.append(Agreement(node.path, right.revision if right else 0, right))
                if local is not None and not local.same_content(remote):
                    outlived.append(Decision(node.path, "outlived", base.revision))
            self._trees.record(agreed, (), now_s)
            self._past.note(outlived, now_s)
