"""The bare pipeline of a bulk write: the server's own tables and group size, from decoded JSON, no HTTP (R39)."""

import json
import statistics
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from relayfile.core.digest import EMPTY, moved
from relayfile.model import REGULAR, Digest, TreePath, Version
from relayfile.server.store.database import connect
from relayfile.server.store.migrations import migrate

ROUNDS = 3
WHAT = (
    "the server's tables, one thread: look the paths up, sha256, body, event, node, tree digest, one FULL commit "
    "for 200 files, from decoded JSON"
)

LOOK_UP = "SELECT event.* FROM node JOIN event USING (log, position) WHERE node.log = 1 AND node.path = ?"
ADD_BODY = "INSERT INTO body VALUES (?, ?)"
ADD_EVENT = "INSERT INTO event VALUES (1, ?, ?, ?, ?, ?, '644', 'text/plain', '', ?, NULL, ?, 'ac_0', '')"
ADD_NODE = "INSERT INTO node VALUES (1, ?, ?, 1) ON CONFLICT DO UPDATE SET position = excluded.position, live = 1"
MOVE_LOG = "UPDATE log SET head = ?, tree_digest = ?, files = ? WHERE id = 1"
COUNT = "UPDATE continuity SET handed_out = handed_out + ?"


def files_per_second(payloads: list[bytes]) -> float:
    """The median rate over fresh databases."""
    groups = [json.loads(payload)["files"] for payload in payloads]
    files = sum(len(group) for group in groups)
    return statistics.median(files / seconds(groups) for _ in range(ROUNDS))


def seconds(groups: list[list[dict[str, str]]]) -> float:
    """Of one round, in a fresh database."""
    with tempfile.TemporaryDirectory(prefix="rf-bare-") as folder:
        connection = connect(Path(folder) / "bare.db")
        migrate(connection)
        connection.execute("PRAGMA foreign_keys = 0")
        connection.execute("INSERT INTO log (workspace, epoch, tree_digest) VALUES ('rw_0', 'e', ?)", (EMPTY,))
        known: set[str] = set()
        head, total = 0, EMPTY
        began = time.perf_counter()
        for group in groups:
            connection.execute("BEGIN IMMEDIATE")
            bodies, events, nodes = [], [], []
            now = time.time_ns()
            for entry in group:
                head += 1
                path, body = TreePath.parse(entry["path"]), entry["content"].encode()
                before = next(iter(connection.execute(LOOK_UP, (path,))), None)
                digest = Digest(sha256(body).digest())
                total = moved(
                    total,
                    path,
                    before and Version(before[1], Digest(before[4]), before[5], REGULAR),
                    Version(head, digest, len(body), REGULAR),
                )
                known.add(path)
                bodies.append((head, body))
                events.append((head, path, 1 if before else 0, digest, len(body), head, now))
                nodes.append((path, head))
            connection.executemany(ADD_BODY, bodies)
            connection.executemany(ADD_EVENT, events)
            connection.executemany(ADD_NODE, nodes)
            connection.execute(MOVE_LOG, (head, total, len(known)))
            connection.execute(COUNT, (len(group),))
            connection.execute("COMMIT")
        took = time.perf_counter() - began
        connection.close()
        return took
