//! Connections that only read: in WAL mode they neither wait for a write nor hold one up.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{StoreError, connect};

/// How many connections are kept for the next reader. More are opened while more read at once.
const KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), free: Mutex::default() }
    }

    pub(super) fn with<T, E: From<StoreError>>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free().pop();
        let connection = kept.map_or_else(|| self.connect(), Ok)?;
        // One that `work` panics on is not used again.
        let value = work(&connection);
        let mut free = free();
        if free.len() < KEPT {
            free.push(connection);
        }
        value
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connection = connect(&self.path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}
