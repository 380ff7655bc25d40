//! Moves the journal into the database file, beside the writers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::{Parts, StoreError, connect};

/// After how many changed rows it is done. A command changes fewer; the last connection to close does it for those.
const EVERY: u64 = 1000;
/// And by how many bytes the journal may grow: a row may hold many.
const EVERY_BYTES: u64 = 8 << 20;
/// How long the journal's file stays once the journal begins anew.
pub(super) const KEPT_BYTES: u64 = 16 << 20;
/// From how many pages on writers wait until the journal begins anew (64 MiB with pages of 4 KiB): while they never
/// pause it would grow without end.
pub(super) const TOO_LONG: i64 = 16_384;
/// How many pages may be left to copy while they wait. More are left where a reader still needs the journal: then it
/// grows until that has ended, and nobody waits.
const LEFT: i64 = 1024;
/// How long they wait for readers, and for other processes that write.
const WAIT: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// The count of changed rows when the last one began.
    begun_at: AtomicU64,
    /// The length of the journal's file then, or the shortest since.
    begun_long: AtomicU64,
    running: AtomicBool,
    connection: Mutex<Option<Connection>>,
}

impl Checkpoints {
    /// Whether one is under way.
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }
}

/// Told after a commit how many rows were changed since the store was opened, it starts a checkpoint in a thread of its
/// own every so often.
pub(super) fn after_commit(parts: &Arc<Parts>, changed: u64) {
    let checkpoints = &parts.checkpoints;
    let since = changed.saturating_sub(checkpoints.begun_at.load(Ordering::Relaxed));
    // The file is never shorter than the journal in it, and shortened where that begins anew.
    let long = parts.journal.length();
    let grown = long.saturating_sub(checkpoints.begun_long.fetch_min(long, Ordering::Relaxed));
    if (since < EVERY && grown < EVERY_BYTES) || checkpoints.running.swap(true, Ordering::AcqRel) {
        return;
    }
    checkpoints.begun_at.store(changed, Ordering::Relaxed);
    checkpoints.begun_long.store(long, Ordering::Relaxed);
    let shared = Arc::clone(parts);
    let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
        let _running = Running(&shared.checkpoints.running);
        if let Err(error) = run(&shared) {
            tracing::warn!(%error, "the journal could not be moved into the database file; tried again later");
        }
    });
    if thread.is_err() {
        checkpoints.running.store(false, Ordering::Release);
    }
}

/// Lets the next one begin, also after a panic: the journal would grow without end.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

pub(super) fn run(parts: &Parts) -> Result<(), StoreError> {
    // Nothing is copied out of a journal that may not be on disk.
    if parts.journal.is_broken() {
        return Ok(());
    }
    let mut kept = parts.checkpoints.connection.lock().unwrap_or_else(PoisonError::into_inner);
    let connection = match kept.take() {
        Some(connection) => connection,
        None => {
            let connection = connect(&parts.path)?;
            connection.busy_timeout(WAIT)?;
            connection
        }
    };
    let (pages, copied): (i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    if pages > TOO_LONG && pages - copied <= LEFT {
        let writer = parts.writer();
        if !parts.journal.is_broken() {
            // Where a reader is in the way, the first column says so, and the next one tries again.
            connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
        }
        drop(writer);
    }
    *kept = Some(connection);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_panic_the_next_one_may_begin() {
        let flag = AtomicBool::new(true);
        let panicked = std::panic::catch_unwind(|| {
            let _running = Running(&flag);
            panic!("on purpose");
        });
        assert!(panicked.is_err() && !flag.load(Ordering::Acquire));
    }
}
