-- The lockout guard counts for an account whichever of its credentials is refused: its own row has no credential.
ALTER TABLE guard ADD COLUMN cause TEXT;                          -- the connection, by id, that was refused last
ALTER TABLE guard ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0; -- of the account: logins that ended without an answer
ALTER TABLE guard ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;    -- when a login was last tried, or answered so that it counts
-- Accounts go by other keys than before. What is refused yet is found out anew.
DELETE FROM guard;
DELETE FROM guard_lease;

-- Grows with each change, so that what was read before one is not written over it.
ALTER TABLE connection ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- The account that the lockout guard counts its logins for, and its credential's fingerprint; none until it is used.
ALTER TABLE connection ADD COLUMN guard_account TEXT;
ALTER TABLE connection ADD COLUMN guard_credential TEXT;

-- When tokens were last renewed because they were refused before their time, and the new ones were refused as well.
ALTER TABLE credential ADD COLUMN in_vain_at_ms INTEGER;
