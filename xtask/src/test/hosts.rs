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
    Node(&'static str),
}

const RUNNERS: [Runner; 6] = [
    Runner { host: "our host (Rust)", language: Language::Rust("hosts::") },
    Runner { host: "wasmtime (Python)", language: Language::Python("run_wasmtime.py") },
    Runner { host: "jco (Node)", language: Language::Node("run_jco.mjs") },
    Runner { host: "jira (Python client)", language: Language::Python("clients/python_jira.py") },
    Runner { host: "jira.js (Node client)", language: Language::Node("clients/jira_js.mjs") },
    Runner { host: "OAuth (Python clients)", language: Language::Python("clients/logins.py") },
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
        Language::Rust(filter) => {
            let mut cargo = workspace.cargo();
            cargo.args(["test", "--release", "--workspace", "--test", "end_to_end", filter]);
            cargo.args(["--", "--nocapture", "--test-threads=1"]);
            cargo
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
    // Rust's test harness puts `test NAME ... ` before the first thing a test prints.
    let json = stdout.lines().filter_map(|line| line.find('{').map(|start| &line[start..]));
    let mut cases: Vec<Case> = json.filter_map(|line| serde_json::from_str(line).ok()).collect();
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
