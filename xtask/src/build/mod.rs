//! `cargo xtask build`: Rust sources → core modules → components.

mod component;
pub(crate) mod paths;
pub(crate) mod target;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::component::Interface;
use crate::workspace::{Workspace, run_visibly};

/// The guest packages, and the file name cargo gives their library.
const GUESTS: [(&str, &str); 3] =
    [("jira-connector", "jira_connector"), ("guest-beacon", "guest_beacon"), ("guest-hostile", "guest_hostile")];

/// The guest packages: one build makes them together, and features unify among them.
pub(crate) const GUEST_PACKAGES: [&str; 3] = [GUESTS[0].0, GUESTS[1].0, GUESTS[2].0];

const PROFILE: &str = "guest";

/// The linker pads every index that it may have to change to five bytes, unless it is told not to: a tenth of the code.
const COMPRESSED: &str = "-Clink-arg=--compress-relocations";

/// Half of what is usual, and more than the deepest nesting takes. Data lies behind the stack, and below a mebibyte
/// every address in the code is a byte shorter.
const STACK: &str = "-Clink-arg=-zstack-size=524288";

/// Memory for the heap from the start, in bytes: what a usual call needs, so that it does not have to grow.
const HEAP: &str = "-Clink-arg=--initial-heap=524288";

/// How large a function may be that is taken into those that call it. The usual 225 makes the component much larger and
/// hardly faster; nothing taken in makes each allocation go through five functions.
const INLINING: &str = "-Cllvm-args=-inline-threshold=60";

#[derive(Args)]
#[command(after_help = "Examples:\n  cargo xtask build\n  cargo xtask build --json | jq -r '.components[0].path'")]
pub(crate) struct BuildArguments {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// One finished component.
#[derive(Serialize)]
pub(crate) struct Built {
    name: &'static str,
    /// Relative to the repository's root.
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) size: usize,
    /// Function index → name of the core module; for reading traps.
    names: PathBuf,
    #[serde(flatten)]
    interface: Interface,
}

pub(crate) fn run(workspace: &Workspace, arguments: &BuildArguments) -> Result<ExitCode> {
    let components = components(workspace)?;
    if arguments.json {
        println!("{}", serde_json::json!({ "components": components }));
        return Ok(ExitCode::SUCCESS);
    }
    // The connector last: it is what a person built this for.
    for built in components.iter().rev() {
        println!("{}  {} bytes", built.path.display(), built.size);
        for import in &built.interface.imports {
            println!("    imports {import}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds all components into `target/component/`, the connector first.
pub(crate) fn components(workspace: &Workspace) -> Result<Vec<Built>> {
    target::provide()?;
    compile(workspace, &GUESTS.map(|(package, _)| package))?;
    let folder = workspace.components();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // All are tried before the first failure ends it: one broken guest does not
    // keep the others from those who wait for them. What an earlier build left of
    // the broken one is taken away, or tests would go on with it.
    let finished: Vec<_> = GUESTS.iter().map(|(_, library)| finish(workspace, &folder, library)).collect();
    finished.into_iter().collect()
}

/// Builds the connector alone, for whoever needs no other guest.
pub(crate) fn connector(workspace: &Workspace) -> Result<Built> {
    target::provide()?;
    let (package, library) = GUESTS[0];
    compile(workspace, &[package])?;
    let folder = workspace.components();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    finish(workspace, &folder, library)
}

/// Compiles guests, by package, to core modules.
fn compile(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--lib", "--profile", PROFILE, "--target", target::TRIPLE]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    // Flags that a person gave are theirs: cargo would ignore them beside ours.
    if env::var_os("RUSTFLAGS").is_none() {
        let mut flags = paths::remapping(workspace)?;
        flags.extend([COMPRESSED, STACK, HEAP, INLINING].map(str::to_owned));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    }
    run_visibly(&mut cargo, "the compilation of the guests")
}

/// Turns one core module into a component with its name map beside it.
fn finish(workspace: &Workspace, folder: &Path, library: &'static str) -> Result<Built> {
    let module_path = workspace.target().join(target::TRIPLE).join(PROFILE).join(library).with_extension("wasm");
    let module = fs::read(&module_path).with_context(|| format!("cannot read {}", module_path.display()))?;
    let path = folder.join(library).with_extension("wasm");
    let finished = component::from_module(&module).with_context(|| {
        let _ = fs::remove_file(&path);
        format!(
            "{library} does not become a component (if this names an import, a dependency wants one that is not \
             WASI; if it names an export, the contract has a function that the guest lacks)"
        )
    })?;

    let names = folder.join(format!("{library}.names.json"));
    replace(&path, &finished.bytes)?;
    replace(&names, &finished.names)?;
    Ok(Built {
        name: library,
        path: workspace.relative(&path).to_path_buf(),
        size: finished.bytes.len(),
        names: workspace.relative(&names).to_path_buf(),
        interface: finished.interface,
    })
}

/// Writes a file so that a reader sees the old one or the new one, never half.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::output_of;

    /// These bind to a browser or an operating system that no component host has.
    const UNWANTED: [&str; 5] = ["wasm-bindgen", "js-sys", "web-sys", "getrandom", "wasi"];

    #[test]
    fn no_guest_depends_on_a_browser_or_on_another_wasi() {
        let workspace = Workspace::find().unwrap();
        let mut tree = workspace.cargo();
        tree.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        tree.args(["--target", target::TRIPLE]);
        for (package, _) in GUESTS {
            tree.args(["--package", package]);
        }
        let tree = output_of(&mut tree).expect("cargo tree works: is Cargo.lock up to date?");
        assert!(tree.lines().any(|line| line.starts_with("wit-bindgen ")), "the tree is that of the guests:\n{tree}");
        let found: Vec<_> =
            tree.lines().filter(|line| UNWANTED.iter().any(|name| line.split(' ').next() == Some(name))).collect();
        assert!(found.is_empty(), "a guest pulls {found:?}: find out why with `cargo tree --invert`");
    }
}
