//! Restoring a home from a backup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::backup::components;
use super::placing::{copy_in_place, copy_private, is_same, put_in_place, trouble};
use super::{Copied, Home, HostError};
use crate::store::{Contents, StoreError, beside, is_there, retire, settle};
use crate::vault::marks_in;

/// What SQLite may keep beside a database, and what belongs to it.
const JOURNALS: [&str; 2] = ["-wal", "-journal"];
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Puts a backup in the place of a home's database. A home that has one is refused unless `replace`, which keeps the
/// former one beside it, damaged or not; one that is in use always is. Where it fails, the home is as it was.
pub fn restore(home: &Home, file: &Path, replace: bool) -> Result<Copied, HostError> {
    if !file.is_file() {
        let message = format!("there is no file {}", file.display());
        return Err(HostError::bad_input("backup-missing", message, "Name the file that `harness backup` wrote."));
    }
    if home.own_files().iter().any(|own| is_same(file, own)) {
        let message = format!("{} is a file of the home itself, not a backup of it", file.display());
        return Err(HostError::bad_input("backup-is-home", message, "Name the file that `harness backup` wrote."));
    }
    home.create().map_err(trouble(home.path()))?;
    let _alone = home.lock_for_serving()?;
    let database = home.database();
    let there = is_there(&database)?;
    if there && !replace {
        return Err(HostError::bad_input(
            "home-not-empty",
            format!("the home {} has data already", home.path().display()),
            "Restore into another --home, or allow it with --replace: what is there is kept beside it.",
        ));
    }
    let part = Part(beside(&database, ".part"));
    let contents = take_in(file, &part.0)?;
    let sound = !there || is_retired(home)?;
    let former = exchange(&database, &part.0, sound).map_err(trouble(&database))?;
    let key = beside(file, ".key");
    let mut restored_key = None;
    if key.is_file() && !home.key_file.exists() {
        copy_in_place(&key, &home.key_file).map_err(trouble(&home.key_file))?;
        restored_key = Some(home.key_file.clone());
    }
    let mut needed = Vec::new();
    if contents.secrets > 0 {
        needed.extend(needed_key(home, &contents, &key));
    }
    needed.extend(components(&contents, |path| !path.exists()));
    Ok(Copied { file: file.to_owned(), contents, key: restored_key, former, needed })
}

/// A copy that has not got its name yet: gone when it does not come to that.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&self.0, ending));
        }
    }
}

/// Copies a backup into the home, with what still lies in the journal beside it, and looks through the copy. The
/// backup itself is only read: it may be on a disk that takes no writes.
fn take_in(file: &Path, part: &Path) -> Result<Contents, HostError> {
    let unread = |error: io::Error| {
        HostError::other(
            "backup-file",
            format!("{} could not be copied into the home: {error}", file.display()),
            "Check both disks and the rights of the file. The home is as it was.",
        )
    };
    let file = &fs::canonicalize(file).map_err(unread)?;
    let all = || -> io::Result<Vec<Option<(u64, SystemTime)>>> {
        let state = |ending: &&str| match fs::metadata(beside(file, ending)) {
            Ok(found) => Ok(Some((found.len(), found.modified()?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        [""].iter().chain(&JOURNALS).map(state).collect()
    };
    let before = all().map_err(unread)?;
    copy_private(file, part).map_err(unread)?;
    for ending in BESIDE {
        let (journal, copied) = (beside(file, ending), beside(part, ending));
        let _ = fs::remove_file(&copied);
        if JOURNALS.contains(&ending) && journal.is_file() {
            copy_private(&journal, &copied).map_err(unread)?;
        }
    }
    if all().map_err(unread)? != before {
        return Err(HostError::bad_input(
            "backup-changes",
            format!("{} is being written to", file.display()),
            "End what works on it, or restore a file that `harness backup` wrote.",
        ));
    }
    settle(part).map_err(|error| unusable(file, error))
}

/// Why a file cannot be restored, and what can be done in that case.
fn unusable(file: &Path, error: StoreError) -> HostError {
    let (reason, remedy) = match error {
        StoreError::TooNew { found, known } => (
            format!("it is of a later version ({found}) than this program knows ({known})"),
            "Restore it with the version that wrote it, or a later one.",
        ),
        StoreError::Foreign { .. } => {
            ("it is the database of another program".into(), "Name a file that `harness backup` wrote.")
        }
        StoreError::Damaged { reason, .. } => (format!("it is damaged ({reason})"), "Restore another backup."),
        other => return other.into(),
    };
    HostError::bad_input("backup-unusable", format!("{} cannot be restored: {reason}", file.display()), remedy)
}

/// Takes the home's database out of use. Answers whether it is one file now; one that is damaged may have a journal.
fn is_retired(home: &Home) -> Result<bool, HostError> {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    match retire(&home.database()) {
        Ok(()) => Ok(true),
        Err(StoreError::Damaged { .. }) => Ok(false),
        Err(StoreError::Sqlite(error)) if matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)) => {
            Err(HostError::bad_input(
                "home-in-use",
                format!("the home {} is in use: {error}", home.path().display()),
                "End every `harness` command that works on it, then try again.",
            ))
        }
        Err(other) => Err(other.into()),
    }
}

/// Gives the part the database's name. What had it is kept, and has it again where that fails. Answers where it is kept.
///
/// A sound database has its name until the part has it. A damaged one is moved away first, before its journal: were the
/// process ended in between, a home without a database is refused, while one without its journal would be an older one.
fn exchange(database: &Path, part: &Path, sound: bool) -> io::Result<Option<PathBuf>> {
    let taken = |number: &u32| {
        let kept = beside(database, &format!(".former-{number}"));
        ["", "-wal", "-shm", "-journal"].iter().any(|ending| beside(&kept, ending).symlink_metadata().is_ok())
    };
    let number = (1..).find(|number| !taken(number)).unwrap_or(u32::MAX);
    let kept = beside(database, &format!(".former-{number}"));
    let mut moved = Vec::new();
    let placed = (|| {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let (from, to) = (beside(database, ending), beside(&kept, ending));
            if from.symlink_metadata().is_err() {
                continue;
            }
            // Not every file system has hard links.
            if !(sound && ending.is_empty() && fs::hard_link(&from, &to).is_ok()) {
                fs::rename(&from, &to)?;
            }
            moved.push((from, to));
        }
        put_in_place(part, database)
    })();
    if let Err(error) = placed {
        for (from, to) in moved.iter().rev() {
            // Two names of one file stay two names when one takes the other's place.
            if fs::rename(to, from).is_ok() {
                let _ = fs::remove_file(to);
            }
        }
        return Err(error);
    }
    Ok(kept.exists().then_some(kept))
}

/// The key, where the home has not the one that the secrets were sealed with.
fn needed_key(home: &Home, contents: &Contents, beside_backup: &Path) -> Option<String> {
    let place = home.key_file.display();
    if !home.key_file.exists() {
        return Some(format!("the key file, at {place} (or named with --key-file)"));
    }
    let known = contents.key_mark.as_ref()?;
    match marks_in(&home.key_file) {
        Ok(marks) if marks.contains(known) => None,
        Ok(_) if marks_in(beside_backup).is_ok_and(|marks| marks.contains(known)) => Some(format!(
            "the key file: {place} holds another key than the secrets were sealed with; {} is the right one, put it there or name it with --key-file",
            beside_backup.display()
        )),
        Ok(_) => Some(format!(
            "the key file: {place} holds another key than the secrets were sealed with; put the right one there or name it with --key-file"
        )),
        Err(error) => Some(format!("the key file: {error}")),
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
