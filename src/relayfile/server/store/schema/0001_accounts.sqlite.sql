-- People, the workspaces they share, their sign-ins, and what happened to every token (R42, R12, R13).
-- Every time is unix seconds.

-- account: someone who can sign in.
--   id          `ac_` and 16 hex digits
--   username    casefolded; what a person types
--   password    argon2id, with its parameters
--   kind        owner: created by the first start, sees every sign-in and event; person: their own
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('owner', 'person')),
    created_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- workspace: one virtual tree with one log. A deleted one keeps its row, so that its id is never used again (R26).
--   id          `rw_` and 16 hex digits
--   name        unique among the living ones of its owner
--   owner       the account that created it
--   deleted_at  NULL while it lives
CREATE TABLE workspace (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL REFERENCES account (id),
    created_at REAL NOT NULL,
    deleted_at REAL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX workspace_by_name ON workspace (owner, name) WHERE deleted_at IS NULL;

-- membership: who may enter a workspace, and as what.
CREATE TABLE membership (
    workspace TEXT NOT NULL REFERENCES workspace (id),
    account TEXT NOT NULL REFERENCES account (id),
    role TEXT NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    PRIMARY KEY (workspace, account)
) STRICT, WITHOUT ROWID;

CREATE INDEX membership_by_account ON membership (account);

-- family: one credential family: a sign-in, or a delegation made by one.
--   id           16 hex digits, part of its refresh tokens; not a secret
--   kind         sign-in or delegation
--   key          its MAC key, sealed with the server's wrap key: the database alone makes no token (R12)
--   generation   the newest refresh token's number
--   renewed_at   when that one was issued
--   expires_at   when that one is no longer accepted; never later than absolute_expires_at
--   old_clients  1: begun through a v1 door, so a consumed token is refused and ends nothing (R2)
--   ended        NULL while it lives, else why it ended
--   replays      how often the newest pair was repeated to a client that had lost it
--   scopes       scope words, separated by spaces
--   client, host, pid, profile   who signed in, by their own account
--   parent       the sign-in that made a delegation
--   workspace, agent   of a delegation: where and for whom
CREATE TABLE family (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL CHECK (kind IN ('sign-in', 'delegation')),
    key BLOB NOT NULL,
    generation INTEGER NOT NULL,
    begun_at REAL NOT NULL,
    renewed_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    absolute_expires_at REAL NOT NULL,
    old_clients INTEGER NOT NULL CHECK (old_clients IN (0, 1)),
    ended TEXT,
    replays INTEGER NOT NULL DEFAULT 0,
    scopes TEXT NOT NULL,
    client TEXT NOT NULL,
    host TEXT,
    pid INTEGER,
    profile TEXT,
    parent TEXT REFERENCES family (id),
    workspace TEXT REFERENCES workspace (id),
    agent TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX family_by_account ON family (account);
CREATE INDEX family_by_parent ON family (parent) WHERE parent IS NOT NULL;

-- consumed: generations exchanged for their successor, as long as they can still be told apart from theft (R1).
--   at     when the exchange was made
--   nonce  SHA-256 of the attempt's nonce; empty when none was sent
CREATE TABLE consumed (
    family TEXT NOT NULL REFERENCES family (id),
    generation INTEGER NOT NULL,
    at REAL NOT NULL,
    nonce BLOB NOT NULL,
    PRIMARY KEY (family, generation)
) STRICT, WITHOUT ROWID;

-- access_token: opaque access tokens, by digest: the token itself is stored nowhere.
--   generation  that of the family when it was issued
--   expires_at  it is good until then, unless its family ends (R3)
CREATE TABLE access_token (
    digest BLOB PRIMARY KEY,
    family TEXT NOT NULL REFERENCES family (id),
    generation INTEGER NOT NULL,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX access_token_by_expiry ON access_token (expires_at);

-- device_code: sign-ins waiting for a person at /device (RFC 8628).
--   digest       SHA-256 of the device code
--   user_code    what the person types, without its dash
--   old_clients  as in family
--   polled_at, interval_s   the client asked then and may ask again after interval_s
--   account      who approved it
--   denied       1: a person said no
CREATE TABLE device_code (
    digest BLOB PRIMARY KEY,
    user_code TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    client TEXT NOT NULL,
    host TEXT,
    pid INTEGER,
    profile TEXT,
    old_clients INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    polled_at REAL NOT NULL DEFAULT 0,
    interval_s REAL NOT NULL,
    account TEXT REFERENCES account (id),
    denied INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- audit: every token event, in order (R13). Never a token.
--   n           counts up, never reused
--   event       issued, rotated, replayed, superseded, reused, revoked, rejected, ahead
--   account     whose family it is; NULL when the token named none
--   generation  the one presented
--   reason      one word or sentence
CREATE TABLE audit (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    account TEXT,
    family TEXT,
    generation INTEGER,
    client TEXT NOT NULL,
    host TEXT,
    pid INTEGER,
    reason TEXT
) STRICT;

CREATE INDEX audit_by_account ON audit (account, n);

-- restored: when an older database was found to have been put back; clients may be ahead of it for a while (R1).
CREATE TABLE restored (
    at REAL NOT NULL
) STRICT;

-- server_key: which key files belong to this database: a fingerprint each, so that a wrong or lost key is
-- noticed at start and not as a thousand failed renewals (R12).
CREATE TABLE server_key (
    name TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL
) STRICT, WITHOUT ROWID;
