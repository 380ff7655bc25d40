//! What failed for good or is uncertain and waits for a person: runs and deliveries.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::runs::{RUN, StoredRun, run};
use super::{Store, StoreError};
use crate::clock::EpochMs;

/// A delivery that was acknowledged and could not be read.
#[derive(Debug, Clone)]
pub struct FailedDelivery {
    /// The host's id of it.
    pub id: String,
    /// The connection, by id.
    pub connection: String,
    /// The service's id of the registration.
    pub registration: String,
    /// The id that is the same in every attempt, where the service gives one.
    pub service_id: Option<String>,
    /// When it arrived.
    pub received_at_ms: EpochMs,
    /// How often it was processed in vain.
    pub attempts: u32,
    /// Why the last time: as the host's errors are, in JSON.
    pub failure: Option<Value>,
    /// The length of its body, in bytes.
    pub size: u64,
    /// Whether it was given up.
    pub dismissed: bool,
}

/// Which dead letters are given up.
#[derive(Debug, Clone, Copy)]
pub enum DeadLettersOf<'a> {
    /// These, by id: all of them or none.
    Ids(&'a [String]),
    /// All there are.
    Everything,
    /// Those of the connection of this name: for a run, the one that its next step works on.
    Connection(&'a str),
}

/// What was given up, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dismissed {
    /// The runs.
    pub runs: Vec<String>,
    /// The deliveries.
    pub deliveries: Vec<String>,
    /// Those that are no dead letters. Where there are any, nothing was given up.
    pub unknown: Vec<String>,
}

const DELIVERY: &str = "id, connection, registration, service_id, received_at_ms, attempts, failure, length(body), \
     state = 'done'";
/// A delivery that is done has a failure only where it was given up.
const GIVEN_UP: &str = "state = 'done' AND failure IS NOT NULL";
const DEAD_RUN: &str = "state IN ('failed', 'uncertain') \
     AND NOT EXISTS (SELECT 1 FROM run AS later WHERE later.again_of = run.id)";

fn delivery(row: &Row<'_>) -> rusqlite::Result<FailedDelivery> {
    Ok(FailedDelivery {
        id: row.get(0)?,
        connection: row.get(1)?,
        registration: row.get(2)?,
        service_id: row.get(3)?,
        received_at_ms: row.get(4)?,
        attempts: row.get(5)?,
        failure: row.get::<_, Option<String>>(6)?.and_then(|text| serde_json::from_str(&text).ok()),
        size: row.get(7)?,
        dismissed: row.get(8)?,
    })
}

impl Store {
    /// Runs that failed or are uncertain and that nobody did anew, oldest first, at most `limit`.
    pub fn dead_runs(&self, limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {RUN} FROM run WHERE {DEAD_RUN} ORDER BY created_at_ms, rowid LIMIT ?1");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([limit], run)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// How many there are: kind, state, count.
    pub fn dead_letters(&self) -> Result<[(&'static str, &'static str, u64); 3], StoreError> {
        self.read(|db| {
            let runs = format!(
                "SELECT count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'uncertain') \
                 FROM run WHERE {DEAD_RUN}"
            );
            let (failed, uncertain) = db.prepare_cached(&runs)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let deliveries = "SELECT count(*) FROM delivery WHERE state = 'failed'";
            let unread = db.prepare_cached(deliveries)?.query_row([], |row| row.get(0))?;
            Ok([("run", "failed", failed), ("run", "uncertain", uncertain), ("delivery", "failed", unread)])
        })
    }

    /// Deliveries that were acknowledged and could not be read, oldest first, at most `limit`.
    pub fn failed_deliveries(&self, limit: u32) -> Result<Vec<FailedDelivery>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {DELIVERY} FROM delivery WHERE state = 'failed' ORDER BY received_at_ms, rowid LIMIT ?1"
            ))?;
            let rows = statement.query_map([limit], delivery)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// One that could not be read, also one that was given up.
    pub fn failed_delivery(&self, id: &str) -> Result<Option<FailedDelivery>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {DELIVERY} FROM delivery WHERE id = ?1 AND (state = 'failed' OR {GIVEN_UP})");
            Ok(db.query_row(&sql, [id], delivery).optional()?)
        })
    }

    /// Lets a delivery that could not be read be read again, from now on. `false` where there is none of that id that
    /// failed or was given up.
    pub fn retry_delivery(&self, id: &str, now: EpochMs) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let sql = format!(
                "UPDATE delivery SET state = 'pending', attempts = 0, due_at_ms = ?2 \
                 WHERE id = ?1 AND (state = 'failed' OR {GIVEN_UP})"
            );
            Ok(transaction.execute(&sql, params![id, now])? == 1)
        })
    }

    /// Gives dead letters up: runs are cancelled, deliveries done, and both keep the reason as long as they are kept.
    pub fn dismiss(&self, which: DeadLettersOf<'_>, now: EpochMs) -> Result<Dismissed, StoreError> {
        let dismissed: Result<Dismissed, Unchanged> = self.write(|transaction| {
            let dismissed = dismiss_in(transaction, which, now)?;
            if dismissed.unknown.is_empty() { Ok(dismissed) } else { Err(Unchanged::Unknown(dismissed.unknown)) }
        });
        match dismissed {
            Ok(dismissed) => Ok(dismissed),
            Err(Unchanged::Unknown(unknown)) => Ok(Dismissed { unknown, ..Dismissed::default() }),
            Err(Unchanged::Failed(error)) => Err(error),
        }
    }

    /// Gives up a delivery that waits to be read, for this reason.
    pub fn close_delivery(&self, id: &str, reason: &Value) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE delivery SET state = 'done', failure = ?2 WHERE id = ?1 AND state = 'pending'";
            transaction.execute(sql, params![id, reason.to_string()])?;
            Ok(())
        })
    }
}

/// Why nothing was given up.
enum Unchanged {
    Unknown(Vec<String>),
    Failed(StoreError),
}

impl From<StoreError> for Unchanged {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

fn dismiss_in(db: &Connection, which: DeadLettersOf<'_>, now: EpochMs) -> Result<Dismissed, StoreError> {
    let mut dismissed = Dismissed::default();
    let mut dismiss = |id: Option<&str>, connection: Option<&str>| -> Result<bool, StoreError> {
        let mut runs = db.prepare_cached(&format!(
            "UPDATE run SET state = 'cancelled', cancel = 1, ended_at_ms = coalesce(ended_at_ms, ?3) \
             WHERE {DEAD_RUN} AND (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR connection = ?2) RETURNING id"
        ))?;
        let mut deliveries = db.prepare_cached(
            "UPDATE delivery SET state = 'done', failure = coalesce(failure, '{}') WHERE state = 'failed' \
             AND (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR connection = (SELECT id FROM connection WHERE name = ?2)) \
             RETURNING id",
        )?;
        let before = dismissed.runs.len() + dismissed.deliveries.len();
        for gone in runs.query_map(params![id, connection, now], |row| row.get(0))? {
            dismissed.runs.push(gone?);
        }
        for gone in deliveries.query_map(params![id, connection], |row| row.get(0))? {
            dismissed.deliveries.push(gone?);
        }
        Ok(dismissed.runs.len() + dismissed.deliveries.len() > before)
    };
    let mut unknown = Vec::new();
    match which {
        DeadLettersOf::Everything => drop(dismiss(None, None)?),
        DeadLettersOf::Connection(name) => drop(dismiss(None, Some(name))?),
        DeadLettersOf::Ids(ids) => {
            let mut named = std::collections::HashSet::new();
            for id in ids.iter().filter(|id| named.insert(id.as_str())) {
                if !dismiss(Some(id), None)? {
                    unknown.push(id.clone());
                }
            }
        }
    }
    Ok(Dismissed { unknown, ..dismissed })
}

/// Gives up what waits to be read or could not be, of a connection that is removed. Answers how many.
pub(super) fn close_all(db: &Connection, connection: &str, reason: &Value) -> Result<usize, StoreError> {
    let sql =
        "UPDATE delivery SET state = 'done', failure = ?2 WHERE connection = ?1 AND state IN ('pending', 'failed')";
    Ok(db.execute(sql, params![connection, reason.to_string()])?)
}
