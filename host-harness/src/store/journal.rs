//! One sync of the journal for many commits.
//!
//! With `synchronous = NORMAL` a commit only appends to the write-ahead log. Whoever must know that it is on disk waits
//! for a sync of that file which began after the commit; all who wait at once share one. Why that is right:
//!
//! - The log is read back as a prefix, up to the last commit whose chain of checksums holds: a sync of the whole file
//!   keeps every commit before it, in order, and those of other processes.
//! - The log begins anew only after a checkpoint moved all of it into the database file and synced both, under NORMAL
//!   too. Then a commit is durable there, and a sync of the new log does no harm. It is always the same file: it is
//!   removed only by the last connection to close, and ours is open as long as this handle.
//! - The POSIX locks of SQLite lie on the database and on the `-shm` file, so closing this handle gives none of them up.
//!
//! A sync that failed is never trusted again: the kernel marks the pages it could not write as clean, so the next sync
//! would succeed without them. Everything is refused until each frame of the log was read back, found to follow from
//! the one before, written again and synced. (A checkpoint instead would copy from pages that may be gone into the
//! database, with nothing on disk to repair it from after a power failure.)

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::wal::{Chain, HEADER};
use super::{StoreError, connect};

/// How often, at most, it is tried to write a broken journal again.
const MENDING: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    state: Mutex<State>,
    ended: Condvar,
    broken: AtomicBool,
    /// How the file is synced; a test puts in one that fails.
    pub(super) sync_file: fn(&File) -> io::Result<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last sync that began.
    begun: u64,
    /// The number of the last sync that came to an end.
    done: u64,
    running: bool,
    /// Syncs up to this one failed, or were overtaken by one that did.
    failed: u64,
    trouble: String,
    mended_at: Option<Instant>,
}

/// The log beside a database.
fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

impl Journal {
    /// The journal of a connection that is open and stays so.
    pub(super) fn of(connection: &Connection, database: &Path) -> Result<Self, StoreError> {
        // The first look at the database makes the log where there was none.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        let unusable = |error: io::Error| StoreError::Unsynced(error.to_string());
        let file = File::options().read(true).write(true).open(log_of(database)).map_err(unusable)?;
        // The names of new files are on disk before anything is said to be.
        #[cfg(unix)]
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
        }
        Ok(Self {
            file,
            state: Mutex::default(),
            ended: Condvar::new(),
            broken: AtomicBool::new(false),
            sync_file: File::sync_data,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a sync failed, and the journal was not mended since.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// The length of its file, in bytes.
    pub(super) fn length(&self) -> u64 {
        // Where the file cannot be looked at, the count of rows decides alone.
        self.file.metadata().map_or(0, |file| file.len())
    }

    /// Returns once everything committed before is on disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        // One that runs already may have begun before the commit.
        let wanted = state.begun + 1;
        loop {
            if state.done >= wanted {
                return Ok(());
            }
            if state.failed >= wanted || self.is_broken() {
                return Err(StoreError::Unsynced(state.trouble.clone()));
            }
            if state.running {
                state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.begun += 1;
            state.running = true;
            drop(state);
            let outcome = (self.sync_file)(&self.file);
            state = self.state();
            state.running = false;
            match outcome {
                Ok(()) => state.done = state.begun,
                Err(error) => {
                    tracing::error!(%error, "the journal could not be synced; nothing is taken in until it can");
                    // Those who wait for the next one committed to the same file.
                    state.failed = state.begun + 1;
                    state.begun += 1;
                    state.trouble = error.to_string();
                    self.broken.store(true, Ordering::Release);
                }
            }
            self.ended.notify_all();
        }
    }

    /// Writes the whole journal again and syncs it. `writer` keeps every other writer out meanwhile; readers go on, as
    /// no byte changes.
    pub(super) fn mend(&self, writer: &mut Connection, database: &Path) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            let now = Instant::now();
            if state.mended_at.is_some_and(|last| now < last + MENDING) {
                return Err(StoreError::Unsynced(state.trouble.clone()));
            }
            state.mended_at = Some(now);
        }
        let _alone = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let frames = frames_in_use(database)?;
        match self.rewrite(frames).and_then(|()| (self.sync_file)(&self.file)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(StoreError::JournalLost),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(StoreError::JournalLost),
            Err(error) => return Err(StoreError::Unsynced(error.to_string())),
        }
        tracing::warn!("the journal was written again and is on disk; the store goes on");
        self.broken.store(false, Ordering::Release);
        Ok(())
    }

    /// Lets it be mended at once, without the pause between two attempts.
    #[cfg(test)]
    pub(super) fn forget_mending(&self) {
        self.state().mended_at = None;
    }

    fn rewrite(&self, frames: u64) -> io::Result<()> {
        if frames == 0 {
            return Ok(());
        }
        let mut file = &self.file;
        let mut again = |place: u64, bytes: &mut [u8], check: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
            file.seek(SeekFrom::Start(place))?;
            file.read_exact(bytes)?;
            check(bytes)?;
            file.seek(SeekFrom::Start(place))?;
            file.write_all(bytes)
        };
        let mut header = [0; HEADER];
        again(0, &mut header, &mut |_| Ok(()))?;
        let mut chain = Chain::begin(&header)?;
        let mut frame = vec![0; chain.frame()];
        for number in 0..frames {
            let place = HEADER as u64 + number * frame.len() as u64;
            again(place, &mut frame, &mut |bytes| chain.follow(bytes))?;
        }
        Ok(())
    }
}

/// How many frames of the log belong to the database as its connections see it.
fn frames_in_use(database: &Path) -> Result<u64, StoreError> {
    let frames: i64 = connect(database)?.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
    Ok(u64::try_from(frames).unwrap_or(0))
}
