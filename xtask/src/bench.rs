//! `cargo xtask bench`: builds what is measured and runs `tests/bench`.

use anyhow::{Context, Result};
use clap::Args;
use std::process::{ExitCode, Stdio};

use crate::test::Packages;
use crate::workspace::Workspace;
use crate::{build, native};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench                        all of them; a table at the end
  cargo xtask bench create-issue intake    those whose names begin so
  cargo xtask bench --peers peers          other people's clients on the same work, and nothing else
  cargo xtask bench --json | jq 'select(.met == false)'
  cargo xtask bench --list                 what there is

Every figure is a median of rounds, and what it is compared with is measured in turns with it. Close what else uses
the machine; docs/performance.md says how each is measured.")]
pub(crate) struct BenchArguments {
    /// The benches to run, by name or the beginning of one; all where none is given
    names: Vec<String>,
    /// Print one JSON line for each figure instead of a table
    #[arg(long)]
    json: bool,
    /// Compare with other people's clients too: npm's jira.js and PyPI's jira (`peers` as the only name: nothing else)
    #[arg(long)]
    peers: bool,
    /// End with exit code 1 where a figure misses its goal
    #[arg(long)]
    check: bool,
    /// List the benches and end
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &BenchArguments) -> Result<ExitCode> {
    build::components(workspace)?;
    native::build_with_benches(workspace)?;
    let mut bench = native::command(workspace, "bench");
    bench.arg("--target").arg(workspace.target());
    for (flag, given) in [("--json", arguments.json), ("--check", arguments.check), ("--list", arguments.list)] {
        if given {
            bench.arg(flag);
        }
    }
    if arguments.peers {
        bench.arg("--peers").arg(Packages::provide(workspace)?.folder());
    }
    let status = bench.args(&arguments.names).stdin(Stdio::null()).status().context("cannot start the benches")?;
    // What it found goes out as it is: 1 is a goal that was missed, 2 a bench that could not run.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
