-- What connections authorize themselves with becomes a thing of its own: several may share it.

-- What an operator registered at a service once for many connections: an OAuth client, an application link.
CREATE TABLE oauth_client (
    id            TEXT PRIMARY KEY,            -- opaque, never reused; owner of its secrets in space 'app'
    name          TEXT NOT NULL UNIQUE,
    connector     TEXT NOT NULL,               -- the manifest's connector id
    method        TEXT NOT NULL,               -- the manifest's auth method id
    form          TEXT NOT NULL,               -- JSON: the method's app form without its secret fields
    callback      TEXT NOT NULL,               -- where the browser comes back to
    scopes        TEXT NOT NULL,               -- JSON: the ids of the scopes to ask for
    public_key    TEXT,                        -- PEM, where the host made a key pair for it
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE credential (
    id              TEXT PRIMARY KEY,          -- opaque, never reused; owner of its secrets in space 'connection'
    connector       TEXT NOT NULL,
    method          TEXT NOT NULL,
    form            TEXT NOT NULL,             -- JSON: the form's fields that belong to it, without its secrets
    client          TEXT REFERENCES oauth_client (id),
    generation      INTEGER NOT NULL,          -- grows when a person replaces it
    created_at_ms   INTEGER NOT NULL,
    -- Of a grant alone; its tokens are one secret, `grant`.
    version         INTEGER NOT NULL,          -- grows with each set of tokens; 0: not authorized yet
    scopes          TEXT,                      -- JSON: the ids of the scopes granted, where the service says so
    access_until_ms INTEGER,                   -- when the access token expires, where the service says so
    renewed_at_ms   INTEGER,                   -- when the tokens came
    dead            TEXT,                      -- why only a person can help, where that is so
    paused          TEXT                       -- JSON: why and for how long nobody asks for tokens, where that is so
) STRICT;

-- Until now each connection had its own, whose secrets its id owns.
INSERT INTO credential (id, connector, method, form, client, generation, created_at_ms, version)
SELECT id, connector, method, form, NULL, 1, created_at_ms, 0 FROM connection;

ALTER TABLE connection ADD COLUMN credential TEXT REFERENCES credential (id);
ALTER TABLE connection ADD COLUMN authorities TEXT; -- PEM: the certificate authorities that it trusts instead of the system's
ALTER TABLE connection ADD COLUMN site_open INTEGER NOT NULL DEFAULT 0; -- whether a site is still to be chosen
UPDATE connection SET credential = id;
CREATE INDEX connection_credential ON connection (credential);
