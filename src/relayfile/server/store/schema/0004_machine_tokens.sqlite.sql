-- Tokens for programs without a person: CI, agents. Every time is unix seconds.

-- machine_token: one token, by digest: the token itself is stored nowhere. An ended one keeps its row, so that its
-- user hears "expired" or "revoked", and its maker can see what it was.
--   id             `mt_` and 16 hex digits; not a secret
--   digest         SHA-256 of the token
--   account        who made it; their memberships, as they are at each use, bound what it may do
--   name           unique among the living tokens of its account
--   scopes         scope words, separated by newlines (a path may have spaces)
--   workspace      the only one it may enter; NULL: every one its account may
--   expires_at     it is good until then, unless it is revoked
--   made_by        the sign-in that made it, by its client's own account
--   revoked_at, revoked_by   when, and in people's words by whom; NULL while nobody has
--   first_used_at, last_used_at   NULL while it was never used; the last one may be a minute behind
CREATE TABLE machine_token (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    account TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    workspace TEXT REFERENCES workspace (id),
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    made_by TEXT NOT NULL,
    revoked_at REAL,
    revoked_by TEXT,
    first_used_at REAL,
    last_used_at REAL
) STRICT, WITHOUT ROWID;

CREATE INDEX machine_token_by_account ON machine_token (account, created_at);

-- `relayfile auth status` asks which processes renewed one family.
CREATE INDEX audit_by_family ON audit (family, n) WHERE family IS NOT NULL;
