//! For how long what is over is kept. What waits, failed or is uncertain stays until somebody decides.

use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::{Transaction, params};

use super::{Store, StoreError};
use crate::clock::EpochMs;

/// The shortest time for which ids are kept: what a service may still send again starts nothing twice.
pub const IDS_AT_LEAST: Duration = Duration::from_secs(90 * 24 * 3600);

/// For how long what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Deliveries that were read, with their bodies.
    pub deliveries: Duration,
    /// Runs that are over and did not fail, with their steps; events whose runs are gone.
    pub history: Duration,
    /// Ids by which a delivery, an event or a start that comes again is known; alarms.
    pub ids: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        let days = |count: u64| Duration::from_secs(count * 24 * 3600);
        Self { deliveries: days(7), history: days(30), ids: IDS_AT_LEAST }
    }
}

impl Keeping {
    /// What came before this is older than the ids of its time.
    pub fn ids_from(&self, now: EpochMs) -> EpochMs {
        before(now, self.ids)
    }
}

fn before(now: EpochMs, kept: Duration) -> EpochMs {
    now.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
}

/// What is deleted, and how: which rows, what of them stays known, which table.
struct Sweep {
    rows: &'static str,
    remember: Option<&'static str>,
    delete: &'static str,
}

const DELIVERIES: Sweep = Sweep {
    rows: "SELECT rowid FROM delivery WHERE state = 'done' AND received_at_ms < ?1 LIMIT ?2",
    remember: Some(
        "INSERT OR IGNORE INTO seen SELECT 'delivery', connection, service_id, sha256, received_at_ms FROM delivery \
         WHERE service_id IS NOT NULL AND rowid IN (SELECT value FROM json_each(?1))",
    ),
    delete: "DELETE FROM delivery WHERE rowid IN (SELECT value FROM json_each(?1))",
};
const RUNS: Sweep = Sweep {
    rows: "SELECT rowid FROM run WHERE created_at_ms < ?1 AND state IN ('done', 'skipped', 'cancelled') \
           AND coalesce(ended_at_ms, created_at_ms) < ?1 LIMIT ?2",
    remember: Some(
        "INSERT OR IGNORE INTO seen SELECT 'run', flow, event_id, '', created_at_ms FROM run \
         WHERE rowid IN (SELECT value FROM json_each(?1))",
    ),
    delete: "DELETE FROM run WHERE rowid IN (SELECT value FROM json_each(?1))",
};
const EVENTS: Sweep = Sweep {
    rows: "SELECT rowid FROM event WHERE received_at_ms < ?1 \
           AND NOT EXISTS (SELECT 1 FROM run WHERE run.event = event.id) LIMIT ?2",
    remember: Some(
        "INSERT OR IGNORE INTO seen SELECT 'event', subscription, event_id, '', received_at_ms FROM event \
         WHERE rowid IN (SELECT value FROM json_each(?1))",
    ),
    delete: "DELETE FROM event WHERE rowid IN (SELECT value FROM json_each(?1))",
};
const ALARMS: Sweep = Sweep {
    rows: "SELECT id FROM alarm WHERE at_ms < ?1 LIMIT ?2",
    remember: None,
    delete: "DELETE FROM alarm WHERE id IN (SELECT value FROM json_each(?1))",
};
/// What is known of accounts that no connection has any more. While one has not said which it has, all of it stays.
const ACCOUNTS: Sweep = Sweep {
    rows: "SELECT rowid FROM guard WHERE at_ms < ?1 AND NOT EXISTS \
           (SELECT 1 FROM connection WHERE guard_account IS NULL OR guard_account = guard.account) LIMIT ?2",
    remember: None,
    delete: "DELETE FROM guard WHERE rowid IN (SELECT value FROM json_each(?1))",
};
/// For how long it counts what a service refused, where the connection is gone: whoever makes it anew does so soon.
const ACCOUNTS_FOR: Duration = Duration::from_secs(24 * 3600);

impl Sweep {
    fn run(&self, db: &Transaction<'_>, before: EpochMs, most: u32) -> Result<usize, StoreError> {
        let mut find = db.prepare_cached(self.rows)?;
        let rows: Vec<i64> = find.query_map(params![before, most], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if rows.is_empty() {
            return Ok(0);
        }
        let rows = serde_json::json!(rows).to_string();
        if let Some(remember) = self.remember {
            db.prepare_cached(remember)?.execute([&rows])?;
        }
        Ok(db.prepare_cached(self.delete)?.execute([&rows])?)
    }
}

impl Store {
    /// For how long what is over is kept.
    pub fn keeping(&self) -> Keeping {
        *self.parts.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says for how long what is over is to be kept. Ids are kept for [`IDS_AT_LEAST`] and as long as the rest.
    pub fn keep_for(&self, keeping: Keeping) {
        let ids = keeping.ids.max(IDS_AT_LEAST).max(keeping.deliveries).max(keeping.history);
        *self.parts.keeping.lock().unwrap_or_else(PoisonError::into_inner) = Keeping { ids, ..keeping };
    }

    /// Deletes a little of what was kept for long enough, at most `most` rows of each kind. Answers how many went: none
    /// means that nothing is left to delete.
    pub fn sweep(&self, now: EpochMs, most: u32) -> Result<usize, StoreError> {
        let keeping = self.keeping();
        let mut gone = 0;
        for (sweep, kept) in [
            (&DELIVERIES, keeping.deliveries),
            (&RUNS, keeping.history),
            (&EVENTS, keeping.history),
            (&ALARMS, keeping.ids),
            (&ACCOUNTS, ACCOUNTS_FOR),
        ] {
            gone += self.note(|db| sweep.run(db, before(now, kept), most))?;
        }
        gone += self.note(|db| {
            let mut forget = db.prepare_cached(
                "DELETE FROM seen WHERE (kind, owner, id) IN \
                 (SELECT kind, owner, id FROM seen WHERE at_ms < ?1 LIMIT ?2)",
            )?;
            Ok::<_, StoreError>(forget.execute(params![keeping.ids_from(now), most])?)
        })?;
        Ok(gone)
    }
}
