//! The programs of this repository, compiled for this machine.

use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

use crate::workspace::{Workspace, run_visibly};

/// Compiles `harness` and `jira-simulator`.
///
/// With `--workspace`, as the tests do: another selection would unify features in
/// another way, and cargo would compile the dependencies a second time for the tests.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    if !program(workspace, "harness").exists() {
        eprintln!(
            "Compiling the workflow host and the simulated Jira. The host contains the wasmtime runtime, so the \
             first time takes a few minutes; later it takes seconds."
        );
    }
    compile(workspace, &["harness", "jira-simulator"], "the compilation of the host and the simulator")
}

/// Compiles the same, and the benches.
pub(crate) fn build_with_benches(workspace: &Workspace) -> Result<()> {
    build(workspace)?;
    compile(workspace, &["bench"], "the compilation of the benches")
}

fn compile(workspace: &Workspace, programs: &[&str], what: &str) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--workspace"]);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    run_visibly(&mut cargo, what)
}

/// Where a compiled program lies.
pub(crate) fn program(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target().join("release").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}

/// A compiled program, started in the repository's root.
pub(crate) fn command(workspace: &Workspace, name: &str) -> Command {
    let mut command = Command::new(program(workspace, name));
    command.current_dir(workspace.root());
    command
}
