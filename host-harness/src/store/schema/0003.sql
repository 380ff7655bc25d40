-- Runs may be cancelled, done anew, kept in the order of their events, and traced to the run that caused them.
-- A CHECK and a UNIQUE cannot be changed where they are: both tables are made anew.

CREATE TABLE run_new (
    id            TEXT PRIMARY KEY,
    flow          TEXT NOT NULL,
    definition    TEXT NOT NULL,               -- JSON: the flow as it was when the event came
    event         TEXT NOT NULL,               -- id of the event row
    event_id      TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN
        ('pending', 'running', 'waiting', 'done', 'skipped', 'failed', 'uncertain', 'cancelled')),
    due_at_ms     INTEGER NOT NULL,
    failure       TEXT,                        -- JSON
    created_at_ms INTEGER NOT NULL,
    ended_at_ms   INTEGER,
    time_ms       INTEGER NOT NULL,            -- when the event happened; when it came, where nobody says
    connection    TEXT NOT NULL,               -- the connection, by name, that its next step works on
    order_key     TEXT,                        -- runs with the same one go one after another
    skip_late     INTEGER NOT NULL,            -- 1: not run where a later event's run of its key is done
    cancel        INTEGER NOT NULL,            -- 1: somebody wants it to stop before its next step
    again_of      TEXT,                        -- the run that this one does anew
    object        TEXT,                        -- what its event happened to: connection and the connector's name of it
    cause         TEXT                         -- the run whose work seems to have caused its event
) STRICT;

INSERT INTO run_new
SELECT id, flow, definition, event, event_id, state,
       iif(state = 'pending', created_at_ms, due_at_ms), failure, created_at_ms, ended_at_ms,
       coalesce((SELECT time_ms FROM event WHERE event.id = run.event), created_at_ms),
       coalesce(json_extract(definition, '$.steps[0].connection'), ''), NULL, 0, 0, NULL, NULL, NULL
FROM run;

CREATE TABLE step_new (
    run         TEXT NOT NULL REFERENCES run_new (id) ON DELETE CASCADE,
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
    redone      INTEGER NOT NULL,              -- how often a person had it done anew: part of its idempotency key
    object      TEXT,                          -- what it made or changed: connection and the connector's name of it
    PRIMARY KEY (run, position)
) STRICT;

INSERT INTO step_new
SELECT run, position, id, card, connection, state, input, continuation, output, failure, attempts, began_at_ms,
       ended_at_ms, 0, NULL
FROM step;

DROP TABLE step;
DROP TABLE run;
ALTER TABLE run_new RENAME TO run;
ALTER TABLE step_new RENAME TO step;

-- An event starts a flow once; what a person does anew is another matter.
CREATE UNIQUE INDEX run_once ON run (flow, event_id) WHERE again_of IS NULL;
-- What waits, by flow and connection, so that the next of each is found however much waits or is over.
CREATE INDEX run_lane ON run (flow, connection, due_at_ms, time_ms) WHERE state IN ('pending', 'waiting');
CREATE INDEX run_due ON run (due_at_ms) WHERE state IN ('pending', 'waiting');
CREATE INDEX run_running ON run (created_at_ms) WHERE state = 'running';
CREATE INDEX run_dead ON run (created_at_ms) WHERE state IN ('failed', 'uncertain');
CREATE INDEX run_order ON run (order_key, time_ms) WHERE order_key IS NOT NULL;
CREATE INDEX run_object ON run (object, created_at_ms) WHERE object IS NOT NULL;
CREATE INDEX step_object ON step (object, began_at_ms) WHERE object IS NOT NULL;
CREATE INDEX run_again ON run (again_of) WHERE again_of IS NOT NULL;
-- Those of 0002 went with the table.
CREATE INDEX run_of_event ON run (event);
CREATE INDEX run_by_age ON run (created_at_ms);
CREATE INDEX run_settled ON run (ended_at_ms) WHERE state IN ('done', 'skipped');
