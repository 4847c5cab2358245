"""How far apart the trees are, and the sum that proves them equal (R19). Reads only, but for mending its own sum."""

from dataclasses import dataclass

import apsw

from relayfile.core import digest as tree_digest
from relayfile.mirror.refusals import ROTTED
from relayfile.mirror.trees import DOWN, UP
from relayfile.model import Digest, Stat, TreePath


@dataclass(frozen=True, slots=True)
class Pending:
    """What is not on both sides yet: paths and bytes to bring down, the oldest position among them, edits to push.

    Paths that are left out for good are not waited for; those refused for a while are: `waiting` of all of these.
    """

    down: int
    down_bytes: int
    oldest: int | None
    edits: int
    waiting: int = 0

    @property
    def nothing(self) -> bool:
        """Whether everything known is on both sides."""
        return not self.down and not self.edits

    @property
    def stuck(self) -> bool:
        """Whether all that is left was refused, and will be tried again."""
        return 0 < self.waiting == self.down + self.edits


class Measure:
    """Counts and sums over the rows."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def large(self) -> set[Digest]:
        """The large contents that are to be brought down, also those that were refused for now."""
        rows = self._db.execute(
            f"SELECT r_digest FROM node INDEXED BY node_large WHERE {DOWN} AND r_size > 1048576"  # noqa: S608 - ours
        )
        return {Digest(raw) for (raw,) in rows}

    def holder(self, digest: Digest) -> tuple[TreePath, Stat] | None:
        """A path at which a content that does not come with the log lies on this disk, and the state of that file."""
        row = self._db.execute(
            "SELECT path, l_dev, l_ino, l_size, l_mtime_ns, l_ctime_ns, l_mode FROM node INDEXED BY node_content"
            " WHERE l_digest = ? AND l_size > 65536 LIMIT 1",
            (digest,),
        ).fetchone()
        return None if row is None else (TreePath(row[0]), Stat(*row[1:]))

    def pending(self) -> Pending:
        """How much lies between the trees now. Costs what is pending, not what is there."""
        waited_for = "NOT EXISTS (SELECT 1 FROM refused WHERE refused.path = node.path AND side = '{}' AND lasting)"
        down, size, oldest = self._db.execute(
            "SELECT count(*), coalesce(sum(r_size), 0), min(r_revision) FROM node"  # noqa: S608 - our own text
            f" WHERE {DOWN} AND {waited_for.format('down')}"
        ).get
        unsent = self._db.execute(
            f"SELECT count(*) FROM node WHERE {UP} AND {waited_for.format('up')}"  # noqa: S608 - as above
            " AND NOT EXISTS (SELECT 1 FROM push WHERE push.path = node.path)"
        ).get
        sent = self._db.execute("SELECT count(*) FROM push").get
        refused = self._db.execute(
            "SELECT count(*) FROM refused CROSS JOIN node USING (path)"  # noqa: S608 - as above
            f" WHERE NOT lasting AND ((side = 'down' AND {DOWN}) OR (side = 'up' AND {UP}))"
        ).get
        return Pending(down, size, oldest, unsent + sent, refused)

    def edits(self) -> dict[TreePath, Digest | None]:
        """Every local edit that is not yet the server's, with its content (None: a deletion)."""
        rows = self._db.execute(
            f"SELECT path, l_digest FROM node WHERE {UP} AND NOT EXISTS"  # noqa: S608 - our own text
            " (SELECT 1 FROM refused WHERE refused.path = node.path AND side = 'up' AND lasting)"
            " UNION SELECT path, digest FROM push"
        )
        return {TreePath(path): None if raw is None else Digest(raw) for path, raw in rows}

    def awaits(self, path: TreePath, content: Digest | None) -> bool:
        """Whether that edit is still not the server's, nor overtaken by a later one."""
        return bool(
            self._db.execute(
                f"SELECT EXISTS (SELECT 1 FROM node WHERE path = ?1 AND l_digest IS ?2 AND {UP} AND NOT EXISTS"  # noqa: S608
                " (SELECT 1 FROM refused WHERE refused.path = node.path AND side = 'up' AND lasting))"
                " OR EXISTS (SELECT 1 FROM push WHERE path = ?1 AND digest IS ?2)",
                (path, content),
            ).get
        )

    def kept_sum(self) -> bytes:
        """What the server's tree digest is if both sides are equal: all local rows, but for each path that is left
        out what the server has in its place.
        """
        total = int.from_bytes(self._sum(), "big")
        for path, r_digest, r_mode, l_digest, l_mode in self._db.execute(
            "SELECT path, r_digest, r_mode, l_digest, l_mode FROM node"
            " WHERE path IN (SELECT path FROM refused WHERE lasting)"
        ):
            if l_digest is not None:
                total -= tree_digest.leaf(path, l_digest, l_mode)
            if r_digest is not None:
                total += tree_digest.leaf(path, r_digest, r_mode)
        return (total % (1 << 256)).to_bytes(32, "big")

    def differing(self, limit: int) -> tuple[int, list[tuple[TreePath, str]]]:
        """How many paths do not hold the same on both sides, without those left out for good; some, each with why."""
        differ = (
            " FROM node LEFT JOIN refused ON refused.path = node.path AND refused.side = CASE"  # noqa: S608 - our own text
            f" WHEN {DOWN} THEN 'down' ELSE 'up' END WHERE (l_digest IS NOT r_digest OR l_mode IS NOT r_mode)"
            " AND NOT EXISTS (SELECT 1 FROM refused AS out WHERE out.path = node.path AND lasting AND code <> ?1)"
        )
        count = self._db.execute(f"SELECT count(*){differ}", (ROTTED,)).get
        rows = self._db.execute(
            f"SELECT node.path, coalesce(reason, ?3){differ} ORDER BY node.path LIMIT ?2",
            (ROTTED, limit, "not on both sides yet"),
        )
        return count, [(TreePath(path), why) for path, why in rows]

    def resum(self) -> bool:
        """The kept sum is that of the rows; whether it had drifted (R20: before the server is blamed)."""
        rows = self._db.execute("SELECT path, l_digest, l_mode FROM node WHERE l_digest IS NOT NULL")
        total = sum(tree_digest.leaf(path, digest, mode) for path, digest, mode in rows)
        right = (total % (1 << 256)).to_bytes(32, "big")
        if right == self._sum():
            return False
        self._db.execute("UPDATE mirror SET local_sum = ?", (right,))
        return True

    def conflicts(self) -> int:
        """How many conflict copies lie on the disk still. Costs the conflicts, not what is there."""
        return int(
            self._db.execute(  # CROSS: the planner knows no counts, and would go through every file
                "SELECT count(*) FROM conflict CROSS JOIN node ON node.path = conflict.copy"
                " WHERE node.l_ino IS NOT NULL"
            ).get
        )

    def _sum(self) -> bytes:
        return bytes(self._db.execute("SELECT local_sum FROM mirror").get)
