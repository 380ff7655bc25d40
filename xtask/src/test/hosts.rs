//! `cargo xtask test --hosts`: the same component and the same calls in other
//! hosts, and other people's Jira clients against the simulator.
//!
//! A runner is a script of `tests/hosts/`. It gets in its environment `COMPONENT`,
//! `CORPUS`, `BASE_URL`, `CONTROL_URL`, `EMAIL` and `TOKEN`, has a simulator of its
//! own, may start others (`SIMULATOR` is the program), and prints one JSON line per case: `{"case": …, "passed": …, "detail": …}`.

mod packages;

use anyhow::{Context, Result};
use serde::Deserialize;
use std::process::{Command, ExitCode, Output};

pub(crate) use self::packages::Packages;
use super::{close, table};
use crate::native;
use crate::scene::Scene;
use crate::simulator::Simulator;
use crate::workspace::Workspace;

/// One case a runner went through.
#[derive(Deserialize)]
struct Case {
    case: String,
    passed: bool,
    #[serde(default)]
    detail: String,
}

struct Runner {
    /// What a person calls it.
    host: &'static str,
    language: Language,
}

enum Language {
    /// A test of `tests/end_to_end/`, in our own host.
    Rust(&'static str),
    Python(&'static str),
    /// What a test of `tests/end_to_end/` prints, judged by a script that reads it.
    Judged {
        test: &'static str,
        script: &'static str,
    },
    Node(&'static str),
}

const RUNNERS: [Runner; 7] = [
    Runner { host: "our host (Rust)", language: Language::Rust("hosts::") },
    Runner { host: "wasmtime (Python)", language: Language::Python("run_wasmtime.py") },
    Runner { host: "jco (Node)", language: Language::Node("run_jco.mjs") },
    Runner { host: "jira (Python client)", language: Language::Python("clients/python_jira.py") },
    Runner { host: "jira.js (Node client)", language: Language::Node("clients/jira_js.mjs") },
    Runner { host: "OAuth (Python clients)", language: Language::Python("clients/logins.py") },
    Runner {
        host: "oauthlib (Python)",
        language: Language::Judged { test: "signatures::", script: "oauth1_signatures.py" },
    },
];

pub(super) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let packages = Packages::provide(workspace)?;
    let scene = Scene::open()?;
    let mut rows = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    for runner in &RUNNERS {
        eprintln!("Running {} …", runner.host);
        for case in cases(workspace, &packages, &scene, runner)? {
            if case.passed {
                passed += 1;
            } else {
                failed += 1;
            }
            let verdict = if case.passed { "passed" } else { "FAILED" };
            rows.push([runner.host.to_owned(), case.case, verdict.to_owned(), first_line(&case.detail)]);
        }
    }
    table::print(["host", "case", "verdict", "detail"], &rows);
    println!();
    Ok(close(passed, failed))
}

/// Runs one runner against a fresh simulator.
fn cases(workspace: &Workspace, packages: &Packages, scene: &Scene, runner: &Runner) -> Result<Vec<Case>> {
    let mut command = match runner.language {
        Language::Rust(filter) => end_to_end(workspace, filter),
        Language::Judged { test, script } => {
            let made = scene.run(&mut end_to_end(workspace, test), "")?;
            if !made.status.success() {
                return Ok(read(&made));
            }
            let made: Vec<_> = json_lines(&made).collect();
            let judged = scene.run(&mut packages.python(script), &made.join("\n"));
            return Ok(read(&judged.with_context(|| format!("the runner for {}", runner.host))?));
        }
        Language::Python(script) => packages.python(script),
        Language::Node(script) => packages.node(script),
    };
    let simulator = Simulator::start(workspace, scene)?;
    surroundings(workspace, &simulator, &mut command)?;
    let output = scene.run(&mut command, "");
    scene.end(simulator.process());
    Ok(read(&output.with_context(|| format!("the runner for {}", runner.host))?))
}

/// Our own tests of a name, which print what they have to say.
fn end_to_end(workspace: &Workspace, filter: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release", "--workspace", "--test", "end_to_end", filter]);
    cargo.args(["--", "--nocapture", "--test-threads=1"]);
    cargo
}

/// The JSON that a runner printed, line by line.
fn json_lines(output: &Output) -> impl Iterator<Item = String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    // Rust's test harness puts `test NAME ... ` before the first thing a test prints.
    let lines: Vec<_> = stdout.lines().filter_map(|line| Some(line[line.find('{')?..].to_owned())).collect();
    lines.into_iter()
}

fn surroundings(workspace: &Workspace, simulator: &Simulator, command: &mut Command) -> Result<()> {
    let account = simulator.administrator()?;
    command
        .env("COMPONENT", workspace.components().join("jira_connector.wasm"))
        .env("CORPUS", workspace.root().join("tests/hosts/corpus.json"))
        .env("BASE_URL", simulator.site())
        .env("CONTROL_URL", simulator.control_url())
        .env("SIMULATOR", native::program(workspace, "jira-simulator"))
        .env("EMAIL", &account.email)
        .env("TOKEN", &account.token);
    Ok(())
}

/// The cases a runner printed. One that failed without a failed case, or that ran
/// no case at all, has a case for that.
fn read(output: &Output) -> Vec<Case> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut cases: Vec<Case> = json_lines(output).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    let unexplained = !output.status.success() && cases.iter().all(|case| case.passed);
    if unexplained || cases.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        eprintln!("{}{}", stdout.trim_end(), stderr.trim_end());
        let detail = format!("{} after {} cases; its output is above", output.status, cases.len());
        cases.push(Case { case: "(the runner itself)".to_owned(), passed: false, detail });
    }
    cases
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}
