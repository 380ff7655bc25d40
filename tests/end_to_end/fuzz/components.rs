//! S8: components that nobody wrote. Each has the imports and exports of a real connector and random code between them:
//! it calls the host's functions with random numbers for pointers, handles and lengths, and answers the same way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use host_harness::clock::SystemClock;
use host_harness::plugin::{CallError, FaultKind, Limits, Plugin, Plugins};
use serde_json::json;
use wasm_encoder::{CustomSection, Encode as _, Section as _};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::number;
use crate::built;
use crate::faults::cell::{call, locked_in};
use crate::figure::{exceptions, figure};
use crate::runtime::{runtime, wait_for};

/// How many modules are made at once.
const BATCH: u64 = 100;

/// The program that makes modules of random code, compiled where that was not done yet.
fn smith() -> PathBuf {
    let manifest = built::root().join("tests/fuzz/smith/Cargo.toml");
    let target = built::target().join("smith");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "{} cannot be compiled", manifest.display());
    target.join("release/component-smith").with_extension(std::env::consts::EXE_EXTENSION)
}

/// The core module of a connector, which says what is imported and exported, and its description of the contract.
struct Shape {
    path: PathBuf,
    contract: Vec<u8>,
}

impl Shape {
    fn of(guest: &str) -> Self {
        let path = built::target().join("wasm32-unknown-unknown/guest").join(guest).with_extension("wasm");
        let module = std::fs::read(&path).expect("`cargo xtask build` has compiled the guest");
        let mut contract = Vec::new();
        for payload in Parser::new(0).parse_all(&module) {
            if let Payload::CustomSection(section) = payload.expect("the compiler writes sound modules")
                && section.name().starts_with("component-type")
            {
                let section = CustomSection { name: section.name().into(), data: section.data().into() };
                contract.push(section.id());
                section.encode(&mut contract);
            }
        }
        Self { path, contract }
    }

    /// Components of this shape; a number that makes none is left out.
    fn components(&self, smith: &Path, folder: &Path, first: u64) -> Vec<Vec<u8>> {
        let mut command = Command::new(smith);
        command.arg(&self.path).arg(folder).args([first.to_string(), BATCH.to_string()]);
        assert!(command.status().is_ok_and(|status| status.success()), "the smith failed at {first}");
        let modules = (first..first + BATCH).map(|number| folder.join(format!("{number}.wasm")));
        let encode = |path: PathBuf| {
            let module = [std::fs::read(&path).ok()?, self.contract.clone()].concat();
            let _ = std::fs::remove_file(path);
            ComponentEncoder::default().module(&module).ok()?.encode().ok()
        };
        modules.filter_map(encode).collect()
    }
}

/// What came of one component.
#[derive(Default)]
struct Tally {
    made: u64,
    loaded: u64,
    calls: u64,
    faults: u64,
    /// Why the last one was refused that did not come as far as being called.
    refused: String,
}

fn short() -> Limits {
    Limits { time: Duration::from_millis(300), faults_until_quarantine: u32::MAX, ..Limits::default() }
}

/// Loads a component and calls what can be called. Only the host's own errors count as trouble.
fn try_out(plugins: &Plugins, path: &Path, tally: &mut Tally) -> Result<(), String> {
    // A component that does not describe itself is refused here already, after its code ran.
    let plugin = match wait_for(plugins.load(path)) {
        Ok(plugin) => plugin,
        Err(host_harness::plugin::LoadError::NoManifest(fault)) => {
            tally.calls += 1;
            tally.faults += 1;
            return internal(&fault);
        }
        Err(refusal) => {
            tally.refused = refusal.to_string();
            return Ok(());
        }
    };
    tally.loaded += 1;
    call_all(&plugin, tally)
}

fn internal(error: &CallError) -> Result<(), String> {
    match error {
        CallError::Host(fault) if fault.kind == FaultKind::Internal => Err(format!("{fault:?}")),
        _ => Ok(()),
    }
}

fn call_all(plugin: &Plugin, tally: &mut Tally) -> Result<(), String> {
    let (access, call) = (locked_in("fuzz"), call("fuzz", &json!({})));
    let answers = [
        wait_for(plugin.describe(None)).err(),
        wait_for(plugin.prepare("token", "{}")).err(),
        wait_for(plugin.check(&access, &call)).err(),
        wait_for(plugin.discover(&access, &call)).err(),
        wait_for(plugin.invoke(&access, &call, "card", "{}", None)).err(),
        wait_for(plugin.poll(&access, &call, &[], None)).err(),
    ];
    tally.calls += answers.len() as u64;
    tally.faults += answers.iter().flatten().count() as u64;
    answers.iter().flatten().try_for_each(internal)
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Tries components until it is enough.
fn campaign(seed: u64, enough: impl Fn(&Tally) -> bool) -> (Tally, Vec<String>) {
    let (smith, shapes) = (smith(), [Shape::of("guest_hostile"), Shape::of("guest_beacon")]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut tally, mut findings) = (Tally::default(), Vec::new());
    let mut first = seed << 32;
    while !enough(&tally) && findings.is_empty() {
        // Each batch has an engine and a cache of its own, so that what is kept of components stays bounded.
        let cache = folder.path().join("cache");
        let _ = std::fs::remove_dir_all(&cache);
        let plugins = {
            let _entered = runtime().enter();
            Plugins::new(&cache, short(), SystemClock::shared()).expect("the engine starts")
        };
        let shape = &shapes[(first / BATCH) as usize % shapes.len()];
        for bytes in shape.components(&smith, folder.path(), first) {
            if enough(&tally) || !findings.is_empty() {
                break;
            }
            tally.made += 1;
            let path = folder.path().join("component.wasm");
            std::fs::write(&path, &bytes).expect("the file can be written");
            if let Err(finding) = try_out(&plugins, &path, &mut tally) {
                findings.push(format!("{finding} (batch {first})"));
            }
        }
        first += BATCH;
    }
    (tally, findings)
}

#[test]
#[ignore = "long: S8_SECONDS, 180 where it is not set (cargo xtask test --long)"]
fn s8_random_components_never_bring_the_host_down() {
    let (seconds, seed) = (number("S8_SECONDS", 180), number("FUZZ_SEED", 1));
    println!("S8_SECONDS={seconds} FUZZ_SEED={seed}");
    // The first ones make the process's own pools and buffers.
    campaign(seed.wrapping_add(1), |tally| tally.made >= 50);
    let (memory, open) = (resident(), descriptors());
    let begun = Instant::now();
    let (tally, findings) = campaign(seed, |_| begun.elapsed() >= Duration::from_secs(seconds));
    let grown = resident().saturating_sub(memory) >> 20;
    let left_open = descriptors().saturating_sub(open);
    figure(
        "S8",
        "components of random code in the shape of a connector",
        "no panic, abort or leak",
        format!(
            "{} made, {} with a manifest, {} calls with {} faults in {seconds} s; {} findings; memory +{grown} MiB, {left_open} \
             descriptors left open (seed {seed}){}; refused before a call, for the last time: {}",
            tally.made,
            tally.loaded,
            tally.calls,
            tally.faults,
            findings.len(),
            exceptions(&findings),
            tally.refused
        ),
        findings.is_empty() && tally.calls > 0 && grown <= 64 && left_open <= 8,
    );
}
