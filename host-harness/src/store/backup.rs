//! Copies of the database, and whether a file is one.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{KEY_MARK, StoreError, connect, migrations, of_damage};

/// What a file that may be restored holds.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The version of its schema.
    pub version: usize,
    /// Its connections: name, and path of the component.
    pub connections: Vec<(String, String)>,
    /// By what the key of its secrets is known, where it says so.
    pub key_mark: Option<String>,
    /// How many secrets it holds, sealed.
    pub secrets: u64,
    /// How many deliveries wait to be read.
    pub deliveries: u64,
    /// How many runs are not over.
    pub runs: u64,
}

/// Writes a whole copy of a database, as of one moment, into the empty file `to`, while everything goes on. Secrets stay
/// sealed, and the copy is of the version that the database is of.
pub(crate) fn copy(path: &Path, to: &Path) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| StoreError::Damaged {
        path: to.display().to_string(),
        reason: "a path that is no text cannot be written to".into(),
    })?;
    let copied = || {
        let db = connect(path)?;
        migrations::check(&db, path)?;
        db.execute("VACUUM INTO ?1", [name])?;
        Ok(())
    };
    copied().map_err(|error| of_damage(path, error))?;
    synced(to)
}

fn synced(path: &Path) -> Result<(), StoreError> {
    let unsynced = |error: std::io::Error| StoreError::Unsynced(error.to_string());
    File::options().write(true).open(path).and_then(|file| file.sync_all()).map_err(unsynced)
}

/// Looks through a database that nobody uses: whose it is, its version, whether every page and index holds.
pub(crate) fn inspect(path: &Path) -> Result<Contents, StoreError> {
    look_through(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?, path)
}

/// The same for a copy that was made with its journal, which then goes into the file, and the file to disk.
pub(crate) fn settle(path: &Path) -> Result<Contents, StoreError> {
    let db = connect(path)?;
    let contents = look_through(&db, path)?;
    db.pragma_update(None, "journal_mode", "DELETE").map_err(|error| of_damage(path, error.into()))?;
    drop(db);
    synced(path)?;
    Ok(contents)
}

fn look_through(db: &Connection, path: &Path) -> Result<Contents, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.display().to_string(), reason };
    let version = migrations::check(db, path).map_err(|error| match error {
        StoreError::Sqlite(error) => damaged(error.to_string()),
        other => other,
    })?;
    let read = || -> rusqlite::Result<Contents> {
        let found: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(rusqlite::Error::InvalidParameterName(found));
        }
        let count = |sql: &str| db.query_row(sql, [], |row| row.get(0));
        let mut connections = db.prepare("SELECT name, component FROM connection ORDER BY name")?;
        let connections = connections.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(Contents {
            version,
            connections,
            key_mark: db.query_row("SELECT value FROM meta WHERE key = ?1", [KEY_MARK], |row| row.get(0)).optional()?,
            secrets: count("SELECT count(*) FROM secret")?,
            deliveries: count("SELECT count(*) FROM delivery WHERE state = 'pending'")?,
            runs: count("SELECT count(*) FROM run WHERE state IN ('pending', 'running', 'waiting')")?,
        })
    };
    read().map_err(|error| match error {
        rusqlite::Error::InvalidParameterName(found) => damaged(found),
        other => damaged(other.to_string()),
    })
}

/// Takes a database of ours, of whatever version, out of use that is to be put away: its journal goes into the file.
/// Refused while any process has it open.
pub(crate) fn retire(path: &Path) -> Result<(), StoreError> {
    let retired = || {
        let db = connect(path)?;
        match migrations::check(&db, path) {
            Ok(_) | Err(StoreError::TooNew { .. }) => {}
            Err(other) => return Err(other),
        }
        db.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(())
    };
    retired().map_err(|error| of_damage(path, error))
}
