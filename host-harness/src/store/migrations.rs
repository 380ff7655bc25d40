//! The schema, and how an older one becomes the present one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// The migrations, oldest first. A released one is never changed; a later version adds its own.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
];

/// What SQLite's header says whose database it is: `wfhs`.
pub(super) const APPLICATION: i32 = 0x7766_6873;

/// Refuses a database of another program, or of a later version of this one. Answers its version.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    // As they are at one moment: another process may be making it now.
    let view = connection.unchecked_transaction()?;
    let number = |sql: &str| view.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = number("PRAGMA application_id")?;
    let found = usize::try_from(number("PRAGMA user_version")?).unwrap_or(usize::MAX);
    // The first version did not say whose it was, but had a connection table.
    let ours = application == APPLICATION
        || (application == 0 && (found > 0 || number("SELECT count(*) FROM sqlite_master")? == 0));
    if !ours {
        return Err(StoreError::Foreign { path: path.display().to_string() });
    }
    if found > MIGRATIONS.len() {
        return Err(StoreError::TooNew { found, known: MIGRATIONS.len() });
    }
    Ok(found)
}

/// Brings the schema up to date, all or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version = |connection: &Connection| {
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0)).map(|version| version as usize)
    };
    if version(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it, or more, meanwhile.
    let done = version(&transaction)?;
    if done > MIGRATIONS.len() {
        return Err(StoreError::TooNew { found: done, known: MIGRATIONS.len() });
    }
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()?;
    Ok(())
}
