//! `cargo xtask test`: all tests, the other hosts, or the numbered fault tests.

mod faults;
mod hosts;
mod table;

use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;

pub(crate) use self::hosts::Packages;
use crate::workspace::{Workspace, run_visibly};
use crate::{build, native};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test            everything that runs in minutes
  cargo xtask test --long     that, and the tests marked long (`#[ignore]`)
  cargo xtask test --hosts    one corpus of calls in our host, in Python and in Node; other people's Jira clients
  cargo xtask test --faults   the numbered fault tests, each with its figure")]
pub(crate) struct TestArguments {
    /// Run the component in other hosts too, and other people's clients against the simulator
    #[arg(long, conflicts_with_all = ["faults", "long"])]
    hosts: bool,
    /// Run the numbered fault and security tests and print their figures
    #[arg(long, conflicts_with = "long")]
    faults: bool,
    /// Also run the tests that take long
    #[arg(long)]
    long: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &TestArguments) -> Result<ExitCode> {
    // The tests load components and start programs; they find both under `target/`.
    build::components(workspace)?;
    native::build(workspace)?;
    if arguments.hosts {
        hosts::run(workspace)
    } else if arguments.faults {
        faults::run(workspace)
    } else {
        all(workspace, arguments.long)
    }
}

fn all(workspace: &Workspace, long: bool) -> Result<ExitCode> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release", "--workspace"]);
    if long {
        // What these tests leave goes into docs/reliability.md: nothing of an earlier run among it.
        faults::clear(&workspace.target().join("faults"))?;
        cargo.args(["--", "--include-ignored"]);
    }
    if run_visibly(&mut cargo, "the tests").is_err() {
        bail!("a test failed; its message is above");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the closing line that scripts look for, and turns it into an exit code.
fn close(passed: usize, failed: usize) -> ExitCode {
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
