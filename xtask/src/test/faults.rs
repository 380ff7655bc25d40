//! `cargo xtask test --faults`: the numbered fault and security tests.
//!
//! Each test writes `target/faults/NUMBER.json` with what was expected and the
//! figure it measured. A test that left no such file counts as failed.

use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use super::{close, table};
use crate::finding::Finding;
use crate::workspace::{Workspace, run_visibly};

/// The tests that must have run: sandbox, network, webhooks, authentication, secrets, durability, operation.
const NUMBERS: [&str; 64] = [
    "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S9", "S10", "S11", "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9",
    "W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9", "W10", "W11", "W12", "W13", "W14", "W15", "W17", "W19", "A1",
    "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A13", "A14", "A15", "A16", "K1", "K2", "K3",
    "K4", "K5", "K6", "K7", "I11", "O1", "O2", "O4", "P2",
];

pub(super) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let folder = workspace.target().join("faults");
    clear(&folder)?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release", "--workspace", "--test", "end_to_end", "faults::"]);
    let outcome = run_visibly(&mut cargo, "a fault test");

    let findings: Vec<_> = NUMBERS.iter().map(|number| finding(&folder, number)).collect();
    let rows: Vec<_> = findings.iter().map(row).collect();
    table::print(["no.", "what is done", "expected", "figure", "verdict"], &rows);
    println!();
    let passed = findings.iter().filter(|finding| finding.passed).count();
    let not_measurable = findings.iter().filter(|finding| finding.not_measurable).count();
    let mut failed = findings.len() - passed - not_measurable;
    if not_measurable > 0 {
        println!("{not_measurable} not measurable on this machine now, and so not passed");
    }
    if failed == 0 && outcome.is_err() {
        // A test failed after it wrote its finding, or one without a number did.
        println!("A fault test without a number in this table failed; its message is above.");
        failed = 1;
    }
    Ok(close(passed, failed))
}

/// Findings of an earlier run must not stand in for this one's.
pub(super) fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {}", folder.display()))
        }
        _ => fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display())),
    }
}

fn finding(folder: &Path, number: &str) -> Finding {
    let missing = |why: &str| Finding {
        id: number.to_owned(),
        test: "(no finding)".to_owned(),
        expected: String::new(),
        figure: why.to_owned(),
        passed: false,
        not_measurable: false,
    };
    match fs::read(folder.join(number).with_extension("json")) {
        Ok(text) => match serde_json::from_slice::<Finding>(&text) {
            Ok(finding) if finding.id == number => finding,
            Ok(finding) => missing(&format!("the file is that of {}", finding.id)),
            Err(error) => missing(&format!("unreadable: {error}")),
        },
        Err(_) => missing("the test did not run to its end"),
    }
}

fn row(finding: &Finding) -> [String; 5] {
    let verdict = match (finding.passed, finding.not_measurable) {
        (true, _) => "passed",
        (_, true) => "not measurable",
        _ => "FAILED",
    };
    [finding.id.clone(), finding.test.clone(), finding.expected.clone(), finding.figure.clone(), verdict.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_counts_only_under_its_own_number() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"id":"S1","test":"spin","expected":"stop","figure":"31 s","passed":true}"#;
        fs::write(folder.path().join("S1.json"), text).unwrap();
        fs::write(folder.path().join("S2.json"), text).unwrap();
        assert!(finding(folder.path(), "S1").passed);
        assert!(!finding(folder.path(), "S2").passed, "S2 holds the finding of S1");
        assert!(!finding(folder.path(), "S3").passed, "S3 left nothing");
    }
}
