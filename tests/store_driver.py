"""A store of one workspace, driven without HTTP: what the tests of the store share."""

import time
from dataclasses import dataclass
from hashlib import sha256

import apsw

from relayfile.model import Digest, TreePath
from relayfile.server.store import feed, files
from relayfile.server.store.files import Content, Write
from relayfile.server.store.idempotency import Key


@dataclass
class Store:
    connection: apsw.Connection
    workspace: str = "rw_test"

    @property
    def log(self):
        return feed.log_of(self.connection, self.workspace)

    def commit(self, *writes, now_ns=None):
        with self.connection:
            return files.commit(
                self.connection,
                self.log,
                writes,
                account="ac_1",
                correlation="c",
                now_ns=time.time_ns() if now_ns is None else now_ns,
            )

    def one(self, *args, **choices):
        (outcome,) = self.commit(write(*args, **choices))
        return outcome

    def state(self, path):
        return files.state_of(self.connection, self.log, TreePath(path))

    def live(self):
        return dict(files.live_states(self.connection, self.log, "", None))


def write(path, body=b"", *, over=None, key=None, mode=None, content_type="", encoding="", semantics=None):
    digest = Digest(b"") if body is None else Digest(sha256(body).digest())
    content = None if body is None else Content(digest, len(body), body, mode, content_type, encoding, semantics)
    used = Key.of("ac_1", "k", key, ttl_s=60, path=TreePath(path), digest=digest) if key else None
    return Write(TreePath(path), content, over, used)
