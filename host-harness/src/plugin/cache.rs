//! What was found out about components, kept between runs: their compiled code and their manifest. Compiled code runs
//! with the host's rights, so it is loaded only if this host wrote it: every entry carries an authentication code
//! (HMAC-SHA-256) under a key that lies beside it, readable by the owner only, over the version and settings of host
//! and engine, the component's hash, the kind of entry and its content. Anything else is ignored and made anew.
//!
//! An entry is read into memory and checked there: a file that is mapped could still change after the check.

use std::fs::{self, File, OpenOptions};
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

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer of the compiler.
    Native,
    /// The manifest, which was checked.
    Manifest,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Manifest => "manifest",
        }
    }
}

/// The cache, in a folder of its own.
pub(crate) struct Cache {
    folder: PathBuf,
    key: Zeroizing<[u8; 32]>,
    maker: String,
}

impl Cache {
    /// Opens the cache; the folder (for its owner only) and its key are made where they do not exist.
    pub(crate) fn open(folder: &Path, engine: &Engine, clock: &SharedClock) -> io::Result<Self> {
        keep_private(folder)?;
        let key = read_or_create_key(&folder.join("key"), clock)?;
        let mut hasher = HashText(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // A manifest that was checked by other rules has to be checked again.
        (env!("CARGO_PKG_VERSION"), include_str!("../../../wit/manifest.schema.json")).hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), key, maker: hex::encode(hasher.0.finalize()) })
    }

    /// What is kept of the component with this hash, if this host has written it.
    pub(crate) fn load(&self, kind: Kind, digest: &str) -> Option<Vec<u8>> {
        let mut entry = fs::read(self.path(kind, digest)).ok()?;
        let (code, content) = entry.split_at_checked(CODE_BYTES)?;
        if self.mac(kind, digest, content).verify_slice(code).is_err() {
            tracing::warn!(%digest, "an entry of the compile cache was not written by this host; it is made anew");
            return None;
        }
        entry.drain(..CODE_BYTES);
        Some(entry)
    }

    /// Keeps something. What goes wrong here only costs time later, so it is only logged.
    pub(crate) fn keep(&self, kind: Kind, digest: &str, content: &[u8]) {
        let code = self.mac(kind, digest, content).finalize().into_bytes();
        let path = self.path(kind, digest);
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let kept = File::create(&draft)
            .and_then(|mut file| file.write_all(&code).and_then(|()| file.write_all(content)))
            .and_then(|()| fs::rename(&draft, &path));
        if let Err(error) = kept {
            let _ = fs::remove_file(&draft);
            let kind = kind.name();
            tracing::warn!(%error, kind, "what was found out about a component could not be kept; it takes time again");
        }
    }

    /// Where the entry of a component is, for this host and engine.
    fn path(&self, kind: Kind, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{}.{}", &self.maker[..16], kind.name()))
    }

    fn mac(&self, kind: Kind, digest: &str, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.key.as_ref()).expect("any length fits");
        // The first two have a fixed length and no kind begins another, so the parts cannot run into each other.
        mac.update(self.maker.as_bytes());
        mac.update(digest.as_bytes());
        mac.update(kind.name().as_bytes());
        mac.update(content);
        mac
    }
}

/// Turns authenticated bytes into code.
#[allow(unsafe_code, reason = "wasmtime cannot check compiled code; the caller has proved that this host wrote it")]
pub(crate) fn deserialize(engine: &Engine, native: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were produced by `Engine::precompile_component` of the same wasmtime with the same
    // settings, in this process or its child just now, or earlier, which the authentication code has just proved.
    unsafe { Component::deserialize(engine, native) }
}

/// Makes the folder, or takes it from everybody but its owner: who may put a key there could have code loaded.
fn keep_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let found = fs::metadata(folder)?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to somebody else"));
        }
        if found.mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
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

/// The key in the file. A file that others may read or write, of another owner or of another length, is as good as
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
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(path)?;
    Ok(found.mode() & 0o077 == 0 && found.uid() == rustix::process::geteuid().as_raw())
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
