//! `cargo xtask check-deps`: what we depend on, held against `deny.toml` by cargo-deny.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::workspace::{Workspace, output_of, run_visibly};

/// What is installed where there is none.
const VERSION: &str = "0.20.2";

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask check-deps                 licences, bans and sources, by deny.toml
  cargo xtask check-deps --advisories    and what is publicly known against a version (needs its database)

Uses cargo-deny where it is installed; else installs it into target/tools/, which takes a minute or two.
Exit code 0: clean. 1: not clean, and cargo-deny's own words are above.")]
pub(crate) struct CheckArguments {
    /// Also look for known vulnerabilities; fetches the advisory database
    #[arg(long)]
    advisories: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &CheckArguments) -> Result<ExitCode> {
    let program = provide(workspace)?;
    let mut checks = vec!["licenses", "bans", "sources"];
    if arguments.advisories {
        checks.push("advisories");
    }
    let mut deny = Command::new(program);
    deny.current_dir(workspace.root()).args(["--locked", "check"]).args(&checks).stdin(Stdio::null());
    let status = deny.status().context("cannot start cargo-deny")?;
    record(workspace, &checks, status.success())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The finding of B1, where the table of the fault tests finds it.
fn record(workspace: &Workspace, checks: &[&str], passed: bool) -> Result<()> {
    let lock = fs::read_to_string(workspace.root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    let verdict = if passed { "clean" } else { "not clean" };
    let finding = json!({
        "id": "B1",
        "test": "every dependency against deny.toml",
        "expected": "0 violations",
        "figure": format!("{packages} packages, {}: {verdict}", checks.join(", ")),
        "passed": passed,
    });
    let folder = workspace.target().join("faults");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("B1.json"), finding.to_string()))
        .with_context(|| format!("cannot write to {}", folder.display()))
}

/// cargo-deny: the one that is installed, or one of our own.
fn provide(workspace: &Workspace) -> Result<PathBuf> {
    let works = |program: &PathBuf| output_of(Command::new(program).arg("--version")).is_some();
    let tools = workspace.target().join("tools");
    let name = format!("cargo-deny{}", env::consts::EXE_SUFFIX);
    let known = [PathBuf::from(&name), tools.join("bin").join(&name)];
    if let Some(found) = known.iter().find(|program| works(program)) {
        return Ok(found.clone());
    }
    eprintln!("cargo-deny is not installed: making one in {}, which takes a minute or two …", tools.display());
    let mut cargo = workspace.cargo();
    // Not optimised: it runs for seconds, and compiles in a third of the time.
    cargo.args(["install", "--locked", "--debug", "--version", VERSION, "--root"]).arg(&tools).arg("cargo-deny");
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("RUSTFLAGS");
    run_visibly(&mut cargo, "the installation of cargo-deny (needs the registry of crates)")?;
    Ok(tools.join("bin").join(name))
}
