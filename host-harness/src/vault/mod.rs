//! Secrets at rest, and the guard that keeps a dead credential from locking its account.

mod guard;
mod guard_rows;
mod seal;
mod secret;

use std::path::Path;
use std::sync::Arc;

pub use guard::{Admission, GuardStatus, LockoutGuard, NotAdmitted};
pub(crate) use guard_rows::MOST_FAILURES;
pub use seal::VaultError;
pub use secret::Secret;

use hmac::{Hmac, Mac};
use rusqlite::OptionalExtension;
use sha2::Sha256;

use crate::clock::SharedClock;
use crate::store::{Store, StoreError};
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
    pub fn open(key_file: &Path, store: Arc<Store>, clock: SharedClock) -> Result<Self, VaultError> {
        let probe: Option<(String, String, String, Vec<u8>)> = store.read(|connection| {
            connection
                .query_row("SELECT space, owner, name, sealed FROM secret LIMIT 1", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()
                .map_err(StoreError::from)
        })?;
        let key = match Key::read(key_file)? {
            Some(key) => key,
            None if probe.is_some() => return Err(VaultError::KeyMissing { path: key_file.to_owned() }),
            None => Key::create(key_file, &clock)?,
        };
        if let Some((space, owner, name, sealed)) = probe {
            key.open(&Place { space: &space, owner: &owner, name: &name }, &sealed)
                .map_err(|_| VaultError::KeyWrong { path: key_file.to_owned() })?;
        }
        Ok(Self { key, store, clock })
    }

    /// Seals a secret and stores it, in place of one of the same name.
    pub fn put(&self, space: Space, owner: &str, name: &str, secret: &Secret) -> Result<(), VaultError> {
        let sealed = self.key.seal(&Place { space: space.name(), owner, name }, secret, &self.clock)?;
        self.store.write(|transaction| {
            transaction
                .execute(
                    "INSERT INTO secret (space, owner, name, sealed) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (space, owner, name) DO UPDATE SET sealed = excluded.sealed",
                    (space.name(), owner, name, sealed),
                )
                .map_err(StoreError::from)?;
            Ok(())
        })
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
        self.store.write(|transaction| {
            transaction
                .execute("DELETE FROM secret WHERE space = ?1 AND owner = ?2", (space.name(), owner))
                .map_err(StoreError::from)?;
            Ok(())
        })
    }

    /// A short text that is the same for the same credential and tells nothing about it without the
    /// vault's key: 16 bytes of an HMAC, in hexadecimal.
    pub(crate) fn fingerprint(&self, credential: &Secret) -> String {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(self.key.derive("fingerprint").as_ref()).expect("any length fits");
        mac.update(credential.expose().as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
#[path = "vault_test.rs"]
mod tests;
