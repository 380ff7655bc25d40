//! `cargo xtask manifest`: the manifest that the component holds, made anew from the types of the cards.

use anyhow::Result;
use std::process::ExitCode;

use crate::workspace::{Workspace, run_visibly};

/// The test that compares what is kept with what the types say, and writes it when told to.
const TEST: &str = "catalog::tests::the_manifest_kept_is_that_of_the_types";

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release", "--workspace", "--lib", TEST]).env("JIRA_MANIFEST", "write");
    run_visibly(&mut cargo, "the manifest's test")?;
    println!("src/catalog/manifest.json is what the types say.");
    Ok(ExitCode::SUCCESS)
}
