//! Everything durable, in one SQLite database (WAL): connections, secrets (sealed), subscriptions, deliveries, runs,
//! guards. What `write` returned from is on disk.
//!
//! `journal` makes many commits durable with one sync, `checkpoint` moves the journal into the database file off the
//! hot path, `reads` lets readers go their way beside the one writer.

mod backup;
mod causes;
mod checkpoint;
pub(crate) mod connections;
pub(crate) mod credentials;
mod dead_letters;
mod deliveries;
mod era;
mod events;
mod holds;
mod journal;
mod meta;
mod migrations;
pub(crate) mod oauth_clients;
mod reads;
mod renaming;
mod retention;
mod run_redo;
mod run_steps;
mod runs;
mod standing;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wal;

pub use backup::Contents;
pub(crate) use backup::{copy, inspect, retire, settle};
pub use causes::Origin;
pub use connections::{StoredConnection, StoredIdentity, StoredOrigin};
pub(crate) use credentials::supersede;
pub use credentials::{Edition, NewTokens, Pause, StoredCredential};
pub use dead_letters::{DeadLettersOf, Dismissed, FailedDelivery};
pub use deliveries::{Kept, StoredDelivery};
pub use era::Era;
pub use events::{BroughtBy, NewEvent, NewRun, StoredEvent};
pub use meta::Alarm;
pub(crate) use meta::KEY_MARK;
pub use oauth_clients::StoredOauthClient;
pub use renaming::Renamed;
pub use retention::{IDS_AT_LEAST, Keeping};
pub use run_redo::{Again, Cancelled};
pub use run_steps::{Lane, Standing, Turn};
pub use runs::{BEHIND, RunFilter, StoredRun, StoredStep};
pub use standing::{Backlog, DueDelivery, DuePlace, Inventory};
pub use subscriptions::{Endpoint, StoredSubscription};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use checkpoint::Checkpoints;
use journal::Journal;
use reads::Readers;

/// How many prepared statements each connection keeps.
const STATEMENTS: usize = 128;
/// How long a connection waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits before it begins a database anew that another process begins, too.
const BEGIN_AGAIN: Duration = Duration::from_millis(20);

/// Why the store did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the store could not be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What was committed may not be on disk, because the disk failed when it was to be synced.
    #[error("the disk did not take what was written ({0}): nothing is kept until it does")]
    Unsynced(String),
    /// What the disk lost cannot be written again by this process.
    #[error(
        "the disk lost a part of the journal that was never confirmed to anybody: put the disk right, then start the program again"
    )]
    JournalLost,
    /// The database was written by a later version of the host.
    #[error("the store is of a later version ({found}) than this program knows ({known})")]
    TooNew {
        /// The version found in the file.
        found: usize,
        /// The latest version this program knows.
        known: usize,
    },
    /// The database was written by an earlier version of the host, which may run on it still.
    #[error("the store is of an earlier version ({found}) than this program writes ({known})")]
    TooOld {
        /// The version found in the file.
        found: usize,
        /// The version that this program writes.
        known: usize,
    },
    /// The library that reads the database lacks what this program relies on.
    #[error("SQLite {found} is too old for this program, which needs {needed}: build it with the SQLite it comes with")]
    OldLibrary {
        /// The version found.
        found: &'static str,
        /// The earliest version that will do.
        needed: &'static str,
    },
    /// The file is no sound database.
    #[error("the database {path} is damaged ({reason})")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is a database of another program.
    #[error("{path} is the database of another program")]
    Foreign {
        /// The file.
        path: String,
    },
    /// What has the database's name is a link, a folder or a device.
    #[error("{path} is no regular file, as a database has to be")]
    NotAFile {
        /// What has the name.
        path: String,
    },
}

impl StoreError {
    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Sqlite(_) | Self::Unsynced(_) | Self::TooOld { .. } => {
                "Check the disk and the rights of the home folder, then try again."
            }
            Self::JournalLost => "Put the disk right, then start the program again.",
            Self::TooNew { .. } => {
                "Use the version that wrote it, or a later one; or restore the backup that was made before the upgrade."
            }
            Self::OldLibrary { .. } => "Build the program with the SQLite it comes with.",
            Self::Damaged { .. } => {
                "Restore a backup with `harness restore --replace FILE`: what is there now is kept beside it."
            }
            Self::Foreign { .. } => "Name another folder with --home.",
            Self::NotAFile { .. } => "Put the database itself there, or name the folder where it is with --home.",
        }
    }

    /// Whether the disk is full, or failed: it may be put right while the program runs.
    pub fn is_of_the_disk(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
        match self {
            Self::Unsynced(_) | Self::JournalLost => true,
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure | CannotOpen | ReadOnly))
            }
            Self::TooNew { .. }
            | Self::TooOld { .. }
            | Self::OldLibrary { .. }
            | Self::Foreign { .. }
            | Self::NotAFile { .. }
            | Self::Damaged { .. } => false,
        }
    }

    /// Whether the value itself is nothing that SQLite can keep: it never will.
    pub fn is_of_the_value(&self) -> bool {
        use rusqlite::ErrorCode::{TooBig, TypeMismatch};
        match self {
            Self::Sqlite(rusqlite::Error::ToSqlConversionFailure(_)) => true,
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(TooBig | TypeMismatch)),
            _ => false,
        }
    }

    /// Whether the same may succeed later: the disk, memory, or another process that writes was in the way, and not
    /// what was to be kept.
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, OperationInterrupted, OutOfMemory, SchemaChanged};
        let passes = [DatabaseBusy, DatabaseLocked, OperationInterrupted, OutOfMemory, SchemaChanged];
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        self.is_of_the_disk() || code.is_some_and(|code| passes.contains(&code))
    }
}

/// Refuses what is no file of its own: a link could lead to any file of the machine. Answers whether there is one.
pub(crate) fn is_there(path: &Path) -> Result<bool, StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(StoreError::NotAFile { path: path.display().to_string() }),
        // Whatever else is wrong is said when it is opened.
        Err(_) => Ok(false),
    }
}

/// Lets nobody but the owner read a database that is known to be ours, and what SQLite keeps beside it.
fn keep_private(path: &Path) {
    #[cfg(unix)]
    for ending in ["", "-wal", "-shm"] {
        let file = beside(path, ending);
        if !matches!(is_there(&file), Ok(true)) {
            continue;
        }
        if let Err(error) = std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)) {
            tracing::warn!(%error, path = %file.display(), "the database's rights could not be narrowed to its owner");
        }
    }
}

/// The file that is named like another, with an ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The database. Shared by all parts of one process; several processes may share the file.
#[derive(Debug)]
pub struct Store {
    parts: Arc<Parts>,
}

/// What the store and its checkpoints share.
#[derive(Debug)]
struct Parts {
    path: PathBuf,
    writer: Mutex<Connection>,
    journal: Journal,
    readers: Readers,
    checkpoints: Checkpoints,
    keeping: Mutex<Keeping>,
}

impl Parts {
    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back, so the connection is sound.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the database, and makes it where it does not exist. One of an earlier version is refused, and left as it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_sound(path, false).map_err(|error| of_damage(path, error))
    }

    /// The same, and brings the schema up to date. No host may run on it meanwhile: one of the earlier version could
    /// keep nothing any more.
    pub fn upgrade(path: &Path) -> Result<Self, StoreError> {
        Self::open_sound(path, true).map_err(|error| of_damage(path, error))
    }

    fn open_sound(path: &Path, upgrade: bool) -> Result<Self, StoreError> {
        check_library(rusqlite::version_number(), rusqlite::version())?;
        is_there(path)?;
        let begun = Instant::now();
        let connection = loop {
            match Self::up_to_date(path, upgrade) {
                // Where two begin a database, SQLite refuses one of them at once instead of letting it wait.
                Err(StoreError::Sqlite(error))
                    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                        && begun.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(BEGIN_AGAIN);
                }
                other => break other?,
            }
        };
        let journal = Journal::of(&connection, path)?;
        let (readers, checkpoints) = (Readers::new(path), Checkpoints::default());
        let (path, writer, keeping) = (path.to_owned(), Mutex::new(connection), Mutex::default());
        let parts = Parts { path, writer, journal, readers, checkpoints, keeping };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// A connection that writes to a database of the present schema.
    fn up_to_date(path: &Path, upgrade: bool) -> Result<Connection, StoreError> {
        let mut connection = connect(path)?;
        let found = migrations::check(&connection, path)?;
        keep_private(path);
        // A new one has no version, and nobody uses it yet.
        if !upgrade && (1..migrations::MIGRATIONS.len()).contains(&found) {
            return Err(StoreError::TooOld { found, known: migrations::MIGRATIONS.len() });
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Until the schema stands, every commit is synced by SQLite itself.
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrations::migrate(&mut connection)?;
        // From here on the journal is synced by `Journal`, once for many commits, and moved into the database file by
        // `Checkpoints`. NORMAL still syncs around a checkpoint and after a new beginning of the journal.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", checkpoint::KEPT_BYTES)?;
        Ok(connection)
    }

    /// Runs `work` in a transaction that takes the write lock at once. What it wrote is synced to
    /// disk when this returns `Ok`, and undone when `work` fails.
    ///
    /// Where only the sync failed, the write may still come to be: whoever does it again must be able to.
    pub fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let _timed = crate::observe::metrics().store_write();
        let value = self.note(work)?;
        // Also after a transaction that changed nothing: what it saw may be another's, not synced yet.
        self.parts.journal.sync()?;
        Ok(value)
    }

    /// Like `write`, for what need not be on disk at once: it is there no later than the next `write` returns, and
    /// never without what was written before it.
    pub fn note<T, E: From<StoreError>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.parts.writer();
        if self.parts.journal.is_broken() {
            self.parts.journal.mend(&mut connection, &self.parts.path)?;
        }
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let value = work(&transaction)?;
        transaction.commit().map_err(StoreError::from)?;
        let changed = connection.total_changes();
        drop(connection);
        checkpoint::after_commit(&self.parts, changed);
        Ok(value)
    }

    /// Runs `work` with a view of the database. It sees all that was committed before, and waits for no write.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        self.parts.readers.with(work)
    }
}

/// Says that a database is damaged, where that is why it could not be opened.
fn of_damage(path: &Path, error: StoreError) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        StoreError::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)) => {
            StoreError::Damaged { path: path.display().to_string(), reason: error.to_string() }
        }
        other => other,
    }
}

/// Refuses a SQLite that cannot say how long the journal is: an earlier one takes `wal_checkpoint(NOOP)` for a
/// checkpoint, which must not be made of a journal that is to be mended.
fn check_library(number: i32, found: &'static str) -> Result<(), StoreError> {
    if number < 3_051_000 {
        return Err(StoreError::OldLibrary { found, needed: "3.51.0" });
    }
    Ok(())
}

/// A connection to the database.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
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
