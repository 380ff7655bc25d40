//! How much waits, and for how long: read by an operator's tools, and by what hands out the work fairly.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};
use crate::clock::EpochMs;

/// What waits in the store.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    /// Deliveries that were acknowledged and not read yet.
    pub deliveries: u64,
    /// Of these, those that could be read now.
    pub deliveries_due: u64,
    /// When the oldest of those that could be read now came.
    pub oldest_due_ms: Option<EpochMs>,
    /// Runs that were not begun.
    pub runs_pending: u64,
    /// Runs that wait for a time.
    pub runs_waiting: u64,
    /// Since when the oldest of the runs is due that could go on now. One with a key of its own counts for none: when
    /// its turn comes, it is due since it was made.
    pub oldest_run_due_ms: Option<EpochMs>,
}

/// How many there are of what people make.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Connections.
    pub connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Registrations at services.
    pub registrations: u64,
    /// Alarms, by code.
    pub alarms: Vec<(String, u64)>,
}

/// A place in the order in which deliveries become due: when, when they came, and their row. Before all at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DuePlace(EpochMs, EpochMs, i64);

/// A delivery that could be read now.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// The host's id of it.
    pub id: String,
    /// The connection, by id.
    pub connection: String,
    /// Where it stands.
    pub place: DuePlace,
}

impl Store {
    /// What waits. Looks only at what waits, however long the history is.
    pub fn backlog(&self, now: EpochMs) -> Result<Backlog, StoreError> {
        self.read(|db| {
            let mut backlog = db
                .prepare_cached(
                    "SELECT count(*), count(*) FILTER (WHERE due_at_ms <= ?1), \
                     min(received_at_ms) FILTER (WHERE due_at_ms <= ?1) FROM delivery WHERE state = 'pending'",
                )?
                .query_row([now], |row| {
                    Ok(Backlog {
                        deliveries: row.get(0)?,
                        deliveries_due: row.get(1)?,
                        oldest_due_ms: row.get(2)?,
                        ..Backlog::default()
                    })
                })?;
            (backlog.runs_pending, backlog.runs_waiting, backlog.oldest_run_due_ms) = db
                .prepare_cached(
                    "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'waiting'), \
                     min(due_at_ms) FILTER (WHERE due_at_ms <= ?1 AND order_key IS NULL) \
                     FROM run WHERE state IN ('pending', 'waiting')",
                )?
                .query_row([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(backlog)
        })
    }

    /// How many there are of what people make.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        self.read(|db| {
            let count = |table: &str| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
            let mut codes = db.prepare_cached("SELECT code, count(*) FROM alarm GROUP BY code ORDER BY code")?;
            let alarms = codes.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            Ok(Inventory {
                connections: count("connection")?,
                subscriptions: count("subscription")?,
                registrations: count("registration")?,
                alarms,
            })
        })
    }

    /// Writes to the disk, to know that it can be written to.
    pub fn probe(&self, now: EpochMs) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO meta (key, value) VALUES ('probed-at-ms', ?1) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [now.to_string()],
            )?;
            Ok(())
        })
    }

    /// The connections that have subscriptions, with the cards these are to.
    pub fn subscribed_cards(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT DISTINCT connection, card FROM subscription ORDER BY 1, 2")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The connections for which something is registered.
    pub fn registered_connections(&self) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT DISTINCT connection FROM registration")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The names of all connections.
    pub fn connection_names(&self) -> Result<HashSet<String>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT name FROM connection")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Deliveries that wait to be read and are due, the longest due first: up to `most` behind a place.
    pub fn due_deliveries(&self, now: EpochMs, behind: DuePlace, most: usize) -> Result<Vec<DueDelivery>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, connection, due_at_ms, received_at_ms, rowid FROM delivery \
                 WHERE state = 'pending' AND due_at_ms <= ?1 AND (due_at_ms, received_at_ms, rowid) > (?2, ?3, ?4) \
                 ORDER BY due_at_ms, received_at_ms, rowid LIMIT ?5",
            )?;
            let DuePlace(due, received, row) = behind;
            let rows = statement.query_map(params![now, due, received, row, most], |row| {
                let place = DuePlace(row.get(2)?, row.get(3)?, row.get(4)?);
                Ok(DueDelivery { id: row.get(0)?, connection: row.get(1)?, place })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The delivery that brought an event; the outer none where the event is not kept any more.
    pub fn delivery_of_event(&self, event: &str) -> Result<Option<Option<String>>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT delivery FROM event WHERE id = ?1")?;
            Ok(statement.query_row([event], |row| row.get(0)).optional()?)
        })
    }
}
