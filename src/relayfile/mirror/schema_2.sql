-- decision: what the mirror last did about a path and why, for people who ask (`relayfile why`). Written with the
-- record of the outcome, never read by the mirror itself; only the newest rows are kept.
--   seq       rises with each; path; at in unix s
--   did       one word for programs, as in mirror/past.py
--   revision  the position it was about; NULL when it was about none
--   detail    the rest of the sentence: a reason, or the name of a copy
CREATE TABLE decision (
  seq INTEGER PRIMARY KEY,
  path TEXT NOT NULL,
  at REAL NOT NULL,
  did TEXT NOT NULL,
  revision INTEGER,
  detail TEXT
) STRICT;
