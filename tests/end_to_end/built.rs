//! The programs and components under `target/`, checked to be there and newer than their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The target folder that this test was compiled into.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    // target/release/deps/end_to_end-…
    test.ancestors().nth(3).expect("a test lies three folders below the target folder").to_owned()
}

/// A native program of the workspace.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = target().join("release").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    check(&path, &target().join("release").join(name).with_extension("d"));
    path
}

/// The Jira connector.
pub(crate) fn connector() -> PathBuf {
    component("jira_connector")
}

/// A component by its file name without the extension.
pub(crate) fn component(name: &str) -> PathBuf {
    let path = target().join("component").join(name).with_extension("wasm");
    check(&path, &target().join("wasm32-unknown-unknown/guest").join(name).with_extension("d"));
    path
}

/// Ends the test with the command to run where `product` is missing or older than a source that
/// cargo's dependency file names.
fn check(product: &Path, dependencies: &Path) {
    let remedy = "run `cargo xtask build` (or `cargo xtask test`, which builds first)";
    let Ok(made) = modified(product) else { panic!("{} is missing: {remedy}", product.display()) };
    let Ok(listed) = fs::read_to_string(dependencies) else { return };
    let sources = listed.lines().find_map(|line| line.split_once(": ")).map_or("", |(_, sources)| sources);
    for source in sources.replace("\\ ", "\u{0}").split_whitespace() {
        let source = source.replace('\u{0}', " ");
        if modified(Path::new(&source)).is_ok_and(|changed| changed > made) {
            panic!("{} is older than {source}: {remedy}", product.display());
        }
    }
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}
