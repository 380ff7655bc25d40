//! Sealing and the key it needs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Secret;
use crate::clock::SharedClock;
use crate::store::StoreError;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// Stands before everything sealed, so that a later form can be told apart.
const FORM: u8 = 1;

/// Why the vault did not give or take a secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There are secrets but no key.
    #[error("the vault's key file {path} is missing, and the store holds secrets that need it")]
    KeyMissing {
        /// Where the key was looked for.
        path: PathBuf,
    },
    /// The key does not open the secrets.
    #[error("the key in {path} is not the one the store's secrets were sealed with")]
    KeyWrong {
        /// Where the key was read.
        path: PathBuf,
    },
    /// The key file holds no key.
    #[error("the key file {path} is not one of ours: {reason}")]
    KeyMalformed {
        /// Where the key was read.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// The key file could not be read or written.
    #[error("the key file {path} could not be read or written: {cause}")]
    KeyFile {
        /// Where it is.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A secret does not open: it was changed, or moved from another place.
    #[error("the stored secret `{name}` was changed or moved and does not open any more")]
    Damaged {
        /// The secret's name.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a secret belongs; bound to what is sealed.
pub(super) struct Place<'a> {
    pub(super) space: &'a str,
    pub(super) owner: &'a str,
    pub(super) name: &'a str,
}

impl Place<'_> {
    /// The three parts, each with its length before it, so that no two places give the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        for part in [self.space, self.owner, self.name] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

/// The vault's key.
pub(super) struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// Reads the key file: one key, or while it is changed for another the new one and the old one. None where there
    /// is no file.
    pub(super) fn read_all(path: &Path) -> Result<Vec<Self>, VaultError> {
        let malformed = |reason| VaultError::KeyMalformed { path: path.to_owned(), reason };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(cause) => return Err(VaultError::KeyFile { path: path.to_owned(), cause }),
        };
        check_mode(path)?;
        let read = |line: &str| {
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            hex::decode_to_slice(line, key.as_mut()).ok().map(|()| Self(key))
        };
        let keys: Option<Vec<Self>> = text.trim_end().lines().map(read).collect();
        let keys = keys.filter(|keys| (1..=2).contains(&keys.len()));
        keys.ok_or_else(|| malformed("it has to hold 64 hexadecimal digits"))
    }

    /// Draws a key.
    pub(super) fn draw(clock: &SharedClock) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        clock.fill_random(key.as_mut());
        Self(key)
    }

    /// Draws a key and writes the file. Where another process was faster, its key is taken.
    pub(super) fn create(path: &Path, clock: &SharedClock) -> Result<Self, VaultError> {
        let failed = |cause| VaultError::KeyFile { path: path.to_owned(), cause };
        let key = Self::draw(clock);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let linked = with_draft(path, &[&key], |draft| fs::hard_link(draft, path));
        match linked {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::read_all(path)?.pop().ok_or_else(|| failed(error))
            }
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Writes these keys in the place of those in the file. It is on disk when this returns.
    pub(super) fn replace(path: &Path, keys: &[&Self]) -> Result<(), VaultError> {
        let replaced = with_draft(path, keys, |draft| {
            fs::rename(draft, path)?;
            #[cfg(unix)]
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::File::open(folder)?.sync_all()?;
            }
            Ok(())
        });
        replaced.map_err(|cause| VaultError::KeyFile { path: path.to_owned(), cause })
    }

    /// Seals a secret for its place.
    pub(super) fn seal(&self, place: &Place<'_>, secret: &Secret, clock: &SharedClock) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_BYTES];
        clock.fill_random(&mut nonce);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &place.bytes() };
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| VaultError::Damaged { name: place.name.to_owned() })?;
        Ok([&[FORM][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for the same place.
    pub(super) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret, VaultError> {
        let damaged = || VaultError::Damaged { name: place.name.to_owned() };
        let (form, rest) = sealed.split_first().ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        if *form != FORM {
            return Err(damaged());
        }
        let payload = Payload { msg: sealed, aad: &place.bytes() };
        let opened = Zeroizing::new(self.cipher().decrypt(Nonce::from_slice(nonce), payload).map_err(|_| damaged())?);
        Ok(Secret::new(std::str::from_utf8(&opened).map_err(|_| damaged())?))
    }

    /// A key for another purpose, from which this one cannot be found.
    pub(super) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_ref()).expect("any length fits");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.0.as_ref().into())
    }
}

/// Writes keys in full beside their place, from where `put` brings them there: nobody ever reads half a key.
fn with_draft(path: &Path, keys: &[&Key], put: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let lines: Vec<_> = keys.iter().map(|key| Zeroizing::new(hex::encode(key.0.as_ref()))).collect();
    let mut draft_name = path.as_os_str().to_owned();
    draft_name.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft_name);
    let _ = fs::remove_file(&draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        for (number, line) in lines.iter().enumerate() {
            file.write_all(if number > 0 { b"\n" } else { b"" })?;
            file.write_all(line.as_bytes())?;
        }
        file.sync_all()
    });
    let put = written.and_then(|()| put(&draft));
    let _ = fs::remove_file(&draft);
    put
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|cause| VaultError::KeyFile { path: path.to_owned(), cause })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(VaultError::KeyMalformed {
            path: path.to_owned(),
            reason: "others than its owner may read or write it; run `chmod 600` on it",
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), VaultError> {
    Ok(())
}
