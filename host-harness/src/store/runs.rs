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
    /// `pending`, `running`, `waiting`, `done`, `skipped`, `failed` or `uncertain`.
    pub state: String,
    /// When a run that waits goes on.
    pub due_at_ms: EpochMs,
    /// Why it failed.
    pub failure: Option<Value>,
    /// When it was started.
    pub created_at_ms: EpochMs,
    /// When it ended.
    pub ended_at_ms: Option<EpochMs>,
}

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
}

const RUN: &str = "id, flow, definition, event, event_id, state, due_at_ms, failure, created_at_ms, ended_at_ms";

fn optional_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn run(row: &Row<'_>) -> rusqlite::Result<StoredRun> {
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
    })
}

impl Store {
    /// Takes the oldest run that is due and whose flow is not in `full`, and marks it as running.
    pub fn claim_run(&self, now: EpochMs, full: &[String]) -> Result<Option<StoredRun>, StoreError> {
        let full = serde_json::to_string(full).unwrap_or_else(|_| "[]".into());
        self.write(|transaction| {
            let sql = format!(
                "UPDATE run SET state = 'running' WHERE id = (SELECT id FROM run WHERE state IN ('pending', 'waiting') \
                 AND due_at_ms <= ?1 AND flow NOT IN (SELECT value FROM json_each(?2)) \
                 ORDER BY due_at_ms, created_at_ms, rowid LIMIT 1) RETURNING {RUN}"
            );
            Ok(transaction.query_row(&sql, params![now, full], run).optional()?)
        })
    }

    /// When the next run that waits goes on.
    pub fn next_run_due(&self) -> Result<Option<EpochMs>, StoreError> {
        self.read(
            |db| Ok(db.query_row("SELECT min(due_at_ms) FROM run WHERE state = 'waiting'", [], |row| row.get(0))?),
        )
    }

    /// Runs that were running when the last process ended.
    pub fn interrupted_runs(&self) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare(&format!("SELECT {RUN} FROM run WHERE state = 'running'"))?;
            let rows = statement.query_map([], run)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// Runs, newest first, at most `limit`.
    pub fn runs(&self, limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {RUN} FROM run ORDER BY created_at_ms DESC, rowid DESC LIMIT ?1");
            let mut statement = db.prepare(&sql)?;
            let rows = statement.query_map([limit], run)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// One run.
    pub fn run(&self, id: &str) -> Result<Option<StoredRun>, StoreError> {
        self.read(|db| Ok(db.query_row(&format!("SELECT {RUN} FROM run WHERE id = ?1"), [id], run).optional()?))
    }

    /// The runs that an event started, oldest first.
    pub fn runs_of_event(&self, event: &str) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare(&format!("SELECT {RUN} FROM run WHERE event = ?1 ORDER BY rowid"))?;
            let rows = statement.query_map([event], run)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// The steps of a run, in their order.
    pub fn steps(&self, run: &str) -> Result<Vec<StoredStep>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT position, id, card, connection, state, input, continuation, output, failure, attempts, \
                 began_at_ms, ended_at_ms FROM step WHERE run = ?1 ORDER BY position",
            )?;
            let rows = statement.query_map([run], step)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// Keeps the state of a step.
    pub fn put_step(&self, run: &str, step: &StoredStep) -> Result<(), StoreError> {
        self.write(|transaction| put_step(transaction, run, step))
    }

    /// Ends a run, or lets it wait, together with the step that decided it.
    pub fn settle_run(
        &self,
        run: &str,
        state: &str,
        failure: Option<&Value>,
        due_at_ms: EpochMs,
        ended_at_ms: Option<EpochMs>,
        step: Option<&StoredStep>,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            if let Some(step) = step {
                put_step(transaction, run, step)?;
            }
            transaction.execute(
                "UPDATE run SET state = ?2, failure = ?3, due_at_ms = ?4, ended_at_ms = ?5 WHERE id = ?1",
                params![run, state, failure.map(Value::to_string), due_at_ms, ended_at_ms],
            )?;
            Ok(())
        })
    }
}

fn put_step(db: &rusqlite::Connection, run: &str, step: &StoredStep) -> Result<(), StoreError> {
    db.execute(
        "INSERT OR REPLACE INTO step (run, position, id, card, connection, state, input, continuation, output, failure, \
         attempts, began_at_ms, ended_at_ms) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
        params![
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
            step.ended_at_ms
        ],
    )?;
    Ok(())
}
