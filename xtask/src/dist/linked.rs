//! What is linked into one file of the release.
//!
//! `cargo tree` says it, for the same packages, target and features that the build used, without
//! what only builds (build scripts, procedural macros) or only tests.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::programs::PROGRAMS;
use crate::build::{GUEST_PACKAGES, target};
use crate::workspace::{Workspace, output_of};

/// Name and version: within one file of a release no two packages share both.
pub(super) type Key = (String, String);

/// Who uses whom.
type Uses = BTreeMap<Key, BTreeSet<Key>>;

/// One package and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) licence: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<String>,
    /// SHA-256 of what the registry holds; none for packages of this repository.
    pub(super) checksum: Option<String>,
    /// Where its sources lie.
    pub(super) folder: PathBuf,
}

/// A file of the release, and what is linked into it.
pub(super) struct Linked {
    /// The package the file is made from.
    pub(super) root: Package,
    /// Everything else, in the order of names.
    pub(super) packages: Vec<Package>,
    /// Who uses whom, the root too.
    pub(super) uses: Uses,
    /// Whether it is a program rather than a component.
    pub(super) is_program: bool,
    /// The compiler's version and commit: its standard library is linked too.
    pub(super) rust: (String, String),
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Linked {
    /// What is linked into the connector.
    pub(super) fn of_component(workspace: &Workspace) -> Result<Self> {
        Self::find(workspace, "jira-connector", &GUEST_PACKAGES, Some(target::TRIPLE))
    }

    /// What is linked into a host program, by the package it is in.
    pub(super) fn of_program(workspace: &Workspace, package: &str) -> Result<Self> {
        Self::find(workspace, package, &PROGRAMS.map(|(_, package)| package), None)
    }

    /// `built` are the packages that one build makes together: features unify among them.
    fn find(workspace: &Workspace, root: &str, built: &[&str], target: Option<&str>) -> Result<Self> {
        let mut tree = workspace.cargo();
        tree.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "|{p}"]);
        tree.args(built.iter().flat_map(|package| ["--package", package]));
        tree.args(target.iter().flat_map(|target| ["--target", target]));
        let text = output_of(&mut tree).context("`cargo tree --locked` failed: is Cargo.lock up to date?")?;
        let (roots, all) = edges(&text)?;
        let root = roots.into_iter().find(|(name, _)| name == root).context("cargo tree does not list the package")?;
        let reached = reachable(&root, &all);

        let mut known = packages(workspace)?;
        let mut described =
            |key: &Key| known.remove(key).with_context(|| format!("cargo metadata does not know {} {}", key.0, key.1));
        let packages = reached.iter().filter(|key| **key != root).map(&mut described).collect::<Result<_>>()?;
        let uses = all.into_iter().filter(|(key, _)| reached.contains(key)).collect();
        Ok(Self { root: described(&root)?, packages, uses, is_program: target.is_none(), rust: rust()? })
    }
}

/// Reads `cargo tree --prefix depth --format "|{p}"`: the trees' roots, and who uses whom. What was
/// listed before is not unfolded again, so the edges of all trees belong together.
fn edges(text: &str) -> Result<(Vec<Key>, Uses)> {
    let (mut roots, mut path) = (Vec::new(), Vec::<Key>::new());
    let mut all = Uses::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let read = || {
            let (depth, package) = line.split_once('|')?;
            let mut words = package.split(' ');
            let key = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
            Some((depth.parse::<usize>().ok()?, key))
        };
        let Some((depth, key)) = read() else { bail!("cargo tree wrote a line that cannot be read: {line}") };
        path.truncate(depth);
        match path.last() {
            Some(user) => drop(all.entry(user.clone()).or_default().insert(key.clone())),
            None => roots.push(key.clone()),
        }
        all.entry(key.clone()).or_default();
        path.push(key);
    }
    Ok((roots, all))
}

fn reachable(root: &Key, all: &Uses) -> BTreeSet<Key> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(key) = waiting.pop() {
        if reached.insert(key.clone()) {
            waiting.extend(all.get(&key).into_iter().flatten().cloned());
        }
    }
    reached
}

/// All packages that the lock file names, as their manifests describe them.
fn packages(workspace: &Workspace) -> Result<BTreeMap<Key, Package>> {
    let mut metadata = workspace.cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    let text = output_of(&mut metadata).context("`cargo metadata --locked` failed")?;
    let metadata: Metadata = serde_json::from_str(&text).context("`cargo metadata` gave something unexpected")?;
    let lock = fs::read_to_string(workspace.root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let lock: Lock = toml::from_str(&lock).context("Cargo.lock cannot be read")?;
    let sums: BTreeMap<Key, Option<String>> =
        lock.package.into_iter().map(|one| ((one.name, one.version), one.checksum)).collect();
    let described = metadata.packages.into_iter().map(|one| {
        let key = (one.name, one.version);
        let package = Package {
            name: key.0.clone(),
            version: key.1.clone(),
            // Cargo once wrote a bar where SPDX writes OR.
            licence: one.license.map(|text| text.replace('/', " OR ")),
            description: one.description.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
            repository: one.repository,
            checksum: sums.get(&key).cloned().flatten(),
            folder: one.manifest_path.parent().map(PathBuf::from).unwrap_or_default(),
        };
        (key, package)
    });
    Ok(described.collect())
}

/// The compiler's version and the commit it was made from.
fn rust() -> Result<(String, String)> {
    let mut rustc = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let text = output_of(rustc.arg("-vV")).context("`rustc -vV` failed")?;
    let part = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    Ok((part("release: ").context("rustc does not say its version")?, part("commit-hash: ").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn the_tree_of_one_package_is_cut_out_of_those_of_all() {
        let text = "0|one v1.0.0 (/somewhere/one)\n1|shared v1.0.0\n2|deep v1.0.0\n\n\
                    0|two v1.0.0 (/somewhere)\n1|only v1.0.0\n1|shared v1.0.0 (*)\n";
        let (roots, all) = edges(text).unwrap();
        assert_eq!(roots, [key("one"), key("two")]);
        // `deep` is not unfolded again below `two`, and is linked into it all the same.
        assert_eq!(reachable(&key("two"), &all), ["two", "only", "shared", "deep"].map(key).into());
        assert_eq!(reachable(&key("one"), &all), ["one", "shared", "deep"].map(key).into());
        assert!(edges("1 no bar").is_err());
    }
}
