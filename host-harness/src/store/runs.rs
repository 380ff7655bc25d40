//! Runs of flows with their steps: what was put in, what came out, what went wrong.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::{Store, StoreError};
use crate::clock::EpochMs;

/// One run.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Its id.
    pub id: String,
    /// The flow's name.
    pub flow: String,
    /// The flow as it was when the event came: a JSON text.
    pub definition: String,
    /// The event, by the host's id.
    pub event: String,
    /// The event, by the connector's id.
    pub event_id: String,
    /// `pending`, `running`, `waiting`, `done`, `skipped`, `failed`, `uncertain` or `cancelled`.
    pub state: String,
    /// When a run that waits goes on; [`BEHIND`] where it waits for another run of its key.
    pub due_at_ms: EpochMs,
    /// Why it failed, or waits.
    pub failure: Option<Value>,
    /// When it was started.
    pub created_at_ms: EpochMs,
    /// When it ended.
    pub ended_at_ms: Option<EpochMs>,
    /// The connection, by name, that its next step works on.
    pub connection: String,
    /// Runs with the same key go one after another.
    pub order_key: Option<String>,
    /// Whether somebody wants it to stop before its next step.
    pub cancel: bool,
    /// The run that this one does anew.
    pub again_of: Option<String>,
    /// The run whose work seems to have caused its event.
    pub cause: Option<String>,
}

/// When a run goes on that waits for another run of its key: it is let go on when that one has ended.
pub const BEHIND: EpochMs = 1 << 62;

/// One step of a run.
#[derive(Debug, Clone)]
pub struct StoredStep {
    /// Its place in the flow, from 0.
    pub position: u32,
    /// Its id in the flow.
    pub id: String,
    /// The action card.
    pub card: String,
    /// The connection, by name.
    pub connection: String,
    /// `running`, `waiting`, `done`, `skipped`, `failed` or `uncertain`.
    pub state: String,
    /// What was put in.
    pub input: Option<Value>,
    /// How to go on, for a card that has not come to its end: the connector's own.
    pub continuation: Option<String>,
    /// What came out.
    pub output: Option<Value>,
    /// What went wrong last.
    pub failure: Option<Value>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it began.
    pub began_at_ms: EpochMs,
    /// When it ended.
    pub ended_at_ms: Option<EpochMs>,
    /// How often a person had it done anew after it had failed.
    pub redone: u32,
    /// What it made or changed: the connection's id, and the connector's name of it.
    pub object: Option<String>,
}

/// Which runs are meant; what is none means any.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// Their state.
    pub state: Option<&'a str>,
    /// Their flow.
    pub flow: Option<&'a str>,
    /// At most so many.
    pub limit: u32,
}

pub(super) const RUN: &str = "id, flow, definition, event, event_id, state, due_at_ms, failure, created_at_ms, \
     ended_at_ms, connection, order_key, cancel, again_of, cause";

fn optional_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| serde_json::from_str(&text).ok()))
}

pub(super) fn run(row: &Row<'_>) -> rusqlite::Result<StoredRun> {
    Ok(StoredRun {
        id: row.get(0)?,
        flow: row.get(1)?,
        definition: row.get(2)?,
        event: row.get(3)?,
        event_id: row.get(4)?,
        state: row.get(5)?,
        due_at_ms: row.get(6)?,
        failure: optional_json(row, 7)?,
        created_at_ms: row.get(8)?,
        ended_at_ms: row.get(9)?,
        connection: row.get(10)?,
        order_key: row.get(11)?,
        cancel: row.get(12)?,
        again_of: row.get(13)?,
        cause: row.get(14)?,
    })
}

fn step(row: &Row<'_>) -> rusqlite::Result<StoredStep> {
    Ok(StoredStep {
        position: row.get(0)?,
        id: row.get(1)?,
        card: row.get(2)?,
        connection: row.get(3)?,
        state: row.get(4)?,
        input: optional_json(row, 5)?,
        continuation: row.get(6)?,
        output: optional_json(row, 7)?,
        failure: optional_json(row, 8)?,
        attempts: row.get(9)?,
        began_at_ms: row.get(10)?,
        ended_at_ms: row.get(11)?,
        redone: row.get(12)?,
        object: row.get(13)?,
    })
}

impl Store {
    /// Runs that are marked as running: those in hand, and those that a process left so.
    pub fn running_runs(&self) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {RUN} FROM run WHERE state = 'running' ORDER BY created_at_ms");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([], run)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// Runs, newest first, at most `limit`.
    pub fn runs(&self, limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        self.runs_like(RunFilter { limit, ..RunFilter::default() })
    }

    /// The runs that are meant, newest first.
    pub fn runs_like(&self, filter: RunFilter<'_>) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let sql = format!(
                "SELECT {RUN} FROM run WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR flow = ?2) \
                 ORDER BY created_at_ms DESC, rowid DESC LIMIT ?3"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![filter.state, filter.flow, filter.limit], run)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// One run.
    pub fn run(&self, id: &str) -> Result<Option<StoredRun>, StoreError> {
        self.read(|db| Ok(db.query_row(&format!("SELECT {RUN} FROM run WHERE id = ?1"), [id], run).optional()?))
    }

    /// The runs that do this one anew, oldest first, by id.
    pub fn redone_as(&self, id: &str) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT id FROM run WHERE again_of = ?1 ORDER BY rowid")?;
            let rows = statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// The runs that an event started, oldest first.
    pub fn runs_of_event(&self, event: &str) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("SELECT {RUN} FROM run WHERE event = ?1 ORDER BY rowid"))?;
            let rows = statement.query_map([event], run)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// The steps of a run, in their order.
    pub fn steps(&self, run: &str) -> Result<Vec<StoredStep>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT position, id, card, connection, state, input, continuation, output, failure, attempts, \
                 began_at_ms, ended_at_ms, redone, object FROM step WHERE run = ?1 ORDER BY position",
            )?;
            let rows = statement.query_map([run], step)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }
}

pub(super) fn put_step(db: &rusqlite::Connection, run: &str, step: &StoredStep) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO step (run, position, id, card, connection, state, input, continuation, output, \
         failure, attempts, began_at_ms, ended_at_ms, redone, object) \
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
    )?;
    statement.execute(params![
        run,
        step.position,
        step.id,
        step.card,
        step.connection,
        step.state,
        step.input.as_ref().map(Value::to_string),
        step.continuation,
        step.output.as_ref().map(Value::to_string),
        step.failure.as_ref().map(Value::to_string),
        step.attempts,
        step.began_at_ms,
        step.ended_at_ms,
        step.redone,
        step.object
    ])?;
    Ok(())
}
