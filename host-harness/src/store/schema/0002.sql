-- What was here before its row was deleted for its age: a delivery, an event or a start that comes again is known by it.
CREATE TABLE seen (
    kind  TEXT NOT NULL CHECK (kind IN ('delivery', 'event', 'run')),
    owner TEXT NOT NULL,                       -- the connection, subscription or flow
    id    TEXT NOT NULL,                       -- the service's id of the delivery, or the connector's of the event
    mark  TEXT NOT NULL,                       -- of a delivery: SHA-256 of its body
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, owner, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_age ON seen (at_ms);

-- A delivery is due when it came, so that one that is tried again takes its turn among the new ones.
DROP INDEX delivery_pending;
UPDATE delivery SET due_at_ms = received_at_ms WHERE state = 'pending' AND due_at_ms = 0;
CREATE INDEX delivery_due ON delivery (due_at_ms, received_at_ms) WHERE state = 'pending';
CREATE INDEX delivery_settled ON delivery (received_at_ms) WHERE state = 'done';
CREATE INDEX delivery_dead ON delivery (received_at_ms) WHERE state = 'failed';

CREATE INDEX event_received ON event (received_at_ms);
CREATE INDEX subscription_of ON subscription (connection, card);

-- Counts the changes of what deliveries are proved with: a receiver that knows the number need not read it all again,
-- whichever process made the change.
CREATE TABLE proving (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO proving VALUES (1, 1);
CREATE TRIGGER proving_connection AFTER UPDATE OF id, name, component, connector ON connection
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_connection_gone AFTER DELETE ON connection
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_endpoint AFTER INSERT ON endpoint
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_endpoint_other AFTER UPDATE OF token_hash, public_url, registering_until_ms ON endpoint
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_endpoint_gone AFTER DELETE ON endpoint
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_registration AFTER INSERT ON registration
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_registration_other AFTER UPDATE ON registration
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_registration_gone AFTER DELETE ON registration
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_secret AFTER INSERT ON secret
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_secret_other AFTER UPDATE ON secret
    BEGIN UPDATE proving SET version = version + 1; END;
CREATE TRIGGER proving_secret_gone AFTER DELETE ON secret
    BEGIN UPDATE proving SET version = version + 1; END;
