//! What a person does with a run: stop it, have it done again, give it up.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::run_steps::pass_on;
use super::runs::{BEHIND, RUN, StoredRun, StoredStep, put_step, run};
use super::{Store, StoreError};
use crate::clock::EpochMs;

/// What became of the wish to cancel a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled: nothing of it was under way.
    Now,
    /// A step is under way, and the run stops after it.
    Soon,
    /// It had ended well, or was cancelled before.
    Over,
}

/// How a run is done again from where it stands.
#[derive(Debug, Clone)]
pub struct Again<'a> {
    /// The flow to go on with, as a JSON text, where it is another one.
    pub definition: Option<&'a str>,
    /// The connection that its next step works on.
    pub connection: &'a str,
    /// The step to begin with, as it shall be kept; none where that one has not begun yet.
    pub step: Option<&'a StoredStep>,
    /// The first position whose step is forgotten.
    pub forget_from: u32,
}

impl Store {
    /// Wants a run to stop. One that failed or is uncertain is given up: it is no dead letter any more.
    pub fn cancel_run(&self, id: &str, now: EpochMs) -> Result<Option<Cancelled>, StoreError> {
        self.write(|transaction| {
            let Some(run) = read(transaction, id)? else { return Ok(None) };
            let outcome = match run.state.as_str() {
                "pending" | "waiting" | "failed" | "uncertain" => Cancelled::Now,
                "running" => Cancelled::Soon,
                _ => return Ok(Some(Cancelled::Over)),
            };
            if outcome == Cancelled::Soon {
                transaction.execute("UPDATE run SET cancel = 1 WHERE id = ?1", [id])?;
                return Ok(Some(outcome));
            }
            let sql =
                "UPDATE run SET state = 'cancelled', cancel = 1, ended_at_ms = coalesce(ended_at_ms, ?2) WHERE id = ?1";
            transaction.execute(sql, params![id, now])?;
            if let Some(key) = &run.order_key {
                pass_on(transaction, key)?;
            }
            Ok(Some(outcome))
        })
    }

    /// Has a run that failed, is uncertain or was cancelled go on. False where it is none of these any more.
    pub fn run_again(&self, id: &str, again: &Again<'_>, now: EpochMs) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE run SET state = 'waiting', cancel = 0, due_at_ms = ?2, ended_at_ms = NULL, \
                 definition = coalesce(?3, definition), connection = ?4 \
                 WHERE id = ?1 AND state IN ('failed', 'uncertain', 'cancelled')",
                params![id, now, again.definition, again.connection],
            )?;
            if changed == 0 {
                return Ok(false);
            }
            transaction
                .execute("DELETE FROM step WHERE run = ?1 AND position >= ?2", params![id, again.forget_from])?;
            if let Some(step) = again.step {
                put_step(transaction, id, step)?;
            }
            Ok(true)
        })
    }

    /// Has an event run its flow once more, as a new run `new` that names the one before. False where that one is not
    /// over, or such a run is not over yet.
    pub fn run_anew(
        &self,
        before: &str,
        new: &str,
        definition: Option<&str>,
        connection: &str,
        now: EpochMs,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let made = transaction.execute(
                "INSERT INTO run (id, flow, definition, event, event_id, state, due_at_ms, created_at_ms, time_ms, \
                 connection, order_key, skip_late, cancel, again_of, object, cause) \
                 SELECT ?2, flow, coalesce(?3, definition), event, event_id, 'pending', ?5, ?5, time_ms, ?4, order_key, \
                 0, 0, id, object, cause FROM run WHERE id = ?1 AND ended_at_ms IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM run AS later WHERE later.again_of = ?1 AND later.ended_at_ms IS NULL)",
                params![before, new, definition, connection, now],
            )?;
            Ok(made == 1)
        })
    }

    /// Lets runs go on at once that wait because of a failure with this code; each finds out anew whether it has to
    /// wait. Answers how many.
    pub fn let_waiting_go_on(&self, code: &str, now: EpochMs) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE run SET due_at_ms = ?2 WHERE state = 'waiting' AND due_at_ms > ?2 AND due_at_ms < ?3 \
                       AND json_extract(failure, '$.code') = ?1";
            Ok(transaction.execute(sql, params![code, now, BEHIND])?)
        })
    }

    /// Lifts what is held for these owners, and lets go on what waits on these connections. Answers how many holds
    /// there were.
    pub fn lift_holds(&self, owners: &[&str], connections: &[String], now: EpochMs) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut lifted = 0;
            for owner in owners {
                lifted +=
                    transaction.execute("DELETE FROM hold WHERE owner = ?1 AND until_ms > ?2", params![owner, now])?;
            }
            let connections = Value::from(connections.to_vec()).to_string();
            transaction.execute(
                "UPDATE run SET due_at_ms = ?2 WHERE state = 'waiting' AND due_at_ms > ?2 \
                 AND connection IN (SELECT value FROM json_each(?1))",
                params![connections, now],
            )?;
            Ok(lifted)
        })
    }
}

fn read(db: &Connection, id: &str) -> Result<Option<StoredRun>, StoreError> {
    Ok(db.query_row(&format!("SELECT {RUN} FROM run WHERE id = ?1"), [id], run).optional()?)
}
