//! Events: what happened, once per subscription, and the runs they start.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::causes::{Origin, cause_of, goes_round};
use super::meta::{Alarm, raise_in};
use super::{Store, StoreError, json_column};
use crate::clock::EpochMs;

/// One event as it is kept.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// The host's id of it.
    pub id: String,
    /// The connection, by id.
    pub connection: String,
    /// The subscription, by id.
    pub subscription: String,
    /// The event card.
    pub card: String,
    /// The connector's stable id.
    pub event_id: String,
    /// When it happened at the service.
    pub time_ms: Option<EpochMs>,
    /// The payload.
    pub payload: Value,
    /// The delivery that brought it.
    pub delivery: Option<String>,
    /// When it came.
    pub received_at_ms: EpochMs,
}

/// A run that an event starts.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// Its id.
    pub id: String,
    /// The flow's name.
    pub flow: String,
    /// The flow as it is now: a JSON text.
    pub definition: String,
    /// The connection, by name, that its first step works on.
    pub connection: String,
    /// Runs with the same key go one after another, in the order of their events.
    pub order_key: Option<String>,
    /// Whether it is not run where a later event's run of its key is done already.
    pub skip_late: bool,
    /// What its event says of where it comes from.
    pub origin: Origin,
}

/// An event to keep, and the run it starts where a flow waits for it.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: StoredEvent,
    /// The run it starts.
    pub run: Option<NewRun>,
}

/// What brought events.
#[derive(Debug, Clone, Copy)]
pub enum BroughtBy<'a> {
    /// A delivery, by the host's id.
    Delivery(&'a str),
    /// A poll, with where to go on.
    Poll {
        /// The connection, by id.
        connection: &'a str,
        /// Where to go on: a JSON text.
        cursor: &'a str,
    },
}

const COLUMNS: &str = "id, connection, subscription, card, event_id, time_ms, payload, delivery, received_at_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        id: row.get(0)?,
        connection: row.get(1)?,
        subscription: row.get(2)?,
        card: row.get(3)?,
        event_id: row.get(4)?,
        time_ms: row.get(5)?,
        payload: json_column(row, 6)?,
        delivery: row.get(7)?,
        received_at_ms: row.get(8)?,
    })
}

pub(super) fn event_by_id() -> String {
    format!("SELECT {COLUMNS} FROM event WHERE id = ?1")
}

impl Store {
    /// Keeps what was brought, starts the runs, and marks the delivery as done or moves the cursor: all or
    /// nothing. Answers how many of the events were new.
    pub fn keep_events(&self, brought_by: BroughtBy<'_>, events: &[NewEvent]) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut fresh = 0;
            for NewEvent { event, run } in events {
                let inserted = transaction
                    .prepare_cached(&format!(
                        "INSERT INTO event ({COLUMNS}) SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9 \
                         WHERE NOT EXISTS (SELECT 1 FROM seen WHERE kind = 'event' AND owner = ?3 AND id = ?5) \
                         ON CONFLICT (subscription, event_id) DO NOTHING"
                    ))?
                    .execute(params![
                        event.id,
                        event.connection,
                        event.subscription,
                        event.card,
                        event.event_id,
                        event.time_ms,
                        event.payload.to_string(),
                        event.delivery,
                        event.received_at_ms
                    ])?;
                if inserted == 0 {
                    continue;
                }
                fresh += 1;
                if let Some(run) = run {
                    start(transaction, event, run)?;
                }
            }
            match brought_by {
                BroughtBy::Delivery(id) => {
                    transaction.execute("UPDATE delivery SET state = 'done', failure = NULL WHERE id = ?1", [id])?
                }
                BroughtBy::Poll { connection, cursor } => transaction.execute(
                    "INSERT INTO cursor (connection, cursor) VALUES (?1, ?2) \
                     ON CONFLICT (connection) DO UPDATE SET cursor = excluded.cursor",
                    [connection, cursor],
                )?,
            };
            Ok(fresh)
        })
    }

    /// Where the poll of a connection goes on.
    pub fn cursor(&self, connection: &str) -> Result<Option<String>, StoreError> {
        self.read(|db| {
            let sql = "SELECT cursor FROM cursor WHERE connection = ?1";
            Ok(db.prepare_cached(sql)?.query_row([connection], |row| row.get(0)).optional()?)
        })
    }

    /// Events, newest first, at most `limit`.
    pub fn events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM event ORDER BY received_at_ms DESC, rowid DESC LIMIT ?1");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([limit], from_row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// One event, by the host's id.
    pub fn event(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        self.read(|db| Ok(db.prepare_cached(&event_by_id())?.query_row([id], from_row).optional()?))
    }

    /// One event, by the host's id or the connector's. Looks through all events where the host knows no such id.
    pub fn event_called(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        if let Some(event) = self.event(id)? {
            return Ok(Some(event));
        }
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM event WHERE event_id = ?1 ORDER BY rowid LIMIT 1");
            Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
        })
    }
}

/// Starts a run, once per flow and event. One that would go round in a circle is kept and not run.
fn start(db: &rusqlite::Connection, event: &StoredEvent, run: &NewRun) -> Result<(), StoreError> {
    let now = event.received_at_ms;
    let cause = cause_of(db, &run.origin, now)?;
    let stopped = match &cause {
        Some(cause) => goes_round(db, &run.flow, cause)?,
        None => false,
    };
    let failure = stopped.then(|| {
        json!({
            "kind": "permanent", "code": "host.flow-loop", "class": "conflict",
            "message": format!("the flow `{}` starts itself: what it does brings the event that it waits for", run.flow),
            "remedy": "Narrow its `filter` or `when` so that what it has done is left out, then let it run by hand \
                       with `harness runs retry ID --from-event` where it is needed.",
            "who": "user", "repeatable": true,
        })
    });
    let inserted = db
        .prepare_cached(
            "INSERT INTO run (id, flow, definition, event, event_id, state, due_at_ms, failure, created_at_ms, \
             ended_at_ms, time_ms, connection, order_key, skip_late, cancel, again_of, object, cause) \
             SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?7,?9,?10,?11,?12,?13,0,NULL,?14,?15 \
             WHERE NOT EXISTS (SELECT 1 FROM seen WHERE kind = 'run' AND owner = ?2 AND id = ?5) \
             ON CONFLICT (flow, event_id) WHERE again_of IS NULL DO NOTHING",
        )?
        .execute(params![
            run.id,
            run.flow,
            run.definition,
            event.id,
            event.event_id,
            if stopped { "skipped" } else { "pending" },
            now,
            failure.as_ref().map(Value::to_string),
            stopped.then_some(now),
            event.time_ms.unwrap_or(now),
            run.connection,
            run.order_key,
            run.skip_late,
            run.origin.kept(),
            cause,
        ])?;
    if let (1, Some(failure)) = (inserted, &failure) {
        let message = format!("run {} was stopped: {}", run.id, failure["message"].as_str().unwrap_or_default());
        let (connection, code) = (Some(event.connection.clone()), "host.flow-loop".into());
        raise_in(db, &Alarm { at_ms: now, connection, code, message })?;
    }
    Ok(())
}
