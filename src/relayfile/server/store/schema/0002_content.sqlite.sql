-- The content of workspaces: their logs, paths and bodies (R41, R43).
-- Every table that grows with writing is keyed by what rises with time, so that a write costs the same in a
-- workspace with a million events as in an empty one.

-- log: one ordered log a workspace. Rows are never deleted: positions and ids are never used again.
--   id            short name of the log, used as the first key of everything below
--   workspace     the workspace's id (rw_…)
--   epoch         random name of this log; new after a restore (A1)
--   head          position of the newest event; 0 when nothing was ever written
--   tree_digest   sum of the leaves of all live paths at `head` (A4), 32 bytes
--   files         number of live paths at `head`
--   pruned        highest position of a tombstone that retention removed; 0 when none was (R17, R24)
--   acl_position  position of the last change of any permission: names the version of the rules (R22)
--   located       bodies of events up to here are in body_location
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    workspace TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    tree_digest BLOB NOT NULL CHECK (length(tree_digest) = 32),
    files INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0,
    acl_position INTEGER NOT NULL DEFAULT 0,
    located INTEGER NOT NULL DEFAULT 0
) STRICT;

-- event: one change of one path; what the path became. The newest event of a path is its current state.
--   kind          0 created, 1 updated, 2 deleted
--   digest        SHA-256 of the content, 32 bytes; empty for a deletion
--   size          bytes of the content
--   mode          644, 755 or 120000 (R18); empty for a deletion
--   encoding      how its writer wants it in JSON: '' text, 'base64'
--   body          row of `body`; 0 for no bytes at all or, when size > 0, for DATA/blobs/<digest>
--   semantics     JSON of v1's semantics; NULL when there are none
--   at_ns         unix time of the commit in nanoseconds
--   account       who wrote it
--   correlation   the request's correlation id
CREATE TABLE event (
    log INTEGER NOT NULL,
    position INTEGER NOT NULL,
    path TEXT NOT NULL,
    kind INTEGER NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    mode TEXT NOT NULL,
    content_type TEXT NOT NULL,
    encoding TEXT NOT NULL,
    body INTEGER NOT NULL,
    semantics TEXT,
    at_ns INTEGER NOT NULL,
    account TEXT NOT NULL,
    correlation TEXT NOT NULL,
    PRIMARY KEY (log, position)
) STRICT, WITHOUT ROWID;

-- node: where the newest event of each path lies; deleted paths stay as tombstones.
--   position      of the path's newest event: its revision
--   live          1 when the path exists, 0 for a tombstone
CREATE TABLE node (
    log INTEGER NOT NULL,
    path TEXT NOT NULL,
    position INTEGER NOT NULL,
    live INTEGER NOT NULL,
    PRIMARY KEY (log, path)
) STRICT, WITHOUT ROWID;

-- The delta feed is a range of this index: each path once, in the order of its last change.
CREATE UNIQUE INDEX node_by_position ON node (log, position);

-- body: contents of 1 byte to 1 MiB, in the order they came. Never keyed by digest (R41).
--   id            rising; named by event.body
CREATE TABLE body (
    id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- body_location: which events brought a digest. Filled only when somebody asks for bodies by digest (R41, R23).
CREATE TABLE body_location (
    log INTEGER NOT NULL,
    digest BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (log, digest, position)
) STRICT, WITHOUT ROWID;

-- permission: the rules that stand on a path: on everything below its folder when the path is a marker
-- (`.relayfile.acl`), else on the path itself.
--   rules         JSON array of rule words (3-protocol B.2)
CREATE TABLE permission (
    log INTEGER NOT NULL,
    path TEXT NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (log, path)
) STRICT, WITHOUT ROWID;

-- idempotency: what became of a write that carried a key, so that repeating it changes nothing (R21).
--   name          first 16 bytes of SHA-256(account, kind, key)
--   said          first 16 bytes of SHA-256(path, digest): what the key was used for
--   position      the revision that was answered
--   ends_ns       unix time after which the key may be forgotten, in nanoseconds
CREATE TABLE idempotency (
    log INTEGER NOT NULL,
    name BLOB NOT NULL,
    said BLOB NOT NULL,
    position INTEGER NOT NULL,
    ends_ns INTEGER NOT NULL,
    PRIMARY KEY (log, name)
) STRICT, WITHOUT ROWID;

-- continuity: one row; how many positions were ever handed out, over all workspaces (R24).
CREATE TABLE continuity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    handed_out INTEGER NOT NULL
) STRICT;
INSERT INTO continuity VALUES (1, 0);
