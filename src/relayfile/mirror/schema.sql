-- The mirror's memory. One file a mirror, outside the mirrored root; WAL, synchronous=FULL.

-- mirror: one row, the facts about the whole.
--   id, workspace, server, root_dev, root_ino   what this state belongs to; it must never meet anything else (R33)
--   epoch, position   the cursor: everything up to here has been observed
--   head              the log's last position as last heard
--   start             head of the first frame of the open generation (R17); NULL when none is open or none was heard
--   generation        counts observations begun at 0; a remote row carries the one in which it was last seen
--   open              1 while a generation has not reached its `end`: absent paths mean nothing yet, nothing is pushed
--   filtered          1 when the open generation was begun because the reader's view changed (R22)
--   observed_once     1 once any generation reached its `end`
--   local_sum         the tree digest (R18) over all local rows, kept with each change of one
--   acknowledged      the highest position one of our own pushes made; the local tree is not behind it
--   engine_starts, cycles, cycles_cancelled   counters for people
--   proven_position, proven_at   where and when (unix s) both trees were last found equal
CREATE TABLE mirror (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,
  workspace TEXT NOT NULL,
  server TEXT NOT NULL,
  root_dev INTEGER NOT NULL,
  root_ino INTEGER NOT NULL,
  epoch TEXT NOT NULL DEFAULT '',
  position INTEGER NOT NULL DEFAULT 0,
  head INTEGER NOT NULL DEFAULT 0,
  start INTEGER,
  generation INTEGER NOT NULL DEFAULT 1,
  open INTEGER NOT NULL DEFAULT 1,
  filtered INTEGER NOT NULL DEFAULT 0,
  observed_once INTEGER NOT NULL DEFAULT 0,
  local_sum BLOB NOT NULL DEFAULT (zeroblob(32)),
  acknowledged INTEGER NOT NULL DEFAULT 0,
  engine_starts INTEGER NOT NULL DEFAULT 0,
  cycles INTEGER NOT NULL DEFAULT 0,
  cycles_cancelled INTEGER NOT NULL DEFAULT 0,
  proven_position INTEGER NOT NULL DEFAULT 0,
  proven_at REAL
) STRICT;

-- node: three trees in one row a path. Directories have no rows (R34).
--   r_*   remote: revision is the position that last changed the path, digest NULL when it is deleted there;
--         all NULL when the server was never seen to have it; generation as in mirror
--   b_*   base, the last version both sides agreed on; digest NULL with a revision: agreed to be absent
--   l_*   local as last seen: ino NULL when absent; digest NULL beside an ino when the content is not known
--   born_at   unix s when the path was first seen at all: tells a rename from a deletion (R30)
-- Work is never flagged, it is read off the trees: remote differs from base (node_down), or only local does (node_up).
CREATE TABLE node (
  path TEXT PRIMARY KEY,
  r_revision INTEGER, r_digest BLOB, r_size INTEGER, r_mode TEXT, r_generation INTEGER,
  b_revision INTEGER, b_digest BLOB, b_size INTEGER, b_mode TEXT,
  l_dev INTEGER, l_ino INTEGER, l_size INTEGER, l_mtime_ns INTEGER, l_ctime_ns INTEGER, l_mode TEXT, l_digest BLOB,
  born_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX node_down ON node (r_revision) WHERE r_revision IS NOT b_revision;
CREATE INDEX node_up ON node (path)
  WHERE r_revision IS b_revision AND (l_digest IS NOT b_digest OR l_mode IS NOT b_mode);

-- placing: the place intents. Written before a batch touches the disk, gone with its record; what is left after an
-- unclean end tells what may lie in the stage or under the path already.
--   path; digest, size, mode, revision of the version on its way there
CREATE TABLE placing (
  path TEXT PRIMARY KEY,
  revision INTEGER NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, mode TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- push: the push intents, an entry an edit that was frozen for sending and not yet answered. Never changed.
--   path   one open entry a path; a later edit waits for its outcome
--   key    the idempotency key (R29)
--   over   the revision it replaces; 0: the path must be absent
--   digest, size, mode   what was sent; all NULL for a deletion
CREATE TABLE push (
  path TEXT PRIMARY KEY,
  key TEXT NOT NULL,
  over INTEGER NOT NULL,
  digest BLOB, size INTEGER, mode TEXT
) STRICT, WITHOUT ROWID;

-- refused: paths that one direction cannot do.
--   side      'down': cannot lie on this disk; 'up': the server does not take it
--   code      for programs; 'view' marks paths this reader may no longer see (R22), 'overlap' files whose name is a
--             folder too; local edits revive neither
--   reason    for people
--   lasting   1: left out until that side changes (R19); 0: tried again after a while
CREATE TABLE refused (
  path TEXT NOT NULL,
  side TEXT NOT NULL CHECK (side IN ('down', 'up')),
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  lasting INTEGER NOT NULL,
  PRIMARY KEY (path, side)
) STRICT, WITHOUT ROWID;

-- conflict: every conflict copy this mirror made. A conflict is open while its copy lies on the disk.
--   copy; path it lay at; made_at (unix s); revision that took its place
CREATE TABLE conflict (
  copy TEXT PRIMARY KEY,
  path TEXT NOT NULL,
  made_at REAL NOT NULL,
  revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- brake: the delete brake's window (R30), one row a side on which paths are deleted.
--   began_at  unix s of the window; base  files in base when it began
--   accepted  1: a person let the waiting deletions through; back to 0 when none waits
CREATE TABLE brake (
  side TEXT PRIMARY KEY CHECK (side IN ('local', 'remote')),
  began_at REAL NOT NULL,
  base INTEGER NOT NULL,
  accepted INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- deletion: what went through in a side's window, a row a file; emptied when the next window begins.
--   side as in brake; digest of what the file held
CREATE TABLE deletion (side TEXT NOT NULL, digest BLOB NOT NULL) STRICT;
CREATE INDEX deletion_side ON deletion (side);
