//! Backing up a home.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::placing::{copy_in_place, is_same, private_file, put_in_place, trouble};
use super::{Home, HostError};
use crate::store::{Contents, beside, copy, inspect};

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
    let (key, part) = (beside(file, ".key"), beside(file, ".part"));
    for target in [file, &key, &part, &beside(&key, ".part")] {
        if home.own_files().iter().any(|own| is_same(target, own)) {
            return Err(HostError::bad_input(
                "backup-onto-home",
                format!("{} is a file of the home itself", target.display()),
                "Name a file elsewhere, best on another disk.",
            ));
        }
    }
    for target in [Some(file), with_key.then_some(key.as_path())].into_iter().flatten() {
        if !overwrite && target.exists() {
            return Err(HostError::bad_input(
                "backup-exists",
                format!("{} exists", target.display()),
                "Name another file, or allow it with --overwrite.",
            ));
        }
    }
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
        copy_in_place(&home.key_file, &key).map_err(trouble(&key))?;
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
pub(super) fn components(contents: &Contents, which: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut paths: Vec<_> = contents.connections.iter().map(|(_, component)| component.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.into_iter().filter(|path| which(Path::new(path))).map(|path| format!("the component {path}")).collect()
}
