//! The host programs of a release.

use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::Path;

use crate::build::paths;
use crate::workspace::{Workspace, run_visibly};

/// The profile: no debug tables, not incremental, stripped.
const PROFILE: &str = "ship";

/// The programs and the packages they are in.
pub(super) const PROGRAMS: [(&str, &str); 2] = [("harness", "host-harness"), ("jira-simulator", "jira-simulator")];

/// One compiled program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl Program {
    pub(super) fn file_name(&self) -> String {
        format!("{}{}", self.name, env::consts::EXE_SUFFIX)
    }
}

/// Compiles the programs as they are released: other than those of every day, they carry no path of
/// this machine, no table for a debugger, and come out the same each time.
pub(super) fn build(workspace: &Workspace) -> Result<Vec<Program>> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--profile", PROFILE, "--bins"]);
    for (_, package) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    // cranelift's build script puts the commit of whatever repository its source lies in into the
    // program: of a home directory kept in git, say. There is none.
    cargo.env("GIT_DIR", workspace.target().join("no-repository"));
    if env::var_os("RUSTFLAGS").is_none() {
        cargo.env("CARGO_ENCODED_RUSTFLAGS", paths::remapping(workspace)?.join("\x1f"));
    }
    run_visibly(&mut cargo, "the compilation of the host programs")?;
    PROGRAMS.iter().map(|(name, package)| read(&workspace.target().join(PROFILE), name, package)).collect()
}

fn read(folder: &Path, name: &'static str, package: &'static str) -> Result<Program> {
    let path = folder.join(name).with_extension(env::consts::EXE_EXTENSION);
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Program { name, package, bytes })
}
