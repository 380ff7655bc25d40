//! `cargo xtask dist`: the release, in `target/dist/`.
//!
//! The component with what a host's author needs, the host programs, for each what is linked into
//! it and under which licences, and the checksums of all that. `--verify` makes the component a
//! second time in other surroundings and compares.

mod copy;
mod linked;
mod notices;
mod programs;
mod sbom;
mod verify;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::linked::Linked;
use crate::build;
use crate::workspace::{Workspace, output_of};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask dist                    the release, in target/dist/
  cargo xtask dist --component-only   without the host programs: a minute instead of ten the first time
  cargo xtask dist --verify           and build the component again elsewhere: the same bytes?
  cargo xtask dist --verify-host      and the host programs too; the first time this takes as long again
  (cd target/dist && sha256sum -c SHA256SUMS)

Exit code 0: the release is made, and what was to be verified holds. 1: not, and the last lines say why.")]
pub(crate) struct DistArguments {
    /// Leave the host programs out
    #[arg(long, conflicts_with = "verify_host")]
    component_only: bool,
    /// Build the component a second time, in another folder, for another user, and compare the bytes
    #[arg(long)]
    verify: bool,
    /// Build the host programs a second time too, and compare
    #[arg(long)]
    verify_host: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// One file of the release.
#[derive(Serialize)]
struct Shipped {
    /// Relative to the release's folder.
    path: String,
    /// Bytes.
    size: u64,
    sha256: String,
    #[serde(skip)]
    what: &'static str,
}

/// What the release's files are, for the list that is printed. The first that fits counts.
const MEANINGS: [(&str, &str); 13] = [
    ("jira_connector.wasm", "the connector, one WebAssembly component"),
    (".names.json", "function index → name, for reading a trap's stack"),
    (".manifest.json", "what the connector says of itself: auth methods, cards, deliveries"),
    ("manifest.schema.json", "the JSON Schema of a manifest"),
    (".cards.md", "every card with its fields, sample and behaviour"),
    (".cdx.json", "what is linked into it (CycloneDX 1.6)"),
    (".notices.txt", "the licences of what is linked into it"),
    ("workflow-connector.wasm", "the contract as a WIT package in binary form"),
    (".wit", "the contract"),
    ("bin/", "a program, stripped"),
    ("LICENSE", "the licence of this project"),
    ("CHANGELOG.md", "what changed"),
    ("", ""),
];

pub(crate) fn run(workspace: &Workspace, arguments: &DistArguments) -> Result<ExitCode> {
    let folder = workspace.target().join("dist");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
        }
        _ => {}
    }
    say("the component");
    build::components(workspace)?;
    // The host's own program reads the manifest and writes the card reference.
    crate::native::build(workspace)?;
    connector(workspace, &folder)?;
    contract(workspace, &folder)?;
    for name in ["LICENSE", "CHANGELOG.md"] {
        let text = fs::read(workspace.root().join(name)).with_context(|| format!("cannot read {name}"))?;
        write(&folder.join(name), &text)?;
    }
    if !arguments.component_only {
        say("the host programs: the first time this compiles the wasmtime runtime once more, for some minutes");
        for program in programs::build(workspace)? {
            let name = program.name;
            write_program(&folder.join("bin").join(program.file_name()), &program.bytes)?;
            about(&folder, name, &Linked::of_program(workspace, program.package)?, &program.bytes)?;
        }
    }
    let shipped = checksums(&folder)?;
    let verified = verify::run(workspace, arguments, &folder)?;
    report(workspace, arguments, &folder, &shipped, &verified);
    let good = verified.iter().all(|one| one.passed);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The component, its name map, its manifest and the reference of its cards.
fn connector(workspace: &Workspace, folder: &Path) -> Result<()> {
    let component = workspace.components().join("jira_connector.wasm");
    let bytes = fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
    write(&folder.join("jira_connector.wasm"), &bytes)?;
    let names = workspace.components().join("jira_connector.names.json");
    write(&folder.join("jira_connector.names.json"), &fs::read(&names).context("cannot read the name map")?)?;

    let found: Value = serde_json::from_str(&harness(workspace, &["inspect", "--json"], Some(&component))?)
        .context("`harness inspect --json` gave something unexpected")?;
    let manifest = serde_json::to_string_pretty(&found["manifest"])?;
    write(&folder.join("jira_connector.manifest.json"), format!("{manifest}\n").as_bytes())?;
    let cards = harness(workspace, &["card", "reference", "--connector"], Some(&component))?;
    write(&folder.join("jira_connector.cards.md"), format!("{cards}\n").as_bytes())?;
    about(folder, "jira_connector", &Linked::of_component(workspace)?, &bytes)
}

/// The bill of materials and the licences of one file of the release.
fn about(folder: &Path, name: &str, linked: &Linked, bytes: &[u8]) -> Result<()> {
    let bom = serde_json::to_string_pretty(&sbom::document(linked, &sha256(bytes)))?;
    write(&folder.join("sbom").join(format!("{name}.cdx.json")), format!("{bom}\n").as_bytes())?;
    let notices = notices::text(name, linked).with_context(|| format!("the licences of {name}"))?;
    write(&folder.join("notices").join(format!("{name}.notices.txt")), notices.as_bytes())?;
    Ok(())
}

/// The contract: its files, and the same as one binary package, the form that registries of WIT take.
fn contract(workspace: &Workspace, folder: &Path) -> Result<()> {
    let source = workspace.root().join("wit");
    for entry in fs::read_dir(&source).with_context(|| format!("cannot read {}", source.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            write(&folder.join("wit").join(name), &fs::read(&path)?)?;
        }
    }
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(&source).context("the contract in wit/ cannot be read")?;
    let binary = wit_component::encode(&resolve, package, false).context("the contract cannot be encoded")?;
    write(&folder.join("wit/workflow-connector.wasm"), &binary)
}

/// What the host's program prints, with a home of its own.
fn harness(workspace: &Workspace, arguments: &[&str], component: Option<&Path>) -> Result<String> {
    let home = tempfile::tempdir().context("no temporary folder")?;
    let mut command = crate::native::command(workspace, "harness");
    command.arg("--home").arg(home.path()).args(arguments).args(component);
    output_of(&mut command).with_context(|| format!("`harness {}` failed", arguments.join(" ")))
}

/// Writes `SHA256SUMS`, in the form that `sha256sum -c` reads, and answers what it lists.
fn checksums(folder: &Path) -> Result<Vec<Shipped>> {
    let mut files = copy::files(folder)?;
    files.sort();
    let mut shipped = Vec::new();
    for path in files {
        let bytes = fs::read(folder.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
        let path = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        let what = MEANINGS.iter().find(|(part, _)| path.contains(part)).map_or("", |(_, what)| what);
        shipped.push(Shipped { size: bytes.len() as u64, sha256: sha256(&bytes), what, path });
    }
    let lines: String = shipped.iter().map(|one| format!("{}  {}\n", one.sha256, one.path)).collect();
    write(&folder.join("SHA256SUMS"), lines.as_bytes())?;
    Ok(shipped)
}

fn report(
    workspace: &Workspace,
    arguments: &DistArguments,
    folder: &Path,
    shipped: &[Shipped],
    verified: &[verify::Verified],
) {
    let folder = workspace.relative(folder);
    if arguments.json {
        println!("{}", serde_json::json!({ "folder": folder, "files": shipped, "verified": verified }));
        return;
    }
    println!("{}", folder.display());
    let width = shipped.iter().map(|one| one.path.len()).max().unwrap_or(0);
    for one in shipped {
        println!("  {:width$}  {:>10}  {}", one.path, one.size, one.what);
    }
    println!("Check it:  (cd {} && sha256sum -c SHA256SUMS)", folder.display());
    for one in verified {
        println!("{}: {}", if one.passed { "verified" } else { "NOT VERIFIED" }, one.figure);
    }
}

/// Tells what is being made.
fn say(what: &str) {
    eprintln!("Making {what} …");
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(&parent)
        .and_then(|()| fs::write(path, bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(unix)]
fn write_program(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", path.display()))
}

#[cfg(not(unix))]
fn write_program(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_cover_every_file_and_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("b.txt"), b"").unwrap();
        write(&folder.path().join("a/x.wit"), b"abc").unwrap();
        let shipped = checksums(folder.path()).unwrap();
        let sums = fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
        assert_eq!(
            sums,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a/x.wit\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b.txt\n"
        );
        assert_eq!((shipped[0].size, shipped[0].what), (3, "the contract"));
    }
}
