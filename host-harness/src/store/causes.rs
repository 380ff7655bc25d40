//! Which run's work an event seems to come from, so that a flow that starts itself is noticed.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use crate::clock::EpochMs;

/// How far back a run may lie whose work caused an event.
const WINDOW_MS: EpochMs = 15 * 60 * 1000;
/// How long a chain of causes is followed.
const LONGEST_CHAIN: usize = 64;
/// How often a flow may run within one chain of causes.
const MOST_IN_CHAIN: usize = 2;

/// What an event says of where it comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What it happened to: the connection's id, and the connector's name of it.
    pub object: Option<(String, String)>,
    /// Whether the connection's own account did it.
    pub ours: bool,
}

impl Origin {
    /// The object as it is kept.
    pub(super) fn kept(&self) -> Option<String> {
        self.object.as_ref().map(|(connection, name)| format!("{connection}/{name}"))
    }
}

/// The run whose work an event of our own account seems to come from: the last one that an event of the same object
/// started, or one of whose steps made or changed that object.
pub(super) fn cause_of(db: &Connection, origin: &Origin, now: EpochMs) -> Result<Option<String>, StoreError> {
    let (true, Some(object)) = (origin.ours, origin.kept()) else { return Ok(None) };
    let since = now.saturating_sub(WINDOW_MS);
    let started = "SELECT id FROM run WHERE object = ?1 AND created_at_ms >= ?2 AND state NOT IN ('skipped', 'pending') \
                   ORDER BY object DESC, created_at_ms DESC, rowid DESC LIMIT 1";
    let worked =
        "SELECT run FROM step WHERE object = ?1 AND began_at_ms >= ?2 ORDER BY object, began_at_ms DESC LIMIT 1";
    for sql in [started, worked] {
        let found = db.prepare_cached(sql)?.query_row(params![object, since], |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether a flow that this run started again has run as often as it may within one chain of causes.
pub(super) fn goes_round(db: &Connection, flow: &str, cause: &str) -> Result<bool, StoreError> {
    let mut before = db.prepare_cached("SELECT flow, cause FROM run WHERE id = ?1")?;
    let (mut times, mut at) = (0, Some(cause.to_owned()));
    for _ in 0..LONGEST_CHAIN {
        let Some(id) = at else { return Ok(false) };
        let found = before
            .query_row([&id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))
            .optional()?;
        let Some((of, next)) = found else { return Ok(false) };
        times += usize::from(of == flow);
        if times >= MOST_IN_CHAIN {
            return Ok(true);
        }
        at = next;
    }
    Ok(true)
}
