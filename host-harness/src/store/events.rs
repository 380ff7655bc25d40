//! Events: what happened, once per subscription, and the runs they start.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

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
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: String,
    /// The flow's name.
    pub flow: String,
    /// The flow as it is now: a JSON text.
    pub definition: String,
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
                    transaction
                        .prepare_cached(
                            "INSERT INTO run (id, flow, definition, event, event_id, state, due_at_ms, created_at_ms) \
                             SELECT ?1,?2,?3,?4,?5,'pending',0,?6 \
                             WHERE NOT EXISTS (SELECT 1 FROM seen WHERE kind = 'run' AND owner = ?2 AND id = ?5) \
                             ON CONFLICT (flow, event_id) DO NOTHING",
                        )?
                        .execute(params![
                            run.id,
                            run.flow,
                            run.definition,
                            event.id,
                            event.event_id,
                            event.received_at_ms
                        ])?;
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

    /// One event, by the host's id or the connector's.
    pub fn event(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM event WHERE id = ?1 OR event_id = ?1 ORDER BY rowid LIMIT 1");
            Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
        })
    }
}
