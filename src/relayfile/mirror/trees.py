"""The three trees in SQLite: what was observed, seen and agreed, and the work that can be read off them.

No decisions here. Each public method is one transaction, or part of the one it is called in. The sum over the local
tree (R19) is kept in the transaction of each change of a local row, whoever makes it.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from relayfile.core import digest as tree_digest
from relayfile.core import paths
from relayfile.core.merge import Trees
from relayfile.core.trash import Old, Why
from relayfile.mirror.overlaps import Overlaps
from relayfile.mirror.ports import Found, Missing
from relayfile.mirror.refusals import ROTTED, Refusal, Refusals
from relayfile.model import SYMLINK, Change, Digest, Mode, Put, Stat, TreePath, Version

UNKNOWN: Final = Stat(0, 0, 0, 0, 0, "644")
"""Something lies there, but what is not known until it is scanned (R27)."""


@dataclass(frozen=True, slots=True)
class Node:
    """One path's row: its trees, the state of the local file, and the position that last changed it remotely.

    `agreed` is the position as of which both sides agreed on base, be that a version or absence; 0: they never did.
    """

    trees: Trees
    stat: Stat | None
    revision: int
    agreed: int = 0

    @property
    def path(self) -> TreePath:
        """Which path."""
        return self.trees.path

    @property
    def on_the_server(self) -> bool:
        """Whether the server has the content that lies here, or had it."""
        return self._known is not None

    def old(self, why: Why, by: int | None = None) -> Old | None:
        """What the trash is told of the file that lies here, when it is taken."""
        local, known = self.trees.local, self._known
        if local is None:
            return None
        return Old(why, local.digest, known.revision or None if known else None, by or None)

    @property
    def _known(self) -> Version | None:
        local = self.trees.local
        sides = (self.trees.base, self.trees.remote)
        return next((one for one in sides if one and local and one.digest == local.digest), None)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Base of a path: `version`, or absent, as of `revision`."""

    path: TreePath
    revision: int
    version: Version | None


@dataclass(frozen=True, slots=True)
class LocalState:
    """What lies at a path: nothing, or a file of this content; `digest` None beside a stat: content unknown."""

    path: TreePath
    stat: Stat | None
    digest: Digest | None


_NODE = (
    "path, r_revision, r_digest, r_size, r_mode, b_revision, b_digest, b_size, b_mode,"
    " l_dev, l_ino, l_size, l_mtime_ns, l_ctime_ns, l_mode, l_digest"
)
_READY = (
    "NOT (l_ino IS NOT NULL AND l_digest IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM push WHERE push.path = node.path)"
    " AND NOT EXISTS (SELECT 1 FROM refused WHERE refused.path = node.path AND refused.side = '{side}')"
)
DOWN: Final = "r_revision IS NOT b_revision"
UP: Final = "r_revision IS b_revision AND (l_digest IS NOT b_digest OR l_mode IS NOT b_mode)"
"""The work of each direction, in exactly the words of the partial indexes that find it."""


class TreeRows:
    """The rows of `node`. Is itself what a scanner asks for what is known (`ports.Known`)."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self._refusals = Refusals(connection)
        self._overlaps = Overlaps(connection)

    # ------------------------------------------------------------------------------------------------ remote

    def observe(self, changes: Sequence[Change], generation: int, now_s: float) -> None:
        """The remote tree holds these changes; each path at most once in them.

        Once: harmless to repeat; a change older than what the row holds in this generation only renews its mark.
        """
        puts, deletes, outside = [], [], []
        for change in changes:
            if isinstance(change, Put):
                puts.append(
                    (change.path, change.position, change.digest, change.size, change.mode, generation, int(now_s))
                )
                if reason := paths.left_out(change.path):
                    outside.append(Refusal(change.path, "down", "left_out", reason, lasting=True))
            else:
                deletes.append((change.position, generation, change.path, generation, change.position))
        with self._db:
            self._db.executemany(
                "INSERT INTO node (path, r_revision, r_digest, r_size, r_mode, r_generation, born_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
                " r_revision = excluded.r_revision, r_digest = excluded.r_digest, r_size = excluded.r_size,"
                " r_mode = excluded.r_mode, r_generation = excluded.r_generation"
                " WHERE r_revision IS NULL OR r_generation < excluded.r_generation"
                " OR r_revision <= excluded.r_revision",
                puts,
            )
            self._db.executemany(
                "UPDATE node SET r_revision = ?, r_digest = NULL, r_size = NULL, r_mode = NULL, r_generation = ?"
                # also of a path that was only here: an edit of it may be on its way, and be acknowledged after this
                " WHERE path = ? AND (r_revision IS NULL OR r_generation < ? OR r_revision <= ?)",
                deletes,
            )
            self._refusals.clear([change.path for change in changes])
            self._refusals.add(outside)
            self._overlaps.review(change.path for change in changes)

    def delete_unseen(self, generation: int, position: int, acknowledged: int) -> None:
        """Remote rows not seen in `generation` are absent since `position`; whatever was refused of them is decided
        anew. Those that pushes of ours made behind it, up to `acknowledged`, are still to be seen.
        """
        unseen = "r_generation < ?1 AND r_digest IS NOT NULL AND NOT (r_revision > ?2 AND r_revision <= ?3)"
        with self._db:
            self._db.execute(
                f"DELETE FROM refused WHERE path IN (SELECT path FROM node WHERE {unseen}) AND code <> ?4",  # noqa: S608
                (generation, position, acknowledged, ROTTED),
            )
            self._db.execute(
                "UPDATE node SET r_revision = ?2, r_digest = NULL, r_size = NULL, r_mode = NULL, r_generation = ?1"  # noqa: S608
                f" WHERE {unseen}",
                (generation, position, acknowledged),
            )
            # What was sent and is acknowledged only now was written and went again before `position`.
            self._db.execute(
                "UPDATE node SET r_revision = ?2, r_generation = ?1 WHERE r_digest IS NULL"
                " AND (r_revision IS NULL OR r_revision < ?2) AND path IN (SELECT path FROM push)",
                (generation, position),
            )
            self._overlaps.review_all()

    def hide_unseen(self, generation: int) -> None:
        """Remote rows not seen in `generation` are no longer visible: local files stay, unsynced and listed (R22)."""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO refused (path, side, code, reason, lasting)"
                " SELECT path, 'up', 'view', 'no longer visible to this sign-in', 1 FROM node"
                " WHERE r_generation < ? AND r_digest IS NOT NULL AND l_ino IS NOT NULL",
                (generation,),
            )
            self._db.execute(
                "UPDATE node SET r_revision = NULL, r_digest = NULL, r_size = NULL, r_mode = NULL,"
                " b_revision = NULL, b_digest = NULL, b_size = NULL, b_mode = NULL"
                " WHERE r_generation < ? AND r_digest IS NOT NULL",
                (generation,),
            )
            self._db.execute("DELETE FROM node WHERE r_revision IS NULL AND b_revision IS NULL AND l_ino IS NULL")
            self._overlaps.review_all()

    # ------------------------------------------------------------------------------------------------- local

    def see(self, sights: Iterable[Found | Missing], now_s: float) -> set[TreePath]:
        """The local tree holds what was seen; which rows that changed. Nothing is written when none did (I7)."""
        changed: list[LocalState] = []
        edited: list[TreePath] = []
        for sight in sights:
            held = self._local(sight.path)
            if isinstance(sight, Missing):
                if held is not None and held.stat is not None:
                    changed.append(LocalState(sight.path, None, None))
                    edited.append(sight.path)
            elif held is None or held.stat != sight.stat or held.digest != sight.digest:
                changed.append(LocalState(sight.path, sight.stat, sight.digest))
                if (
                    held is None
                    or held.digest != sight.digest
                    or held.stat is None
                    or held.stat.mode != sight.stat.mode
                ):
                    edited.append(sight.path)
        if changed:
            with self._db:
                self._write_local(changed, now_s)
                self._refusals.clear_edited(edited)
                self._forget(state.path for state in changed if state.stat is None)
        return {state.path for state in changed}

    def get(self, path: TreePath, /) -> tuple[Stat, Digest] | None:
        """State and content of the local file as last seen."""
        held = self._local(path)
        return None if held is None or held.stat is None or held.digest is None else (held.stat, held.digest)

    def mode(self, path: TreePath, /) -> Mode | None:
        """The mode of base, else of the local file as last seen; None where neither is a regular file's."""
        sql = "SELECT b_mode, l_mode FROM node WHERE path = ?"
        modes = self._db.execute(sql, (path,)).fetchone() or ()
        return next((mode for mode in modes if mode not in {None, SYMLINK}), None)

    def below(self, folder: TreePath, /) -> list[TreePath]:
        """Every local path known below `folder`; every one, below the root."""
        sql = "SELECT path FROM node WHERE l_ino IS NOT NULL"
        if folder:
            rows = self._db.execute(f"{sql} AND path > ? AND path < ?", (folder + "/", folder + "0"))
        else:
            rows = self._db.execute(sql)
        return [TreePath(path) for (path,) in rows]

    def named(self, files: Collection[tuple[int, int]], /) -> list[TreePath]:
        """Every path at which one of these files (dev, ino) was last seen. Reads every row: such files are few."""
        inodes = json.dumps([ino for _, ino in files])
        rows = self._db.execute(
            "SELECT path, l_dev, l_ino FROM node WHERE l_ino IN (SELECT value FROM json_each(?))", (inodes,)
        )
        return [TreePath(path) for path, dev, ino in rows if (dev, ino) in files]

    # -------------------------------------------------------------------------------------------------- work

    def down(self, after: tuple[int, str], limit: int) -> list[Node]:
        """Paths whose remote tree differs from base, by (position, path) after `after`."""
        rows = self._db.execute(
            f"SELECT {_NODE} FROM node WHERE {DOWN} AND (r_revision, path) > (?, ?)"  # noqa: S608 - our own text
            f" AND {_READY.format(side='down')} ORDER BY r_revision, path LIMIT ?",
            (*after, limit),
        )
        return [_node(row) for row in rows]

    def down_among(self, wanted: Iterable[TreePath]) -> Iterator[Node]:
        """Those of these paths whose remote tree differs from base."""
        sql = f"SELECT {_NODE} FROM node WHERE path = ? AND {DOWN} AND {_READY.format(side='down')}"  # noqa: S608
        for path in wanted:
            yield from (_node(row) for row in self._db.execute(sql, (path,)))

    def up(self, limit: int, *, deletions: bool) -> list[Node]:
        """Paths where only the local tree differs from base; without those it deleted unless `deletions`."""
        which = "" if deletions else "AND l_ino IS NOT NULL"
        rows = self._db.execute(
            f"SELECT {_NODE} FROM node WHERE {UP} {which} AND {_READY.format(side='up')} LIMIT ?",  # noqa: S608
            (limit,),
        )
        return [_node(row) for row in rows]

    def nodes(self, wanted: Iterable[TreePath]) -> Iterator[Node]:
        """The rows of these paths, where there are any."""
        for path in wanted:
            for row in self._db.execute(f"SELECT {_NODE} FROM node WHERE path = ?", (path,)):  # noqa: S608 - as above
                yield _node(row)

    def record(self, agreed: Sequence[Agreement], local: Sequence[LocalState], now_s: float) -> None:
        """Base and the local tree hold these; rows that are nowhere any more are gone."""
        with self._db:
            self._db.executemany(
                "UPDATE node SET b_revision = ?, b_digest = ?, b_size = ?, b_mode = ? WHERE path = ?",
                [
                    (one.revision, None, None, None, one.path)
                    if one.version is None
                    else (one.revision, one.version.digest, one.version.size, one.version.mode, one.path)
                    for one in agreed
                ],
            )
            if local:
                self._write_local(local, now_s)
            self._forget(one.path for one in agreed if one.version is None)

    def acknowledge(self, agreed: Sequence[Agreement], generation: int) -> None:
        """The server held what we sent: base says so, and the remote tree where nothing as new was observed.

        An absence as of that very position means that it is gone: the server was put back to before it.
        """
        with self._db:
            for one in agreed:
                version = one.version
                values = (None, None, None) if version is None else (version.digest, version.size, version.mode)
                self._db.execute(
                    "UPDATE node SET r_revision = ?, r_digest = ?, r_size = ?, r_mode = ?, r_generation = ?"
                    " WHERE path = ? AND (r_revision IS NULL OR r_revision < ?)",
                    (one.revision, *values, generation, one.path, one.revision),
                )
            self.record(agreed, (), 0)
            self._overlaps.review(one.path for one in agreed)

    # ---------------------------------------------------------------------------------------------- plumbing

    def _local(self, path: TreePath) -> LocalState | None:
        row = self._db.execute(
            "SELECT l_dev, l_ino, l_size, l_mtime_ns, l_ctime_ns, l_mode, l_digest FROM node WHERE path = ?", (path,)
        ).fetchone()
        return None if row is None else LocalState(path, _stat(row[:6]), row[6])

    def _write_local(self, states: Sequence[LocalState], now_s: float) -> None:
        total = int.from_bytes(bytes(self._db.execute("SELECT local_sum FROM mirror").get), "big")
        rows: list[tuple[Any, ...]] = []
        for state in states:
            held = self._db.execute("SELECT l_digest, l_mode FROM node WHERE path = ?", (state.path,)).fetchone()
            if held is not None and held[0] is not None:
                total -= tree_digest.leaf(state.path, held[0], held[1])
            stat, content = state.stat, state.digest
            if stat is None:
                rows.append((state.path, None, None, None, None, None, None, None, int(now_s)))
                continue
            if content is not None:
                total += tree_digest.leaf(state.path, content, stat.mode)
            rows.append(
                (
                    *(state.path, stat.dev, stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns, stat.mode),
                    *(content, int(now_s)),
                )
            )
        self._db.executemany(
            "INSERT INTO node (path, l_dev, l_ino, l_size, l_mtime_ns, l_ctime_ns, l_mode, l_digest, born_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET l_dev = excluded.l_dev,"
            " l_ino = excluded.l_ino, l_size = excluded.l_size, l_mtime_ns = excluded.l_mtime_ns,"
            " l_ctime_ns = excluded.l_ctime_ns, l_mode = excluded.l_mode, l_digest = excluded.l_digest",
            rows,
        )
        self._db.execute("UPDATE mirror SET local_sum = ?", ((total % (1 << 256)).to_bytes(32, "big"),))

    def _forget(self, gone: Iterable[TreePath]) -> None:
        """Rows that are absent on both sides, and agreed to be or never agreed on, have nothing more to say."""
        self._db.executemany(
            "DELETE FROM node WHERE path = ? AND r_digest IS NULL AND b_digest IS NULL AND l_ino IS NULL",
            [(path,) for path in gone],
        )


def _node(row: Sequence[Any]) -> Node:
    path, r_revision, r_digest, r_size, r_mode, b_revision, b_digest, b_size, b_mode, *local = row
    stat = _stat(local[:6])
    mine = None if stat is None else Version(0, local[6], stat.size, stat.mode)
    base = None if b_digest is None else Version(b_revision, b_digest, b_size, b_mode)
    remote = None if r_digest is None else Version(r_revision, r_digest, r_size, r_mode)
    return Node(Trees(TreePath(path), base, mine, remote), stat, r_revision or 0, b_revision or 0)


def _stat(columns: Sequence[Any]) -> Stat | None:
    dev, ino, size, mtime_ns, ctime_ns, mode = columns
    return None if ino is None else Stat(dev, ino, size, mtime_ns, ctime_ns, mode)
