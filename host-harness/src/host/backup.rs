//! Backing up a home and restoring it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Home, HostError};
use crate::store::{Contents, StoreError, copy, inspect, retire};

/// What was backed up or restored.
#[derive(Debug)]
pub struct Copied {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub contents: Contents,
    /// Where the key is, when it was copied as well.
    pub key: Option<PathBuf>,
    /// Where the home's former database is.
    pub former: Option<PathBuf>,
    /// What else is needed before it can be used.
    pub needed: Vec<String>,
}

impl Copied {
    /// `{file, connections, secrets, deliveries-waiting, runs-open, key, former, needed}`.
    pub fn to_json(&self) -> Value {
        let names: Vec<_> = self.contents.connections.iter().map(|(name, _)| name).collect();
        json!({
            "file": self.file,
            "connections": names,
            "secrets": self.contents.secrets,
            "deliveries-waiting": self.contents.deliveries,
            "runs-open": self.contents.runs,
            "key": self.key,
            "former": self.former,
            "needed": self.needed,
        })
    }
}

fn trouble(path: &Path) -> impl Fn(io::Error) -> HostError {
    let path = path.display().to_string();
    move |error| {
        HostError::other("backup-file", format!("{path}: {error}"), "Check the disk and the rights of that folder.")
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes an empty file that only its owner can read, in place of one that was left over.
fn private_file(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Copies a file so that it is on disk, and readable to its owner only, under its name or not at all.
fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let part = beside(to, ".part");
    let mut file = private_file(&part)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()?;
    put_in_place(&part, to)
}

/// Gives a file its name, and has the folder know it after a power failure.
fn put_in_place(part: &Path, to: &Path) -> io::Result<()> {
    fs::rename(part, to)?;
    #[cfg(unix)]
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Writes the home's database, as of one moment, into a file, while `serve` goes on; with its key beside it where that
/// is asked for. One of an earlier version is copied as it is: the host of that version may run.
pub fn back_up(home: &Home, file: &Path, with_key: bool, overwrite: bool) -> Result<Copied, HostError> {
    let database = home.database();
    if !database.exists() {
        return Err(HostError::bad_input(
            "home-empty",
            format!("there is nothing to back up in {}", home.path().display()),
            "Name the home with --home DIR.",
        ));
    }
    let key = beside(file, ".key");
    for target in [Some(file), with_key.then_some(key.as_path())].into_iter().flatten() {
        if !overwrite && target.exists() {
            return Err(HostError::bad_input(
                "backup-exists",
                format!("{} exists", target.display()),
                "Name another file, or allow it with --overwrite.",
            ));
        }
    }
    let part = beside(file, ".part");
    drop(private_file(&part).map_err(trouble(&part))?);
    let copied = copy(&database, &part).and_then(|()| inspect(&part));
    let contents = match copied {
        Ok(contents) => contents,
        Err(error) => {
            let _ = fs::remove_file(&part);
            return Err(error.into());
        }
    };
    put_in_place(&part, file).map_err(trouble(file))?;
    let mut needed = Vec::new();
    if with_key {
        copy_private(&home.key_file, &key).map_err(trouble(&key))?;
    } else if contents.secrets > 0 {
        needed.push(format!(
            "the key file {}: without it the {} secrets in the backup cannot be opened; keep a copy of it elsewhere",
            home.key_file.display(),
            contents.secrets
        ));
    }
    needed.extend(components(&contents, |_| true));
    Ok(Copied { file: file.to_owned(), contents, key: with_key.then_some(key), former: None, needed })
}

/// The components that a database needs.
fn components(contents: &Contents, which: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut paths: Vec<_> = contents.connections.iter().map(|(_, component)| component.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.into_iter().filter(|path| which(Path::new(path))).map(|path| format!("the component {path}")).collect()
}

/// Puts a backup in the place of a home's database. A home that has one is refused unless `replace`, which keeps the
/// former one beside it; one that is in use always is.
pub fn restore(home: &Home, file: &Path, replace: bool) -> Result<Copied, HostError> {
    if !file.is_file() {
        let message = format!("there is no file {}", file.display());
        return Err(HostError::bad_input("backup-missing", message, "Name the file that `harness backup` wrote."));
    }
    let refused = |error: StoreError| {
        let remedy = match error {
            StoreError::TooNew { .. } => "Restore it with the version that wrote it, or a later one.",
            _ => "Restore another backup.",
        };
        HostError::bad_input("backup-unusable", format!("{} cannot be restored: {error}", file.display()), remedy)
    };
    let contents = inspect(file).map_err(refused)?;
    home.create().map_err(trouble(home.path()))?;
    let _alone = home.lock_for_serving()?;
    let database = home.database();
    let mut former = None;
    if database.exists() {
        if !replace {
            return Err(HostError::bad_input(
                "home-not-empty",
                format!("the home {} has data already", home.path().display()),
                "Restore into another --home, or allow it with --replace: what is there is kept beside it.",
            ));
        }
        retire(&database).map_err(|error| {
            HostError::bad_input(
                "home-in-use",
                format!("the home {} is in use, or damaged: {error}", home.path().display()),
                "End every `harness` command that works on it; a damaged database can be moved away by hand.",
            )
        })?;
        let kept = (1..).map(|number| beside(&database, &format!(".former-{number}"))).find(|path| !path.exists());
        let kept = kept.unwrap_or_else(|| beside(&database, ".former"));
        fs::rename(&database, &kept).map_err(trouble(&kept))?;
        former = Some(kept);
    }
    // A journal that was left over would be taken for this database's.
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&database, ending));
    }
    copy_private(file, &database).map_err(trouble(&database))?;
    let key = beside(file, ".key");
    let mut restored_key = None;
    if key.is_file() && !home.key_file.exists() {
        copy_private(&key, &home.key_file).map_err(trouble(&home.key_file))?;
        restored_key = Some(home.key_file.clone());
    }
    let mut needed = Vec::new();
    if contents.secrets > 0 && !home.key_file.exists() {
        needed.push(format!("the key file, at {} (or named with --key-file)", home.key_file.display()));
    }
    needed.extend(components(&contents, |path| !path.exists()));
    Ok(Copied { file: file.to_owned(), contents, key: restored_key, former, needed })
}
