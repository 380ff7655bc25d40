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
    undone          INTEGER NOT NULL DEFAULT 0, -- refusals taken back since the last success
    PRIMARY KEY (account, credential)
) STRICT;

-- One process at a time sends with an account's credential.
CREATE TABLE guard_lease (
    account  TEXT PRIMARY KEY,
    holder   TEXT NOT NULL,                    -- of one process: its id, and what it drew
    until_ms INTEGER NOT NULL                  -- when the place is free again if the holder died
) STRICT;

-- Facts about this home: `host-id` marks what it registers at services.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- What a service asked to be left alone, and until when.
CREATE TABLE hold (
    owner    TEXT NOT NULL,                    -- connector/tenant, connection id or connector
    kind     TEXT NOT NULL CHECK (kind IN ('endpoint', 'object', 'tenant', 'app')),
    name     TEXT NOT NULL,                    -- the connector's name of it; empty for tenant and app
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (owner, kind, name)
) STRICT;

-- A person's or a flow's wish to hear of something.
CREATE TABLE subscription (
    id            TEXT PRIMARY KEY,
    connection    TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    card          TEXT NOT NULL,
    filter        TEXT NOT NULL,               -- JSON
    flow          TEXT UNIQUE,                 -- the flow it was made for; none where a person made it
    created_at_ms INTEGER NOT NULL
) STRICT;

-- Where the deliveries of a connection arrive. The token itself is sealed in `secret`.
CREATE TABLE endpoint (
    connection  TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,
    token_hash  TEXT NOT NULL UNIQUE,          -- SHA-256 of the token, hexadecimal
    public_url  TEXT NOT NULL,                 -- before `/hooks/`
    refused     INTEGER NOT NULL DEFAULT 0,    -- deliveries whose proof did not hold
    refused_at_ms INTEGER,
    refused_reason TEXT,                       -- why the last of them was
    registering_until_ms INTEGER NOT NULL DEFAULT 0 -- until then the service may ask for a handshake
) STRICT;

-- What is registered at the service, as `ensure` last said.
CREATE TABLE registration (
    connection TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id         TEXT NOT NULL,                  -- the service's
    record     TEXT NOT NULL,                  -- JSON; its callback without the token
    PRIMARY KEY (connection, id)
) STRICT;

-- Proved deliveries, kept before they were acknowledged.
CREATE TABLE delivery (
    id             TEXT PRIMARY KEY,
    connection     TEXT NOT NULL,
    registration   TEXT NOT NULL,
    service_id     TEXT,                       -- the same in every attempt, where the service says it
    method         TEXT NOT NULL,
    query          TEXT NOT NULL,
    headers        TEXT NOT NULL,              -- JSON: [[name, value]], without what proved it
    body           BLOB NOT NULL,
    sha256         TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed')),
    attempts       INTEGER NOT NULL DEFAULT 0,
    due_at_ms      INTEGER NOT NULL DEFAULT 0,
    failure        TEXT,                       -- JSON
    UNIQUE (connection, service_id)
) STRICT;
CREATE INDEX delivery_pending ON delivery (due_at_ms) WHERE state = 'pending';

-- What somebody should look at.
CREATE TABLE alarm (
    id         INTEGER PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    connection TEXT,
    code       TEXT NOT NULL,
    message    TEXT NOT NULL
) STRICT;

-- What happened, once per subscription.
CREATE TABLE event (
    id             TEXT PRIMARY KEY,
    connection     TEXT NOT NULL,
    subscription   TEXT NOT NULL,
    card           TEXT NOT NULL,
    event_id       TEXT NOT NULL,              -- the connector's stable id
    time_ms        INTEGER,
    payload        TEXT NOT NULL,              -- JSON
    delivery       TEXT,
    received_at_ms INTEGER NOT NULL,
    UNIQUE (subscription, event_id)
) STRICT;

-- Runs of flows: one per flow and event.
CREATE TABLE run (
    id            TEXT PRIMARY KEY,
    flow          TEXT NOT NULL,
    definition    TEXT NOT NULL,               -- JSON: the flow as it was when the event came
    event         TEXT NOT NULL,               -- id of the event row
    event_id      TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'running', 'waiting', 'done', 'skipped', 'failed', 'uncertain')),
    due_at_ms     INTEGER NOT NULL,
    failure       TEXT,                        -- JSON
    created_at_ms INTEGER NOT NULL,
    ended_at_ms   INTEGER,
    UNIQUE (flow, event_id)
) STRICT;
CREATE INDEX run_due ON run (due_at_ms) WHERE state IN ('pending', 'waiting');

CREATE TABLE step (
    run         TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    id          TEXT NOT NULL,
    card        TEXT NOT NULL,
    connection  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'waiting', 'done', 'skipped', 'failed', 'uncertain')),
    input       TEXT,                          -- JSON
    continuation TEXT,                         -- JSON of the connector's own: how to go on
    output      TEXT,                          -- JSON
    failure     TEXT,                          -- JSON
    attempts    INTEGER NOT NULL,
    began_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    PRIMARY KEY (run, position)
) STRICT;

-- How far the service was asked for events that it does not deliver.
CREATE TABLE cursor (
    connection TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,
    cursor     TEXT NOT NULL                   -- JSON of the connector's own
) STRICT;
