//! `component-smith SHAPE FOLDER FIRST COUNT`: writes `FOLDER/N.wasm` for COUNT numbers N from FIRST on: core modules with
//! the imports and exports of the module SHAPE and code that the number decides. The same number makes the same module.
//! Where a number makes none, no file is written.

use std::path::Path;
use std::process::ExitCode;

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// How many random bytes a module is made from.
const BYTES: usize = 16 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [shape, folder, first, count] = arguments.as_slice() else {
        eprintln!("usage: component-smith SHAPE FOLDER FIRST COUNT");
        return ExitCode::from(2);
    };
    match smith(shape, Path::new(folder), first, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn smith(shape: &str, folder: &Path, first: &str, count: &str) -> Result<(), Box<dyn std::error::Error>> {
    let shape = std::fs::read(shape)?;
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    for number in first..first.saturating_add(count) {
        let bytes = random(number);
        if let Ok(module) = Module::new(config(shape.clone()), &mut Unstructured::new(&bytes)) {
            std::fs::write(folder.join(format!("{number}.wasm")), module.to_bytes())?;
        }
    }
    Ok(())
}

/// What the host's engine runs, without what would only make it refuse the module.
fn config(shape: Vec<u8>) -> Config {
    Config {
        module_shape: Some(shape),
        compact_imports_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        max_instructions: 2_000,
        memory64_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// Bytes that the number decides (SplitMix64).
fn random(number: u64) -> Vec<u8> {
    let mut state = number;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..BYTES / 8).flat_map(|_| next().to_le_bytes()).collect()
}
