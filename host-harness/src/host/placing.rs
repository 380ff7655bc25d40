//! Files that are on disk under their names whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::HostError;
use crate::store::beside;

/// What the system said about a file of a backup.
pub(super) fn trouble(path: &Path) -> impl Fn(io::Error) -> HostError {
    let path = path.display().to_string();
    move |error| {
        HostError::other("backup-file", format!("{path}: {error}"), "Check the disk and the rights of that folder.")
    }
}

/// Makes an empty file that only its owner can read, in place of one that was left over.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Copies a file so that it is on disk, readable to its owner only.
pub(super) fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = private_file(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()
}

/// The same, under its name only when it is whole.
pub(super) fn copy_in_place(from: &Path, to: &Path) -> io::Result<()> {
    let part = beside(to, ".part");
    let placed = copy_private(from, &part).and_then(|()| put_in_place(&part, to));
    if placed.is_err() {
        let _ = fs::remove_file(&part);
    }
    placed
}

/// Gives a file its name, and has the folder know it after a power failure.
pub(super) fn put_in_place(part: &Path, to: &Path) -> io::Result<()> {
    fs::rename(part, to)?;
    #[cfg(unix)]
    if let Some(folder) = folder_of(to) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Whether two paths are the same file, under whatever name, or would be once it exists.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        use std::os::unix::fs::MetadataExt;
        if (one.dev(), one.ino()) == (other.dev(), other.ino()) {
            return true;
        }
    }
    let placed = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path).unwrap_or(Path::new("."))).ok()?;
        // Some file systems make no difference between capital and small letters.
        Some((folder, path.file_name()?.to_ascii_lowercase()))
    };
    matches!((placed(one), placed(other)), (Some(one), Some(other)) if one == other)
}
