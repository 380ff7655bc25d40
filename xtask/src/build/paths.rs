//! What stands in a compiled program for the folders of the machine that compiled it.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Workspace, output_of};

/// The part of `cargo metadata` that is read here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    source: Option<String>,
}

/// The compiler's flags that take this machine's paths out of what it writes.
///
/// Panic messages carry source paths. Those of this machine would make a program differ from
/// one built elsewhere, and tell its user's name.
pub(crate) fn remapping(workspace: &Workspace) -> Result<Vec<String>> {
    let mut pairs: Vec<(PathBuf, String)> = vec![(workspace.root().to_path_buf(), "/connector".to_owned())];
    pairs.push((workspace.target().to_path_buf(), "/connector/target".to_owned()));
    // Of several that fit, the compiler takes the last: the special ones come after the general.
    pairs.extend(package_folders(workspace)?.into_iter().map(|folder| (folder, "/deps".to_owned())));
    pairs.extend(standard_library());
    Ok(pairs.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect())
}

/// The folders that packages of registries lie in. The name of such a folder depends on the
/// registry's address, and whoever uses a mirror has another one.
fn package_folders(workspace: &Workspace) -> Result<BTreeSet<PathBuf>> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    let text = output_of(&mut cargo).context(
        "`cargo metadata --locked` failed: Cargo.lock is not up to date, or a package could not be fetched; run \
         `cargo fetch --locked` to read why",
    )?;
    let metadata: Metadata = serde_json::from_str(&text).context("`cargo metadata` gave something unexpected")?;
    let registry = metadata.packages.iter().filter(|package| package.source.is_some());
    Ok(registry.filter_map(|package| Some(package.manifest_path.parent()?.parent()?.to_path_buf())).collect())
}

/// Where rust-src is installed the compiler names its files instead of the path they had when
/// the standard library was made.
fn standard_library() -> Option<(PathBuf, String)> {
    let rustc = || Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let sysroot = output_of(rustc().args(["--print", "sysroot"]))?;
    let version = output_of(rustc().arg("-vV"))?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "))?;
    Some((Path::new(&sysroot).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")))
}
