//! Files of a folder, and copies of a folder.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// All files below a folder, relative to it.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(folder, Path::new(""), &mut found, &|_| true)?;
    Ok(found)
}

/// Copies the sources of a clone: everything but what is built and what git keeps.
pub(super) fn sources(root: &Path, to: &Path) -> Result<()> {
    let built = |path: &Path| path == Path::new("target") || path == Path::new(".git");
    let mut found = Vec::new();
    collect(root, Path::new(""), &mut found, &|path| !built(path))?;
    copy(root, &found, to)
}

/// Copies a folder.
pub(super) fn folder(from: &Path, to: &Path) -> Result<()> {
    copy(from, &files(from)?, to)
}

fn copy(from: &Path, files: &[PathBuf], to: &Path) -> Result<()> {
    for file in files {
        let copied = to.join(file);
        let parent = copied.parent().unwrap_or(to);
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(from.join(file), &copied))
            .with_context(|| format!("cannot copy to {}", copied.display()))?;
    }
    Ok(())
}

fn collect(root: &Path, below: &Path, found: &mut Vec<PathBuf>, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if !wanted(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(root, &path, found, wanted)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
