//! The figures of the numbered fault tests, kept for the table of `cargo xtask test --faults`.

use std::fs;

use serde_json::json;

use crate::built;

/// What became of a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NotMeasurable,
}

/// Writes `target/faults/NUMBER.json` and then asserts that the figure is the one asked for.
///
/// `test` says what is done, `expected` what the catalogue asks for, `figure` what was measured.
pub(crate) fn figure(number: &str, test: &str, expected: &str, figure: impl Into<String>, passed: bool) {
    let figure = figure.into();
    write(number, test, expected, &figure, if passed { Outcome::Passed } else { Outcome::Failed });
    assert!(passed, "{number} {test}: expected {expected}, but: {figure}");
}

/// Writes that the figure could not be measured on this machine now. It counts as neither passed nor failed.
pub(crate) fn not_measurable(number: &str, test: &str, expected: &str, why: &str) {
    write(number, test, expected, why, Outcome::NotMeasurable);
}

fn write(number: &str, test: &str, expected: &str, figure: &str, outcome: Outcome) {
    let folder = built::target().join("faults");
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    let finding = json!({
        "id": number, "test": test, "expected": expected, "figure": figure,
        "passed": outcome == Outcome::Passed, "not-measurable": outcome == Outcome::NotMeasurable,
    });
    fs::write(folder.join(number).with_extension("json"), finding.to_string()).expect("the finding can be written");
    println!("{number} {test}: expected {expected}; {figure}");
}

/// What was not as expected, after a figure; nothing where all was.
pub(crate) fn exceptions(of: &[impl std::fmt::Display]) -> String {
    of.iter().map(|one| format!("; {one}")).collect()
}
