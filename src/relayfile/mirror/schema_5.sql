-- How often both sides were found to differ at one position, and when (unix s) that was last (R20).
ALTER TABLE mirror ADD COLUMN mismatches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mirror ADD COLUMN mismatched_at REAL;
