//! Where a host keeps its data.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::HostError;
use crate::store::{Store, StoreError, beside, is_there};

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

    /// Refuses a folder into which everybody may put files: whoever can exchange the database or the key reads what
    /// is sealed from then on.
    #[cfg(unix)]
    pub(crate) fn check_rights(&self) -> Result<(), HostError> {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(folder) = std::fs::metadata(&self.folder) else { return Ok(()) };
        let mode = folder.permissions().mode();
        let shown = self.folder.display();
        if mode & 0o002 != 0 {
            return Err(HostError::bad_input(
                "home-open",
                format!("everybody on this machine may write into the home {shown}"),
                format!("Take that right away: `chmod go-w {shown}`; or name another folder with --home."),
            ));
        }
        if mode & 0o020 != 0 {
            tracing::warn!("others of its group may write into the home {shown}: `chmod g-w {shown}` takes that away");
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn check_rights(&self) -> Result<(), HostError> {
        Ok(())
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
        self.registering_lock_at(registering_place(connection))
    }

    /// What no copy may take the place of, nor be taken for a backup.
    pub(super) fn own_files(&self) -> Vec<PathBuf> {
        let database = self.database();
        let mut files: Vec<_> =
            ["", "-wal", "-shm", "-journal", ".part"].iter().map(|ending| beside(&database, ending)).collect();
        files.extend((0..REGISTERING_LOCKS).map(|place| self.registering_lock_at(place)));
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        files.extend(names.map(|entry| entry.path()).filter(|path| is_renewing_lock(path)));
        files.extend([self.key_file.clone(), self.serve_lock()]);
        files
    }

    fn registering_lock_at(&self, place: usize) -> PathBuf {
        self.folder.join(format!("registering-{place:x}.lock"))
    }

    /// Who holds it is the only one to renew the tokens of this credential. Each has its own: who waits for a slow
    /// service keeps no other grant waiting.
    pub(crate) fn renewing_lock(&self, credential: &str) -> PathBuf {
        // Ids are letters and digits; whatever comes of a damaged store stays in the folder.
        let id: String = credential.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        self.folder.join(format!("{RENEWING}{id}.lock"))
    }

    /// Forgets the lock of a credential that is gone.
    pub(super) fn forget_renewing_lock(&self, credential: &str) {
        // It may never have been made; and an empty file that stays harms nobody.
        let _ = std::fs::remove_file(self.renewing_lock(credential));
    }

    fn serve_lock(&self) -> PathBuf {
        self.folder.join("serve.lock")
    }

    /// Takes the place of the one process that serves this home: two would each process everything. It is free again
    /// when the answer is dropped.
    pub(crate) fn lock_for_serving(&self) -> Result<Alone, HostError> {
        self.try_lock_for_serving()?.ok_or_else(|| {
            HostError::bad_input(
                "serving-already",
                format!("another `harness serve` runs on the home {}", self.folder.display()),
                "Stop it first, or use another --home.",
            )
        })
    }

    /// The same; none where another process has that place.
    fn try_lock_for_serving(&self) -> Result<Option<Alone>, HostError> {
        let path = self.serve_lock();
        let trouble = |error: std::io::Error| {
            let message = format!("{}: {error}", path.display());
            HostError::other("serve-lock", message, "Check the rights of the home folder.")
        };
        // The folder too: it cannot be deleted by mistake while the database stays, as the lock's file can.
        #[cfg(unix)]
        let folder = Some(File::open(&self.folder).map_err(trouble)?);
        #[cfg(not(unix))]
        let folder = None;
        let file = File::options().create(true).append(true).open(&path).map_err(trouble)?;
        for place in folder.iter().chain([&file]) {
            match place.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
                Err(std::fs::TryLockError::Error(error)) => return Err(trouble(error)),
            }
        }
        Ok(Some(Alone { _held: (folder, file) }))
    }

    /// Opens its database. One of an earlier version is brought up to date in the place of the process that serves: a
    /// host of that version could keep nothing in it any more.
    ///
    /// No new one is made where something speaks of an earlier one: it would be taken for that one, and be empty.
    pub(crate) fn open_store(&self) -> Result<Store, HostError> {
        let left = self.left_of_an_earlier_one();
        // Another process may have made it meanwhile.
        if !left.is_empty() && !is_there(&self.database())? {
            let message = format!(
                "the home {} has no harness.db, but what belongs to one: {}",
                self.folder.display(),
                left.join(", ")
            );
            let remedy = "Put a backup in its place with `harness restore FILE` (a harness.db.former-… is one too). Where a new home is meant, move what is left away first.";
            return Err(HostError::bad_input("home-incomplete", message, remedy));
        }
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

    /// What is in the folder of a database that is not there.
    fn left_of_an_earlier_one(&self) -> Vec<String> {
        if self.database().symlink_metadata().is_ok() {
            return vec![];
        }
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut left: Vec<_> = names
            .filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with("harness.db") || entry.path() == self.key_file
            })
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        left
    }

    /// The folder, for people.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// The place of the one process that serves a home.
#[derive(Debug)]
pub(crate) struct Alone {
    _held: (Option<File>, File),
}

/// How the names of the locks of those who renew begin.
const RENEWING: &str = "renewing-";

fn is_renewing_lock(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with(RENEWING) && name.ends_with(".lock"))
}

/// How many connections' registrations may be changed at once.
pub(crate) const REGISTERING_LOCKS: usize = 16;

/// Which of the locks is a connection's.
pub(crate) fn registering_place(connection: &str) -> usize {
    connection.bytes().fold(0, |sum, byte| sum + usize::from(byte)) % REGISTERING_LOCKS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::host::Host;

    #[cfg(unix)]
    #[test]
    fn a_deleted_lock_does_not_let_a_second_process_serve() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path(), None);
        let alone = home.lock_for_serving().unwrap();
        std::fs::remove_file(home.serve_lock()).unwrap();
        let refused = home.lock_for_serving().unwrap_err();
        assert_eq!(refused.to_json()["code"], "host.serving-already");
        drop(alone);
        home.lock_for_serving().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_home_into_which_everybody_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let open = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            Host::open(Home::new(folder.path(), None), SystemClock::shared())
        };
        for mode in [0o777, 0o1777, 0o702] {
            let refused = open(mode).unwrap_err();
            assert_eq!(refused.to_json()["code"], "host.home-open", "{mode:o}");
            assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is made in it");
        }
        for mode in [0o770, 0o755, 0o700] {
            open(mode).unwrap();
        }
    }

    #[test]
    fn no_new_database_is_made_where_something_speaks_of_an_earlier_one() {
        let open = |home: &Home| Host::open(home.clone(), SystemClock::shared());
        for left in ["vault.key", "harness.db.former-1", "harness.db.part", "harness.db-wal"] {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::new(folder.path(), None);
            let path = folder.path().join(left);
            std::fs::write(&path, "what is left").unwrap();
            let refused = open(&home).unwrap_err();
            assert_eq!(refused.to_json()["code"], "host.home-incomplete", "{left}");
            assert!(refused.to_string().contains(left), "{refused}");
            assert!(!home.database().exists(), "{left}");
            std::fs::remove_file(&path).unwrap();
            drop(open(&home).unwrap());
        }
        // A key that was put elsewhere beforehand says nothing about this home.
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = elsewhere.path().join("vault.key");
        drop(open(&Home::new(elsewhere.path(), None)).unwrap());
        open(&Home::new(folder.path(), Some(key))).unwrap();
    }
}
