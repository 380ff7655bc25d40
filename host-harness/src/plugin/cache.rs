//! Compiled components, kept between runs. Compiled code runs with the host's rights, so it is loaded
//! only if this host wrote it: every entry carries an authentication code (HMAC-SHA-256) under a key
//! that lies beside it, readable by the owner only, over the engine's version and settings, the
//! component's hash and the code. Anything else is ignored and compiled anew.

use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use crate::clock::SharedClock;

const CODE_BYTES: usize = 32;

/// The cache, in a folder of its own.
pub(crate) struct Cache {
    folder: PathBuf,
    key: Zeroizing<[u8; 32]>,
    engine: String,
}

impl Cache {
    /// Opens the cache; the folder and its key are made where they do not exist.
    pub(crate) fn open(folder: &Path, engine: &Engine, clock: &SharedClock) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let key = read_or_create_key(&folder.join("key"), clock)?;
        let mut hasher = HashText(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), key, engine: hex::encode(hasher.0.finalize()) })
    }

    /// The compiled code of the component with this hash, if this host has written it.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let entry = fs::read(self.path(digest)).ok()?;
        let (code, native) = entry.split_at_checked(CODE_BYTES)?;
        if self.mac(digest, native).verify_slice(code).is_err() {
            tracing::warn!(%digest, "an entry of the compile cache was not written by this host; it is compiled anew");
            return None;
        }
        deserialize(engine, native)
    }

    /// Keeps the compiled code. What goes wrong here only costs time later, so it is only logged.
    pub(crate) fn keep(&self, digest: &str, component: &Component) {
        let kept = component.serialize().map_err(|error| error.to_string()).and_then(|native| {
            let code = self.mac(digest, &native).finalize().into_bytes();
            let path = self.path(digest);
            let draft = path.with_extension(format!("{}.new", std::process::id()));
            fs::write(&draft, [&code[..], &native].concat())
                .and_then(|()| fs::rename(&draft, &path))
                .map_err(|error| error.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "compiled code could not be kept; the component is compiled again next time");
        }
    }

    /// Where the entry of a component is, for this engine.
    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{}.native", &self.engine[..16]))
    }

    fn mac(&self, digest: &str, native: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.key.as_ref()).expect("any length fits");
        // Both texts have a fixed length, so the parts cannot run into each other.
        mac.update(self.engine.as_bytes());
        mac.update(digest.as_bytes());
        mac.update(native);
        mac
    }
}

/// Turns authenticated bytes into code.
#[allow(unsafe_code, reason = "wasmtime cannot check compiled code; the caller has proved that this host wrote it")]
fn deserialize(engine: &Engine, native: &[u8]) -> Option<Component> {
    // SAFETY: the bytes were produced by `Component::serialize` of the same wasmtime with the same
    // settings and were not changed since, which the authentication code has just proved.
    unsafe { Component::deserialize(engine, native) }.ok()
}

fn read_or_create_key(path: &Path, clock: &SharedClock) -> io::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if let Some(found) = read_key(path)? {
        return Ok(found);
    }
    clock.fill_random(key.as_mut());
    // Written in full beside its place and linked there: two processes never see half a key, and the
    // slower one takes the key of the faster one.
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&draft)?.write_all(key.as_ref())?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) => read_key(path)?.ok_or(error),
    }
}

/// The key in the file. A file that others may read or write, or of another length, is as good as
/// none: it is removed.
fn read_key(path: &Path) -> io::Result<Option<Zeroizing<[u8; 32]>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !is_private(path)? || bytes.len() != 32 {
        fs::remove_file(path)?;
        return Ok(None);
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&bytes);
    Ok(Some(key))
}

#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Hashes what wasmtime says about an engine.
struct HashText(Sha256);

impl Hasher for HashText {
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
