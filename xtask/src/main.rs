//! `cargo xtask …`: builds the component, runs the demonstration and the tests, measures, makes the release.
//!
//! One file or folder per command. What a command found out goes to stdout, and
//! so does its `--json`; progress and everything cargo says goes to stderr.

mod bench;
mod build;
mod demo;
mod dependencies;
mod dist;
mod figures;
mod finding;
mod manifest;
mod native;
mod scene;
mod simulator;
mod test;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds the component, runs the demonstration, runs the tests, makes the release",
    after_help = "Start here:\n  cargo xtask demo     the whole story on this machine, no account needed\n  cargo xtask build    the component: target/component/jira_connector.wasm"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the connector and the test guests as components; print path, size and imports
    Build(build::BuildArguments),
    /// Show the whole story on this machine: a simulated Jira, a connection, a flow, and attacks on it
    Demo(demo::DemoArguments),
    /// Write the connector's manifest anew after a change of a card
    Manifest,
    /// Run the tests
    Test(test::TestArguments),
    /// Print the figures that the fault tests left, as a table for docs/reliability.md
    Figures(figures::FiguresArguments),
    /// Check licences, sources and bans of everything we depend on
    CheckDeps(dependencies::CheckArguments),
    /// Make the release: component, contract, card reference, bills of materials, programs, checksums
    Dist(dist::DistArguments),
    /// Measure the host and the connector, and compare them in the same run
    Bench(bench::BenchArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Workspace::find().and_then(|workspace| match arguments.command {
        Command::Build(arguments) => build::run(&workspace, &arguments),
        Command::Demo(arguments) => demo::run(&workspace, &arguments),
        Command::Manifest => manifest::run(&workspace),
        Command::Test(arguments) => test::run(&workspace, &arguments),
        Command::Figures(arguments) => figures::run(&workspace, &arguments),
        Command::CheckDeps(arguments) => dependencies::run(&workspace, &arguments),
        Command::Dist(arguments) => dist::run(&workspace, &arguments),
        Command::Bench(arguments) => bench::run(&workspace, &arguments),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
