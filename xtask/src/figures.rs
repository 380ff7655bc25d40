//! `cargo xtask figures`: what the fault tests measured, as a table of Markdown.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::finding::Finding;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test --faults && cargo xtask figures
  cargo xtask test --long; cargo xtask dist --verify; cargo xtask figures --write

Reads target/faults/*.json, which the tests leave; runs nothing.
Exit code 0: every figure that is there is as expected. 1: one is not, or could not be measured, or there is none.")]
pub(crate) struct FiguresArguments {
    /// Put the table into docs/reliability.md, between its two markers
    #[arg(long)]
    write: bool,
    /// Print the findings as JSON lines instead
    #[arg(long, conflicts_with = "write")]
    json: bool,
}

const PAGE: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

pub(crate) fn run(workspace: &Workspace, arguments: &FiguresArguments) -> Result<ExitCode> {
    let mut texts = texts(&workspace.target().join("faults"))?;
    let mut findings = texts
        .iter()
        .map(|(text, written)| {
            let finding = serde_json::from_str(text).with_context(|| format!("a finding cannot be read: {text}"))?;
            Ok(Taken { finding, date: date(*written)? })
        })
        .collect::<Result<Vec<_>>>()?;
    if findings.is_empty() {
        bail!("there are no figures yet: run `cargo xtask test --faults` first");
    }
    let passed = findings.iter().all(|one| one.finding.passed);
    if arguments.json {
        texts.sort();
        texts.iter().for_each(|(text, _)| println!("{text}"));
    } else {
        findings.sort_by_key(|one| order(&one.finding.id));
        let table = table(&findings);
        if arguments.write { put(&workspace.root().join(PAGE), &table)? } else { print!("{table}") }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a test found, and the day on which it did.
struct Taken {
    finding: Finding,
    date: String,
}

/// The findings as they were written, and when.
fn texts(folder: &Path) -> Result<Vec<(String, SystemTime)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let json = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    json.map(|path| {
        let written = fs::metadata(&path).and_then(|meta| meta.modified());
        fs::read_to_string(&path)
            .and_then(|text| Ok((text, written?)))
            .with_context(|| format!("cannot read {}", path.display()))
    })
    .collect()
}

fn date(written: SystemTime) -> Result<String> {
    Ok(OffsetDateTime::from(written).format(format_description!("[year]-[month]-[day]"))?)
}

/// What takes a figure anew.
fn command(id: &str) -> &'static str {
    match id {
        "B1" => "check-deps",
        "B2" => "dist --verify",
        "P1" | "S8" => "test --long",
        _ if id.ends_with("-long") => "test --long",
        _ => "test --faults",
    }
}

/// `W2` before `W10`.
fn order(id: &str) -> (String, u32, String) {
    let letters: String = id.chars().take_while(char::is_ascii_alphabetic).collect();
    let digits: String = id.chars().skip(letters.len()).take_while(char::is_ascii_digit).collect();
    (letters, digits.parse().unwrap_or(0), id.to_owned())
}

fn table(findings: &[Taken]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut table = "| no. | what is done | expected | figure | | taken | `cargo xtask` |\n".to_owned();
    table.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for Taken { finding: one, date } in findings {
        let verdict = match (one.passed, one.not_measurable) {
            (true, _) => "passed",
            (_, true) => "not measurable there",
            _ => "**failed**",
        };
        let (test, expected, figure) = (cell(&one.test), cell(&one.expected), cell(&one.figure));
        let (id, command) = (&one.id, command(&one.id));
        table.push_str(&format!("| {id} | {test} | {expected} | {figure} | {verdict} | {date} | `{command}` |\n"));
    }
    table
}

/// Replaces what stands between the markers of a page.
fn put(page: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| format!("{} has lost its markers of the figures", page.display()))?;
    fs::write(page, format!("{before}{BEGIN}{table}{END}{after}"))
        .with_context(|| format!("cannot write {}", page.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str) -> Taken {
        let text = format!(r#"{{"id":"{id}","test":"a | b","expected":"0","figure":"0 of 3","passed":true}}"#);
        let written = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
        Taken { finding: serde_json::from_str(&text).unwrap(), date: date(written).unwrap() }
    }

    #[test]
    fn the_table_goes_between_the_markers_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        fs::write(&page, format!("before\n{BEGIN}old\n{END}\nafter\n")).unwrap();
        put(&page, &table(&[finding("W1")])).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("\nafter\n") && !text.contains("old"), "{text}");
        assert!(text.contains("| W1 | a \\| b | 0 | 0 of 3 | passed | 1970-01-02 | `test --faults` |\n"), "{text}");
        fs::write(&page, "no markers").unwrap();
        assert!(put(&page, "x").is_err());
    }

    #[test]
    fn what_could_not_be_measured_is_not_called_passed() {
        let mut taken = finding("W11");
        taken.finding = Finding { passed: false, not_measurable: true, ..taken.finding };
        assert!(table(&[taken]).contains("| not measurable there |"));
    }

    #[test]
    fn numbers_are_in_the_order_of_numbers() {
        let mut findings = ["W10", "S2", "W9-long", "W2", "W9", "A1"].map(finding);
        findings.sort_by_key(|one| order(&one.finding.id));
        assert_eq!(findings.map(|one| one.finding.id), ["A1", "S2", "W2", "W9", "W9-long", "W10"]);
    }
}
