//! What a release is held against: a second build in other surroundings, the names of the
//! functions in it, and the schema of its bills of materials.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DistArguments, copy, programs, say, sha256};
use crate::build;
use crate::workspace::{Workspace, output_of, run_visibly};

/// Checks bills of materials against the official schema.
const SCHEMA_CHECKER: &str = "cyclonedx-python-lib[json-validation]==11.12.0";

/// Prints the first thing that is wrong with each file named, and how many were right.
const SCHEMA_CHECK: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
check = JsonStrictValidator(SchemaVersion.V1_6)
wrong = [(name, check.validate_str(open(name, encoding='utf-8').read())) for name in sys.argv[1:]]
wrong = [f'{name}: {error}' for name, error in wrong if error]
print('\\n'.join(wrong) or f'bills of materials: all {len(sys.argv) - 1}')
sys.exit(1 if wrong else 0)
";

/// Crates that come with the standard library and are named in its functions.
const STANDARD: [&str; 8] =
    ["std", "core", "alloc", "hashbrown", "dlmalloc", "rustc_demangle", "compiler_builtins", "__rustc"];

/// One thing that was held against something.
#[derive(Serialize)]
pub(super) struct Verified {
    /// The number among the fault tests, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'static str>,
    pub(super) figure: String,
    pub(super) passed: bool,
}

pub(super) fn run(workspace: &Workspace, arguments: &DistArguments, folder: &Path) -> Result<Vec<Verified>> {
    let mut verified = Vec::new();
    if arguments.verify || arguments.verify_host {
        verified.push(functions_are_listed(folder)?);
        verified.extend(bills_obey_the_schema(workspace, folder)?);
        let elsewhere = elsewhere(workspace)?;
        say("the component again, in another folder, for another user, in another time zone");
        verified.push(same_component(&elsewhere, folder)?);
        if arguments.verify_host {
            say("the host programs again: this compiles everything once more");
            verified.extend(same_programs(&elsewhere, folder)?);
        }
        record(workspace, &verified)?;
    }
    Ok(verified)
}

/// The finding of B2, where the table of the fault tests finds it.
fn record(workspace: &Workspace, verified: &[Verified]) -> Result<()> {
    let builds: Vec<_> = verified.iter().filter(|one| one.id.is_some()).collect();
    let finding = json!({
        "id": "B2",
        "test": "the release built twice: other folder, other user, other CARGO_HOME, locale and time zone",
        "expected": "the same bytes",
        "figure": builds.iter().map(|one| one.figure.as_str()).collect::<Vec<_>>().join("; "),
        "passed": builds.iter().all(|one| one.passed),
    });
    let folder = workspace.target().join("faults");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("B2.json"), finding.to_string()))
        .with_context(|| format!("cannot write to {}", folder.display()))
}

/// A copy of the sources whose builds see another machine: folder, user, registry, locale, time zone.
fn elsewhere(workspace: &Workspace) -> Result<Workspace> {
    let place = workspace.target().join("elsewhere");
    let root = place.join("another clone");
    let home = place.join("home of Zoë");
    // The target folder stays, or every check would compile everything; sources and registry do not.
    for folder in ["src", "host-harness", "jira-simulator", "json-text", "tests", "wit", "xtask"] {
        let _ = fs::remove_dir_all(root.join(folder));
    }
    let _ = fs::remove_dir_all(home.join("cargo"));
    copy::sources(workspace.root(), &root)?;
    let from = cargo_home();
    for part in ["registry/cache", "registry/index"] {
        if from.join(part).is_dir() {
            copy::folder(&from.join(part), &home.join("cargo").join(part))?;
        }
    }
    let rustup = env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".rustup")));
    let mut environment = vec![
        ("HOME".into(), home.clone().into_os_string()),
        ("CARGO_HOME".into(), home.join("cargo").into_os_string()),
        ("CARGO_TARGET_DIR".into(), root.join("target").into_os_string()),
    ];
    environment.extend(rustup.map(|rustup| ("RUSTUP_HOME".into(), rustup.into_os_string())));
    let others =
        [("USER", "zoe"), ("LOGNAME", "zoe"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "C"), ("TZ", "Pacific/Kiritimati")];
    environment.extend(others.map(|(name, value)| (name.into(), value.into())));
    Ok(Workspace::elsewhere(root, environment))
}

fn cargo_home() -> PathBuf {
    let home = || env::home_dir().map(|home| home.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_default()
}

fn same_component(elsewhere: &Workspace, folder: &Path) -> Result<Verified> {
    build::components(elsewhere).context("the second build")?;
    let read = |path: PathBuf| fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    let name = "jira_connector.wasm";
    Ok(compared(name, &read(folder.join(name))?, &read(elsewhere.components().join(name))?))
}

fn same_programs(elsewhere: &Workspace, folder: &Path) -> Result<Vec<Verified>> {
    let mut verified = Vec::new();
    for program in programs::build(elsewhere).context("the second build")? {
        let first = folder.join("bin").join(program.file_name());
        let first = fs::read(&first).with_context(|| format!("cannot read {}", first.display()))?;
        verified.push(compared(program.name, &first, &program.bytes));
    }
    Ok(verified)
}

fn compared(name: &str, first: &[u8], second: &[u8]) -> Verified {
    let figure = match (sha256(first), sha256(second)) {
        (one, other) if one == other => format!("{name} {one}, twice"),
        (one, other) => {
            let differing = first.iter().zip(second).filter(|(one, other)| one != other).count();
            format!("{name} {one} and {other}: {differing} bytes differ, {} and {} long", first.len(), second.len())
        }
    };
    Verified { id: Some("B2"), figure, passed: first == second }
}

/// The crates whose functions are in the component are in its bill of materials.
fn functions_are_listed(folder: &Path) -> Result<Verified> {
    let json = |path: &str| -> Result<Value> {
        let text = fs::read(folder.join(path)).with_context(|| format!("cannot read {path}"))?;
        Ok(serde_json::from_slice(&text)?)
    };
    let names = json("jira_connector.names.json")?;
    let bill = json("sbom/jira_connector.cdx.json")?;
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().replace('-', "_");
    let mut listed: BTreeSet<String> = bill["components"].as_array().into_iter().flatten().map(name).collect();
    listed.insert(name(&bill["metadata"]["component"]));
    listed.extend(STANDARD.map(str::to_owned));
    let functions = names["functions"].as_object().into_iter().flatten().filter_map(|(_, name)| name.as_str());
    let found: BTreeSet<&str> = functions.filter_map(crate_of).collect();
    let missing: Vec<&str> = found.iter().copied().filter(|one| !listed.contains(*one)).collect();
    let figure = if missing.is_empty() {
        format!("functions of {} crates are in the component, all of them in its bill of materials", found.len())
    } else {
        format!("in the component and not in its bill of materials: {}", missing.join(", "))
    };
    Ok(Verified { id: None, passed: missing.is_empty() && !found.is_empty(), figure })
}

/// The crate that a function's demangled path begins with: of `<A as B>::c`, that of `A`.
fn crate_of(function: &str) -> Option<&str> {
    let path = function.trim_start_matches(['<', '&', '*', '[', '(']);
    let (name, _) = path.split_once("::")?;
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // A C function, a type parameter and a primitive have no crate in front.
    (is_name(name) && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')).then_some(name)
}

/// Asks the official schema, by way of a Python package. Where there is none nothing is claimed.
fn bills_obey_the_schema(workspace: &Workspace, folder: &Path) -> Result<Option<Verified>> {
    let venv = workspace.target().join("tools/cyclonedx");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let there = || output_of(Command::new(&python).args(["-c", "import cyclonedx, jsonschema"])).is_some();
    if !there() {
        say("sure that the bills of materials obey their schema: installing its checker");
        let made = run_visibly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), "python3 -m venv");
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SCHEMA_CHECKER];
        if made.and_then(|()| run_visibly(Command::new(&python).args(pip), "pip install")).is_err() {
            eprintln!("The bills of materials were not held against the official schema: its checker needs Python 3.");
            return Ok(None);
        }
    }
    let bills = copy::files(&folder.join("sbom"))?;
    let mut check = Command::new(&python);
    check.args(["-c", SCHEMA_CHECK]).args(bills.iter().map(|bill| folder.join("sbom").join(bill)));
    let output = check.output().context("cannot start the checker of the bills")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.trim().lines().next().unwrap_or("the checker failed and did not say why").to_owned();
    let passed = output.status.success();
    let figure = if passed { format!("{said} obey the schema of CycloneDX 1.6") } else { said };
    Ok(Some(Verified { id: None, figure, passed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_of_a_function_is_read_from_its_path() {
        assert_eq!(crate_of("serde_json::value::Value::get"), Some("serde_json"));
        assert_eq!(crate_of("<&jira_connector::field::Codec as core::fmt::Debug>::fmt"), Some("jira_connector"));
        assert_eq!(crate_of("memcpy"), None);
        assert_eq!(crate_of("<T as core::fmt::Debug>::fmt"), None);
    }

    #[test]
    fn two_builds_that_differ_say_how() {
        let same = compared("x", b"abc", b"abc");
        assert!(same.passed && same.figure.ends_with("twice"), "{}", same.figure);
        let other = compared("x", b"abc", b"abd");
        assert!(!other.passed && other.figure.contains("1 bytes differ"), "{}", other.figure);
    }
}
