//! Secrets at rest, and the guard that keeps a dead credential from locking its account.

mod guard;
mod guard_held;
mod guard_rows;
mod rotate;
mod seal;
mod secret;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub use guard::{Admission, GuardStatus, LockoutGuard, NotAdmitted, Refused};
pub use guard_held::{Blame, Held, HeldConnection};
pub(crate) use guard_rows::Place as GuardPlace;
pub use rotate::Rotated;
pub use seal::VaultError;
pub use secret::Secret;

use hmac::{Hmac, Mac};
use rusqlite::{Connection, OptionalExtension, Transaction};
use sha2::Sha256;
use zeroize::Zeroizing;

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
    /// The key that was used last. Another process may put another in its place.
    current: RwLock<Arc<Current>>,
    key_file: PathBuf,
    store: Arc<Store>,
    clock: SharedClock,
}

/// A key, by what the store knows it, and what fingerprints are made with.
struct Current {
    key: Key,
    mark: String,
    fingerprints: Zeroizing<[u8; 32]>,
}

/// How often it is looked again for the key that the store names, while another process puts another in its place.
const LOOKS: usize = 3;

impl Vault {
    /// Opens the vault. The key file is made (mode 0600) where there is none and the store holds no
    /// secret yet; a missing, foreign or openly readable key file is an error that says what to do.
    /// A secret that is damaged is no reason to keep the others shut: it is refused when it is asked for.
    pub fn open(key_file: &Path, store: Arc<Store>, clock: SharedClock) -> Result<Self, VaultError> {
        let holds_any: bool = store.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM secret)";
            connection.query_row(sql, [], |row| row.get(0)).map_err(StoreError::from)
        })?;
        if Key::read_all(key_file)?.is_empty() {
            if holds_any {
                return Err(VaultError::KeyMissing { path: key_file.to_owned() });
            }
            Key::create(key_file, &clock)?;
        }
        for _ in 0..LOOKS {
            let known = store.meta(KEY_MARK)?;
            let mut keys = Key::read_all(key_file)?;
            let found = match &known {
                Some(known) => keys.iter().position(|key| mark_of(key) == *known),
                None => None,
            };
            let found = match found {
                Some(found) => Some(found),
                // From before marks were kept, or of another key: any secret that opens tells.
                None if !holds_any => Some(0),
                None => {
                    let opens = keys.iter().map(|key| opens_any(key, &store)).collect::<Result<Vec<_>, _>>()?;
                    opens.iter().position(|opens| *opens)
                }
            };
            let Some(found) = found.filter(|found| *found < keys.len()) else { continue };
            let key = keys.swap_remove(found);
            let mark = mark_of(&key);
            if known.as_ref() != Some(&mark) {
                store.put_meta(KEY_MARK, &mark)?;
            }
            let current = store.read(|connection| Current::of(key, mark, connection))?;
            let current = RwLock::new(Arc::new(current));
            return Ok(Self { current, key_file: key_file.to_owned(), store, clock });
        }
        Err(VaultError::KeyWrong { path: key_file.to_owned() })
    }

    /// The key that the store's secrets are sealed with, as this connection sees the store.
    fn current(&self, connection: &Connection) -> Result<Arc<Current>, VaultError> {
        let used = self.used();
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let mark: Option<String> =
            connection.query_row(sql, [KEY_MARK], |row| row.get(0)).optional().map_err(StoreError::from)?;
        let Some(mark) = mark.filter(|mark| *mark != used.mark) else { return Ok(used) };
        let found = Key::read_all(&self.key_file)?.into_iter().find(|key| mark_of(key) == mark);
        let key = found.ok_or_else(|| VaultError::KeyWrong { path: self.key_file.clone() })?;
        let current = Arc::new(Current::of(key, mark, connection)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&current);
        Ok(current)
    }

    fn used(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
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
        let place = Place { space: space.name(), owner, name };
        let sealed = self.current(transaction)?.key.seal(&place, secret, &self.clock)?;
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
        let place = Place { space: space.name(), owner, name };
        self.store.read(|connection| {
            // Key and secret as they were at one moment.
            let moment = connection.unchecked_transaction().map_err(StoreError::from)?;
            let sql = "SELECT sealed FROM secret WHERE space = ?1 AND owner = ?2 AND name = ?3";
            let sealed: Option<Vec<u8>> = moment
                .query_row(sql, (space.name(), owner, name), |row| row.get(0))
                .optional()
                .map_err(StoreError::from)?;
            sealed.map(|sealed| self.current(&moment)?.key.open(&place, &sealed)).transpose()
        })
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

    /// A short text that is the same for the same credential, whatever the key is by now, and tells nothing about it
    /// without the vault's key: 16 bytes of an HMAC, in hexadecimal.
    pub(crate) fn fingerprint(&self, credential: &Secret) -> String {
        fingerprint(self.used().fingerprints.as_ref(), credential)
    }
}

/// Where the key of fingerprints is kept once the vault's key is not the first one any more.
const FINGERPRINTS: Place<'static> = Place { space: "app", owner: "host", name: "fingerprints" };

impl Current {
    fn of(key: Key, mark: String, connection: &Connection) -> Result<Self, VaultError> {
        let Place { space, owner, name } = FINGERPRINTS;
        let sql = "SELECT sealed FROM secret WHERE space = ?1 AND owner = ?2 AND name = ?3";
        let kept: Option<Vec<u8>> =
            connection.query_row(sql, (space, owner, name), |row| row.get(0)).optional().map_err(StoreError::from)?;
        let mut fingerprints = key.derive("fingerprint");
        // One that is damaged costs what is known of accounts, and nothing else.
        if let Some(Ok(kept)) = kept.map(|sealed| key.open(&FINGERPRINTS, &sealed)) {
            let _ = hex::decode_to_slice(kept.expose(), fingerprints.as_mut());
        }
        Ok(Self { key, mark, fingerprints })
    }
}

/// Whether a key opens at least one secret.
fn opens_any(key: &Key, store: &Store) -> Result<bool, StoreError> {
    store.read(|connection| {
        let mut all = connection.prepare("SELECT space, owner, name, sealed FROM secret")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let (space, owner, name): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let sealed: Vec<u8> = row.get(3)?;
            if key.open(&Place { space: &space, owner: &owner, name: &name }, &sealed).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

fn fingerprint(key: &[u8], credential: &Secret) -> String {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("any length fits");
    mac.update(credential.expose().as_bytes());
    hex::encode(&mac.finalize().into_bytes()[..16])
}

/// What tells a key from another, and nothing else about it.
fn mark_of(key: &Key) -> String {
    fingerprint(key.derive("fingerprint").as_ref(), &Secret::new("the mark of this key"))
}

/// By what the keys in a file may be known to a store; nothing where there is no file.
pub(crate) fn marks_in(key_file: &Path) -> Result<Vec<String>, VaultError> {
    Ok(Key::read_all(key_file)?.iter().map(mark_of).collect())
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
#[path = "vault_test.rs"]
mod tests;
