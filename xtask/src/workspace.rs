//! Where things are, and how the other programs of the toolchain are started.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folders of this repository.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// What its toolchain sees other than we do.
    environment: Vec<(OsString, OsString)>,
}

impl Workspace {
    /// Finds the repository this program was built from.
    pub(crate) fn find() -> Result<Self> {
        // Cargo says at run time where the manifest is, so a moved clone still works.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .parent()
            .filter(|root| root.join("wit/world.wit").is_file())
            .context("this is not the repository of the connector: run `cargo xtask …` inside your clone")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => root.join(target),
            None => root.join("target"),
        };
        Ok(Self { root, target, environment: Vec::new() })
    }

    /// Another clone, whose toolchain runs in other surroundings.
    pub(crate) fn elsewhere(root: PathBuf, environment: Vec<(OsString, OsString)>) -> Self {
        Self { target: root.join("target"), root, environment }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where finished components and their name maps lie.
    pub(crate) fn components(&self) -> PathBuf {
        self.target.join("component")
    }

    /// A path as a person would type it from the repository's root.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The cargo that runs us, in the repository's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.current_dir(&self.root);
        // `cargo run` tells us about ourselves in variables that build scripts look at: handed on, they would
        // make the same build from here and from a shell two builds.
        let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Runs a command whose output belongs to the person watching: its stdout is sent
/// to our stderr, because our stdout carries results.
pub(crate) fn run_visibly(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}); its own message is above");
    }
    Ok(())
}

/// What a command printed, if it could be started and succeeded.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
