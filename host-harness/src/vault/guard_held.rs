//! Whom the lockout guard holds: for each connection what its own account and credential say, whichever of those that
//! use the account was refused.

use rusqlite::{Connection, OptionalExtension};

use super::guard_rows::{Known, MOST_FAILURES};
use crate::clock::EpochMs;
use crate::store::{Store, StoreError};

/// How an account is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Why, as half a sentence.
    pub reason: String,
    /// Whose credential was refused.
    pub blame: Blame,
}

/// Whose credential an account is held for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// The very one that is to be used.
    Own,
    /// Another one of the same account: of the connection of this name, where it is still there.
    Other(Option<String>),
}

impl Held {
    /// What a person can do about it on the connection of this name; `granted`: a person granted its credential.
    pub fn remedy(&self, connection: &str, granted: bool) -> String {
        let release = format!("`harness connection check {connection} --release`");
        match &self.blame {
            Blame::Own if granted => format!(
                "Authorize it anew: `harness connection reauthorize {connection}`; or, where it was put right at the \
                 service, run {release}."
            ),
            Blame::Own => format!(
                "Put a new one in its place with `harness connection replace-credential {connection}`; or mend it in \
                 the service (if that shows a captcha, log in there once), then run {release}."
            ),
            Blame::Other(Some(cause)) => format!(
                "Its own credential was not refused: put right that of `{cause}` with `harness connection \
                 replace-credential {cause}`, or remove that connection; then run {release}."
            ),
            Blame::Other(None) => format!(
                "Its own credential was not refused, and the connection whose was is gone: run {release} (if the \
                 service shows a captcha, log in there once before)."
            ),
        }
    }
}

/// A connection with which nothing is sent.
#[derive(Debug, Clone)]
pub struct HeldConnection {
    /// Its name.
    pub name: String,
    /// The key of its account.
    pub account: String,
    /// How it is held; none where it is only left alone for a while.
    pub held: Option<Held>,
    /// Why it is left alone for a while, and for how many milliseconds.
    pub paused: Option<(String, u64)>,
    /// Whether a person granted its credential.
    pub granted: bool,
}

/// The connections whose accounts are held or left alone, by name.
pub(super) fn connections(store: &Store, now: EpochMs) -> Result<Vec<HeldConnection>, StoreError> {
    store.read(|db| {
        let sql = "SELECT EXISTS (SELECT 1 FROM guard WHERE failures + unanswered >= ?1)";
        if !db.prepare_cached(sql)?.query_row([MOST_FAILURES], |row| row.get::<_, bool>(0))? {
            return Ok(vec![]);
        }
        let mut statement = db.prepare_cached(
            "SELECT name, guard_account, coalesce(guard_credential, ''), credential.client IS NOT NULL \
             FROM connection LEFT JOIN credential ON credential.id = connection.credential \
             WHERE guard_account IN (SELECT account FROM guard WHERE failures + unanswered >= ?1) ORDER BY name",
        )?;
        let mut rows = statement.query([MOST_FAILURES])?;
        let mut found = vec![];
        while let Some(row) = rows.next()? {
            let (account, credential): (String, String) = (row.get(1)?, row.get(2)?);
            let known = Known::read(db, &account, &credential)?;
            let held = known.refusals(db)?;
            // What is on its way may still be answered.
            let paused = match &held {
                None if !is_asking(db, &account)? => known.pause(now).map(|pause| (pause.reason, pause.after_ms)),
                _ => None,
            };
            if held.is_some() || paused.is_some() {
                found.push(HeldConnection { name: row.get(0)?, account, held, paused, granted: row.get(3)? });
            }
        }
        Ok(found)
    })
}

fn is_asking(db: &Connection, account: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM guard_lease WHERE account = ?1";
    Ok(db.query_row(sql, [account], |_| Ok(())).optional()?.is_some())
}

#[cfg(test)]
#[path = "guard_held_test.rs"]
mod tests;
