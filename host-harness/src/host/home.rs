//! Where a host keeps its data.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::HostError;

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

    /// Who holds it is the only one to renew the tokens of this credential. Credentials may share one, as above.
    pub(crate) fn renewing_lock(&self, credential: &str) -> PathBuf {
        self.folder.join(format!("renewing-{:x}.lock", registering_place(credential)))
    }

    fn serve_lock(&self) -> PathBuf {
        self.folder.join("serve.lock")
    }

    /// Takes the place of the one process that serves this home: two would each process everything. It is free again
    /// when the answer is dropped.
    pub(crate) fn lock_for_serving(&self) -> Result<File, HostError> {
        let path = self.serve_lock();
        let trouble = |error: std::io::Error| {
            let message = format!("{}: {error}", path.display());
            HostError::other("serve-lock", message, "Check the rights of the home folder.")
        };
        let file = File::options().create(true).append(true).open(&path).map_err(trouble)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => Err(HostError::bad_input(
                "serving-already",
                format!("another `harness serve` runs on the home {}", self.folder.display()),
                "Stop it first, or use another --home.",
            )),
            Err(std::fs::TryLockError::Error(error)) => Err(trouble(error)),
        }
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
