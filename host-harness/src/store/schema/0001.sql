-- One row per connection of a person's making.
CREATE TABLE connection (
    id            TEXT PRIMARY KEY,            -- opaque, never reused
    name          TEXT NOT NULL UNIQUE,
    component     TEXT NOT NULL,               -- path of the component it was made with
    connector     TEXT NOT NULL,               -- the manifest's connector id
    method        TEXT NOT NULL,               -- the manifest's auth method id
    form          TEXT NOT NULL,               -- JSON: the form without its secret fields
    settings      TEXT NOT NULL,               -- JSON
    origins       TEXT NOT NULL,               -- JSON: the pinned origins
    allow_private INTEGER NOT NULL,            -- the operator allowed private addresses and plain http
    proven        INTEGER NOT NULL,            -- its health report had no failure
    tenant        TEXT,                        -- identity, once proved
    account       TEXT,
    label         TEXT,
    health        TEXT,                        -- JSON: the last health report
    memo          TEXT,                        -- JSON of the connector's own
    memo_at_ms    INTEGER,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

-- Secrets, sealed with AES-256-GCM under the vault's key; `space`, `owner` and `name` are bound to
-- the ciphertext as additional data, so that a row moved elsewhere does not open.
CREATE TABLE secret (
    space  TEXT NOT NULL CHECK (space IN ('connection', 'app', 'registration')),
    owner  TEXT NOT NULL,                      -- id of the connection or registration
    name   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (space, owner, name)
) STRICT;

-- The lockout guard: what is known of how the service receives an account's credential.
CREATE TABLE guard (
    account         TEXT NOT NULL,             -- key of the account at its tenant
    credential      TEXT NOT NULL,             -- fingerprint of the credential the row speaks of
    failures        INTEGER NOT NULL,          -- refusals on the wire since the last success
    last_success_ms INTEGER,
    reason          TEXT,                      -- what the last refusal said
    PRIMARY KEY (account, credential)
) STRICT;

-- One process at a time sends with an account's credential.
CREATE TABLE guard_lease (
    account  TEXT PRIMARY KEY,
    holder   TEXT NOT NULL,                    -- drawn anew by each process
    until_ms INTEGER NOT NULL                  -- when the place is free again if the holder died
) STRICT;
