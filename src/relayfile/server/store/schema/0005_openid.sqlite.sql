-- Sign-in through an OpenID Connect provider. Every time is unix seconds.

-- openid_subject: who a person of the provider is here. One person may lead to one account only; an account may have
-- several, when the operator named them by their subjects.
--   issuer, subject   how the provider names itself and the person; neither ever changes
--   account           who they are here
--   email             the verified address they had when they were linked, for people to read; NULL: none was told
CREATE TABLE openid_subject (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES account (id),
    email TEXT,
    linked_at REAL NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX openid_subject_by_account ON openid_subject (account, issuer);

-- openid_attempt: browsers on their way through the provider. The nonce and the PKCE verifier of an attempt are derived
-- from its state by a server key and stored nowhere.
--   state         SHA-256 of the state that the provider gives back; good once
--   browser       SHA-256 of the cookie of the browser that left: only that one may come back with it
--   user_code     of the device sign-in that is to be approved; or
--   redirect_uri  the loopback address of a v1 program that is to get its tokens,
--   client_state  with that program's own state
CREATE TABLE openid_attempt (
    state BLOB PRIMARY KEY,
    browser BLOB NOT NULL,
    user_code TEXT,
    redirect_uri TEXT,
    client_state TEXT NOT NULL,
    expires_at REAL NOT NULL,
    CHECK ((user_code IS NULL) != (redirect_uri IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX openid_attempt_by_expiry ON openid_attempt (expires_at);
