//! Where a host keeps its data.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::HostError;
use crate::store::{Store, StoreError};

/// The places of one host's files.
#[derive(Debug, Clone)]
pub struct Home {
    /// The folder.
    pub folder: PathBuf,
    /// The vault's key, which may lie elsewhere.
    pub key_file: PathBuf,
}

impl Home {
    /// The home in a folder; its key file lies in it where none is given.
    pub fn new(folder: impl Into<PathBuf>, key_file: Option<PathBuf>) -> Self {
        let folder = folder.into();
        let key_file = key_file.unwrap_or_else(|| folder.join("vault.key"));
        Self { folder, key_file }
    }

    /// The usual folder of this person: `$XDG_DATA_HOME/workflow-harness` or `~/.local/share/workflow-harness`.
    pub fn usual_folder() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
        Some(data.join("workflow-harness"))
    }

    /// Makes the folder, readable to its owner only, where it does not exist.
    pub(crate) fn create(&self) -> std::io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("harness.db")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// Who holds it is the only one to change what is registered for this connection. There is a bounded number of
    /// them: connections may share one.
    pub(crate) fn registering_lock(&self, connection: &str) -> PathBuf {
        self.folder.join(format!("registering-{:x}.lock", registering_place(connection)))
    }

    fn serve_lock(&self) -> PathBuf {
        self.folder.join("serve.lock")
    }

    /// Takes the place of the one process that serves this home: two would each process everything. It is free again
    /// when the answer is dropped.
    pub(crate) fn lock_for_serving(&self) -> Result<File, HostError> {
        self.try_lock_for_serving()?.ok_or_else(|| {
            HostError::bad_input(
                "serving-already",
                format!("another `harness serve` runs on the home {}", self.folder.display()),
                "Stop it first, or use another --home.",
            )
        })
    }

    /// The same; none where another process has that place.
    fn try_lock_for_serving(&self) -> Result<Option<File>, HostError> {
        let path = self.serve_lock();
        let trouble = |error: std::io::Error| {
            let message = format!("{}: {error}", path.display());
            HostError::other("serve-lock", message, "Check the rights of the home folder.")
        };
        let file = File::options().create(true).append(true).open(&path).map_err(trouble)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(trouble(error)),
        }
    }

    /// Opens its database. One of an earlier version is brought up to date in the place of the process that serves: a
    /// host of that version could keep nothing in it any more.
    pub(crate) fn open_store(&self) -> Result<Store, HostError> {
        let earlier = match Store::open(&self.database()) {
            Err(earlier @ StoreError::TooOld { .. }) => earlier,
            other => return Ok(other?),
        };
        let Some(_alone) = self.try_lock_for_serving()? else {
            return Err(HostError::bad_input(
                "home-earlier",
                format!("{earlier}, and a `harness serve` of that version runs on the home {}", self.folder.display()),
                "Stop the running host first; the next start brings the store up to date. `harness backup` works meanwhile.",
            ));
        };
        Ok(Store::upgrade(&self.database())?)
    }

    /// The folder, for people.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// How many connections' registrations may be changed at once.
pub(crate) const REGISTERING_LOCKS: usize = 16;

/// Which of the locks is a connection's.
pub(crate) fn registering_place(connection: &str) -> usize {
    connection.bytes().fold(0, |sum, byte| sum + usize::from(byte)) % REGISTERING_LOCKS
}
