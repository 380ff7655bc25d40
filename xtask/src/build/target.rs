//! Makes sure that the standard library for the guest's target is there.

use anyhow::{Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::workspace::output_of;

/// What the guests are compiled for. Not `wasm32-wasip2`: its standard library
/// imports file system, environment and stdio, and a reviewer would have to ask why.
pub(crate) const TRIPLE: &str = "wasm32-unknown-unknown";

/// Uses the target if it is installed, else installs it with rustup, else says
/// what a person can do.
pub(crate) fn provide() -> Result<()> {
    // Somebody who builds the standard library from source needs no installed one.
    if env::var_os("CARGO_UNSTABLE_BUILD_STD").is_some() || installed() {
        return Ok(());
    }
    eprintln!("The WebAssembly target {TRIPLE} is not installed yet: asking rustup for it …");
    match Command::new("rustup").args(["target", "add", TRIPLE]).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() && installed() => Ok(()),
        Ok(output) => bail!(advice(&said(&output.stderr))),
        Err(error) => bail!(advice(&format!("rustup cannot be started: {error}"))),
    }
}

fn installed() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    output_of(Command::new(rustc).args(["--print", "target-libdir", "--target", TRIPLE]))
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

/// The last words of a failed rustup.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| "rustup failed and did not say why".to_owned(), |line| format!("rustup said: {line}"))
}

fn advice(cause: &str) -> String {
    format!(
        "Rust's standard library for {TRIPLE} is missing, and the connector is compiled for it.\n\
         Any one of these provides it:\n  \
         - with rustup and a network:  rustup target add {TRIPLE}\n  \
         - with Rust from Debian or Ubuntu:  apt install libstd-rust-dev-wasm32\n  \
         - with Rust from Fedora:  dnf install rust-std-static-{TRIPLE}\n  \
         - with the sources of the standard library (the package rust-src):\n      \
           RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort cargo xtask build\n\
         ({cause})"
    )
}
