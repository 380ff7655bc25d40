//! Another key in the place of the vault's, while it is in use.
//!
//! The file holds both keys before the first secret is sealed anew, and the new one alone after the last one is on
//! disk. Which of them counts is said by the store, in the same transaction that seals all secrets anew: a process that
//! ends in between leaves a vault that opens.

use std::sync::{Arc, PoisonError};

use super::seal::{Key, Place};
use super::{Current, FINGERPRINTS, KEY_MARK, Secret, Vault, VaultError, mark_of};
use crate::store::StoreError;

/// What a change of the key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// How many secrets are sealed with the new key.
    pub sealed: usize,
    /// How many did not open with the old one, and stay as they are: changed, or moved from another place.
    pub damaged: usize,
}

impl Vault {
    /// Draws another key and seals every secret with it. Other processes on the same store go on: they look for the new
    /// key when they next need it. The old key opens nothing any more but copies that were made before.
    pub fn rotate(&self) -> Result<Rotated, VaultError> {
        let new = Key::draw(&self.clock);
        let mark = mark_of(&new);
        let (rotated, fingerprints) = self.store.write(|transaction| {
            let old = self.current(transaction)?;
            Key::replace(&self.key_file, &[&new, &old.key])?;
            let rotated = self.seal_anew(transaction, &old.key, &new)?;
            // What is known of accounts goes by fingerprints: they must not change.
            let kept = Secret::new(hex::encode(old.fingerprints.as_ref()));
            let sealed = new.seal(&FINGERPRINTS, &kept, &self.clock)?;
            let Place { space, owner, name } = FINGERPRINTS;
            let sql = "INSERT OR REPLACE INTO secret (space, owner, name, sealed) VALUES (?1, ?2, ?3, ?4)";
            transaction.execute(sql, (space, owner, name, sealed)).map_err(StoreError::from)?;
            let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
            transaction.execute(sql, (KEY_MARK, &mark)).map_err(StoreError::from)?;
            Ok::<_, VaultError>((rotated, old.fingerprints.clone()))
        })?;
        // Alone with the store: nobody else may have begun to change the key again.
        self.store.write(|transaction| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            let now: String = transaction.query_row(sql, [KEY_MARK], |row| row.get(0)).map_err(StoreError::from)?;
            if now == mark { Key::replace(&self.key_file, &[&new]) } else { Ok(()) }
        })?;
        let current = Current { key: new, mark, fingerprints };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        Ok(rotated)
    }

    /// Seals all secrets of the store with another key.
    fn seal_anew(&self, transaction: &rusqlite::Transaction<'_>, old: &Key, new: &Key) -> Result<Rotated, VaultError> {
        let mut rotated = Rotated { sealed: 0, damaged: 0 };
        let mut find =
            transaction.prepare("SELECT space, owner, name, sealed FROM secret").map_err(StoreError::from)?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        };
        let all: Result<Vec<_>, _> = find.query_map([], row).map_err(StoreError::from)?.collect();
        for (space, owner, name, sealed) in all.map_err(StoreError::from)? {
            let place = Place { space: &space, owner: &owner, name: &name };
            match old.open(&place, &sealed) {
                Ok(secret) => {
                    let sealed = new.seal(&place, &secret, &self.clock)?;
                    let sql = "UPDATE secret SET sealed = ?4 WHERE space = ?1 AND owner = ?2 AND name = ?3";
                    transaction.execute(sql, (&space, &owner, &name, sealed)).map_err(StoreError::from)?;
                    rotated.sealed += 1;
                }
                Err(_) => rotated.damaged += 1,
            }
        }
        Ok(rotated)
    }
}
