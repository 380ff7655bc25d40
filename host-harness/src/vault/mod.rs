//! Secrets at rest, and the guard that keeps a dead credential from locking its account.

mod guard;
mod guard_rows;
mod seal;
mod secret;

use std::path::Path;
use std::sync::Arc;

pub use guard::{Admission, GuardStatus, LockoutGuard, NotAdmitted, Refused};
pub(crate) use guard_rows::MOST_FAILURES;
pub use seal::VaultError;
pub use secret::Secret;

use hmac::{Hmac, Mac};
use rusqlite::{OptionalExtension, Transaction};
use sha2::Sha256;

use crate::clock::SharedClock;
use crate::store::{KEY_MARK, Store, StoreError};
use seal::{Key, Place};

/// A name space of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Of one connection: what its form asked for.
    Connection,
    /// Of an app (an OAuth client).
    App,
    /// Of one registration: what its deliveries are proved with.
    Registration,
}

impl Space {
    fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::App => "app",
            Self::Registration => "registration",
        }
    }
}

/// The secrets in the store, sealed with AES-256-GCM under a key that lies in a file of its own.
pub struct Vault {
    key: Key,
    store: Arc<Store>,
    clock: SharedClock,
}

impl Vault {
    /// Opens the vault. The key file is made (mode 0600) where there is none and the store holds no
    /// secret yet; a missing, foreign or openly readable key file is an error that says what to do.
    /// A secret that is damaged is no reason to keep the others shut: it is refused when it is asked for.
    pub fn open(key_file: &Path, store: Arc<Store>, clock: SharedClock) -> Result<Self, VaultError> {
        let holds_any: bool = store.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM secret)";
            connection.query_row(sql, [], |row| row.get(0)).map_err(StoreError::from)
        })?;
        let key = match Key::read(key_file)? {
            Some(key) => key,
            None if holds_any => return Err(VaultError::KeyMissing { path: key_file.to_owned() }),
            None => Key::create(key_file, &clock)?,
        };
        let vault = Self { key, store, clock };
        let mark = vault.mark();
        match vault.store.meta(KEY_MARK)? {
            Some(known) if known == mark => {}
            // From before marks were kept, or of another key: any secret that opens tells.
            _ if !holds_any || vault.opens_any()? => vault.store.put_meta(KEY_MARK, &mark)?,
            _ => return Err(VaultError::KeyWrong { path: key_file.to_owned() }),
        }
        Ok(vault)
    }

    /// What tells the key from another, and nothing else about it.
    fn mark(&self) -> String {
        mark_of(&self.key)
    }

    /// Whether the key opens at least one secret.
    fn opens_any(&self) -> Result<bool, StoreError> {
        self.store.read(|connection| {
            let mut all = connection.prepare("SELECT space, owner, name, sealed FROM secret")?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let (space, owner, name): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let sealed: Vec<u8> = row.get(3)?;
                if self.key.open(&Place { space: &space, owner: &owner, name: &name }, &sealed).is_ok() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Seals a secret and stores it, in place of one of the same name.
    pub fn put(&self, space: Space, owner: &str, name: &str, secret: &Secret) -> Result<(), VaultError> {
        self.store.write(|transaction| self.put_in(transaction, space, owner, name, secret))
    }

    /// Seals a secret in the place of any of the same name, as part of a transaction.
    pub(crate) fn put_in(
        &self,
        transaction: &Transaction<'_>,
        space: Space,
        owner: &str,
        name: &str,
        secret: &Secret,
    ) -> Result<(), VaultError> {
        let sealed = self.key.seal(&Place { space: space.name(), owner, name }, secret, &self.clock)?;
        transaction
            .execute(
                "INSERT INTO secret (space, owner, name, sealed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (space, owner, name) DO UPDATE SET sealed = excluded.sealed",
                (space.name(), owner, name, sealed),
            )
            .map_err(StoreError::from)?;
        Ok(())
    }

    /// Forgets every secret of an owner, as part of a transaction.
    pub(crate) fn remove_all_in(
        &self,
        transaction: &Transaction<'_>,
        space: Space,
        owner: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM secret WHERE space = ?1 AND owner = ?2";
        transaction.execute(sql, (space.name(), owner)).map(drop).map_err(StoreError::from)
    }

    /// Opens a secret; none where there is none of that name.
    pub fn get(&self, space: Space, owner: &str, name: &str) -> Result<Option<Secret>, VaultError> {
        let sealed: Option<Vec<u8>> = self.store.read(|connection| {
            connection
                .query_row(
                    "SELECT sealed FROM secret WHERE space = ?1 AND owner = ?2 AND name = ?3",
                    (space.name(), owner, name),
                    |row| row.get(0),
                )
                .optional()
                .map_err(StoreError::from)
        })?;
        sealed.map(|sealed| self.key.open(&Place { space: space.name(), owner, name }, &sealed)).transpose()
    }

    /// Forgets one secret. Forgetting one that is not there is fine.
    pub fn remove(&self, space: Space, owner: &str, name: &str) -> Result<(), VaultError> {
        self.store.write(|transaction| {
            transaction
                .execute(
                    "DELETE FROM secret WHERE space = ?1 AND owner = ?2 AND name = ?3",
                    (space.name(), owner, name),
                )
                .map_err(StoreError::from)?;
            Ok(())
        })
    }

    /// Forgets every secret of an owner.
    pub fn remove_all(&self, space: Space, owner: &str) -> Result<(), VaultError> {
        Ok(self.store.write(|transaction| self.remove_all_in(transaction, space, owner))?)
    }

    /// A short text that is the same for the same credential and tells nothing about it without the
    /// vault's key: 16 bytes of an HMAC, in hexadecimal.
    pub(crate) fn fingerprint(&self, credential: &Secret) -> String {
        fingerprint(&self.key, credential)
    }
}

fn fingerprint(key: &Key, credential: &Secret) -> String {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.derive("fingerprint").as_ref()).expect("any length fits");
    mac.update(credential.expose().as_bytes());
    hex::encode(&mac.finalize().into_bytes()[..16])
}

fn mark_of(key: &Key) -> String {
    fingerprint(key, &Secret::new("the mark of this key"))
}

/// By what the key in a file is known to a store; none where there is no file.
pub(crate) fn mark_in(key_file: &Path) -> Result<Option<String>, VaultError> {
    Ok(Key::read(key_file)?.map(|key| mark_of(&key)))
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
#[path = "vault_test.rs"]
mod tests;
