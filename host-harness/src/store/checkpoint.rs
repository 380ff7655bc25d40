//! Moves the journal into the database file, beside the writers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::{Parts, StoreError, connect};

/// After how many changed rows it is done. A command changes fewer; the last connection to close does it for those.
const EVERY: u64 = 1000;
/// From how many pages on writers wait until the journal begins anew (64 MiB with pages of 4 KiB): while they never
/// pause it would grow without end.
const TOO_LONG: i64 = 16_384;

#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// The count of changed rows when the last one began.
    begun_at: AtomicU64,
    running: AtomicBool,
    connection: Mutex<Option<Connection>>,
}

/// Told after a commit how many rows were changed since the store was opened, it starts a checkpoint in a thread of its
/// own every so often.
pub(super) fn after_commit(parts: &Arc<Parts>, changed: u64) {
    let checkpoints = &parts.checkpoints;
    let since = changed.saturating_sub(checkpoints.begun_at.load(Ordering::Relaxed));
    if since < EVERY || checkpoints.running.swap(true, Ordering::AcqRel) {
        return;
    }
    checkpoints.begun_at.store(changed, Ordering::Relaxed);
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

fn run(parts: &Parts) -> Result<(), StoreError> {
    // Nothing is copied out of a journal that may not be on disk.
    if parts.journal.is_broken() {
        return Ok(());
    }
    let mut kept = parts.checkpoints.connection.lock().unwrap_or_else(PoisonError::into_inner);
    let connection = match kept.take() {
        Some(connection) => connection,
        None => connect(&parts.path)?,
    };
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?;
    if pages > TOO_LONG {
        // Most is copied already, so writers wait for the rest only.
        let writer = parts.writer();
        if !parts.journal.is_broken() {
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
