-- Credentials of daemons (R10, R11), and by whose hand a credential ended.

-- SQLite cannot widen a CHECK, so the table is written anew. Whatever names a family keeps naming it: the references
-- are counted at the commit, when every family is back in its place.
PRAGMA defer_foreign_keys = ON;

CREATE TABLE family_before AS SELECT * FROM family;
DROP TABLE family;

-- family: one credential family: a sign-in, a delegation made by one, or the credential of a daemon enrolled by one.
--   id           16 hex digits, part of its refresh tokens; not a secret
--   kind         sign-in, delegation or daemon
--   key          its MAC key, sealed with the server's wrap key: the database alone makes no token (R12)
--   generation   the newest refresh token's number; always 1 for a daemon, whose refresh token does not rotate
--   renewed_at   when that one was issued; for a daemon: last used
--   expires_at   when that one is no longer accepted; never later than absolute_expires_at
--   old_clients  1: begun through a v1 door, so a consumed token is refused and ends nothing (R2)
--   ended        NULL while it lives, else why it ended
--   ended_at, ended_by, ended_host   when, by which user (NULL: not by one), from which host
--   replays      how often the newest pair was repeated to a client that had lost it
--   scopes       scope words, separated by spaces
--   client, host, pid, profile   who began it, by their own account
--   last_client, last_host, last_pid   who presented its refresh token last; NULL: nobody has
--   parent       the sign-in that made a delegation or enrolled a daemon
--   workspace    where a delegation or a daemon may go, and nowhere else
--   agent        for whom a delegation is
--   mirror, jkt  of a daemon: its mirror, and the thumbprint of the key that each renewal must prove
CREATE TABLE family (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL CHECK (kind IN ('sign-in', 'delegation', 'daemon')),
    key BLOB NOT NULL,
    generation INTEGER NOT NULL,
    begun_at REAL NOT NULL,
    renewed_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    absolute_expires_at REAL NOT NULL,
    old_clients INTEGER NOT NULL CHECK (old_clients IN (0, 1)),
    ended TEXT,
    ended_at REAL,
    ended_by TEXT,
    ended_host TEXT,
    replays INTEGER NOT NULL DEFAULT 0,
    scopes TEXT NOT NULL,
    client TEXT NOT NULL,
    host TEXT,
    pid INTEGER,
    last_client TEXT,
    last_host TEXT,
    last_pid INTEGER,
    profile TEXT,
    parent TEXT REFERENCES family (id),
    workspace TEXT REFERENCES workspace (id),
    agent TEXT,
    mirror TEXT,
    jkt TEXT,
    CHECK (kind != 'daemon' OR (generation = 1 AND jkt IS NOT NULL AND mirror IS NOT NULL AND workspace IS NOT NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO family (
    id, account, kind, key, generation, begun_at, renewed_at, expires_at, absolute_expires_at, old_clients, ended,
    replays, scopes, client, host, pid, profile, parent, workspace, agent
) SELECT
    id, account, kind, key, generation, begun_at, renewed_at, expires_at, absolute_expires_at, old_clients, ended,
    replays, scopes, client, host, pid, profile, parent, workspace, agent
FROM family_before;
DROP TABLE family_before;

CREATE INDEX family_by_account ON family (account);
CREATE INDEX family_by_parent ON family (parent) WHERE parent IS NOT NULL;
CREATE INDEX family_by_mirror ON family (mirror) WHERE mirror IS NOT NULL;

-- key_proof: DPoP proofs that were used, for as long as their nonce is good: each serves once (R11).
--   digest      SHA-256 over the key's thumbprint and the proof's `jti`
--   expires_at  its nonce is refused from then on, so it need not be remembered
CREATE TABLE key_proof (
    digest BLOB PRIMARY KEY,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX key_proof_by_expiry ON key_proof (expires_at);
