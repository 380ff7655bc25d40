//! Everything durable, in one SQLite database (WAL, synced): connections, secrets (sealed),
//! subscriptions, deliveries, runs, guards. What `write` returned from is on disk.

mod causes;
mod connections;
mod deliveries;
mod events;
mod holds;
mod meta;
mod run_redo;
mod run_steps;
mod runs;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use causes::Origin;
pub use connections::{StoredConnection, StoredIdentity, StoredOrigin};
pub use deliveries::{Kept, StoredDelivery};
pub use events::{BroughtBy, NewEvent, NewRun, StoredEvent};
pub use meta::Alarm;
pub use run_redo::{Again, Cancelled};
pub use run_steps::{Lane, Standing, Turn};
pub use runs::{BEHIND, RunFilter, StoredRun, StoredStep};
pub use subscriptions::{Endpoint, StoredSubscription};

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The migrations, oldest first. A released one is never changed; a later version adds its own.
const MIGRATIONS: &[&str] = &[include_str!("schema/0001.sql"), include_str!("schema/0003.sql")];

/// Why the store did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the store could not be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database was written by a later version of the host.
    #[error(
        "the store is of a later version ({found}) than this program knows ({known}): upgrade the program, or use another --home"
    )]
    TooNew {
        /// The version found in the file.
        found: usize,
        /// The latest version this program knows.
        known: usize,
    },
}

/// Lets nobody but the owner read the database; the files that SQLite keeps beside it take its rights.
fn keep_private(path: &Path) {
    #[cfg(unix)]
    if let Err(error) = std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)) {
        tracing::warn!(%error, path = %path.display(), "the database's rights could not be narrowed to its owner");
    }
}

/// The database. Shared by all parts of one process; several processes may share the file.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the database, makes it where it does not exist, and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        keep_private(path);
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let store = Self { connection: Mutex::new(connection) };
        store.migrate()?;
        Ok(store)
    }

    /// Runs `work` in a transaction that takes the write lock at once. What it wrote is synced to
    /// disk when this returns `Ok`, and undone when `work` fails.
    pub fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let value = work(&transaction)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(value)
    }

    /// Runs `work` with a view of the database.
    pub fn read<T, E>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        work(&self.lock())
    }

    fn migrate(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            let version: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            let done = version as usize;
            if done > MIGRATIONS.len() {
                return Err(StoreError::TooNew { found: done, known: MIGRATIONS.len() });
            }
            for migration in &MIGRATIONS[done..] {
                transaction.execute_batch(migration)?;
            }
            transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back, so the connection is sound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs work that blocks (the store syncs to disk) without holding up the other tasks of the runtime.
pub(crate) fn off_thread<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Reads a column that holds a JSON text.
fn json_column<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
