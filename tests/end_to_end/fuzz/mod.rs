//! P1 and S8: what comes from outside is read by code that must not fall over it. Each target takes bytes; inputs are
//! made from the target's corpus (`tests/fuzz/TARGET/`) by mutations, and from nothing.
//!
//! On every test run the corpus and a few hundred mutations of it are tried. The long run (`cargo xtask test --long`)
//! gives each target `FUZZ_SECONDS` (30 where it is not set). The seed is printed; `FUZZ_SEED` sets it. An input that
//! fails is printed and belongs into the corpus. There is no coverage feedback: that needs another compiler than the
//! stable one, so the corpus has to know the shapes.

mod components;
mod connector;
mod host;
mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::built;
use crate::figure::figure;
use mutation::Mutator;

/// How long one input may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One target: its name, which is that of its corpus, and what is done with an input.
type Target = (&'static str, fn(&[u8]));

fn targets() -> Vec<Target> {
    [connector::TARGETS, host::TARGETS].concat()
}

/// A number from the environment.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = built::root().join("tests/fuzz").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).expect("a corpus file can be read")).collect()
}

/// What a target withstood: how many inputs, or the one that it did not.
fn withstands((name, target): Target, seed: u64, enough: impl Fn(u64) -> bool) -> Result<u64, String> {
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "the target {name} has no corpus");
    let current = Arc::new(Mutex::new(Vec::new()));
    let done = Arc::new(AtomicU64::new(0));
    let (ended, wait) = channel::<()>();
    let (watched, counted) = (Arc::clone(&current), Arc::clone(&done));
    // A target that never comes back cannot be stopped, so the process ends with the input in its last words.
    let watch = std::thread::spawn(move || {
        let mut before = u64::MAX;
        while wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let now = counted.load(Ordering::Relaxed);
            if now == before {
                let input = watched.lock().unwrap_or_else(PoisonError::into_inner).escape_ascii().to_string();
                eprintln!("{name} hangs at: {input}");
                std::process::exit(101);
            }
            before = now;
        }
    });
    let mut mutator = Mutator::new(seed);
    let mut outcome = Ok(());
    while outcome.is_ok() && !enough(done.load(Ordering::Relaxed)) {
        let turn = done.load(Ordering::Relaxed);
        let input = match usize::try_from(turn).ok().and_then(|turn| seeds.get(turn)) {
            Some(plain) => plain.clone(),
            None => mutator.next(&seeds),
        };
        current.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&input);
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            outcome = Err(format!("{name} panics (seed {seed}) at: {}", input.escape_ascii()));
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    drop(ended);
    watch.join().expect("the watch ends");
    outcome.map(|()| done.load(Ordering::Relaxed))
}

#[test]
fn what_was_found_once_is_withstood() {
    let failures: Vec<_> =
        targets().into_iter().filter_map(|target| withstands(target, 1, |done| done >= 300).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
#[ignore = "long: FUZZ_SECONDS for each target"]
fn p1_no_input_brings_a_reader_down() {
    let (seconds, seed) = (number("FUZZ_SECONDS", 30), number("FUZZ_SEED", 1));
    println!("FUZZ_SECONDS={seconds} FUZZ_SEED={seed}");
    let (mut executions, mut failures) = (0, Vec::new());
    let targets = targets();
    for target in &targets {
        let begun = Instant::now();
        match withstands(*target, seed, |_| begun.elapsed() >= Duration::from_secs(seconds)) {
            Ok(count) => {
                println!("{:<16} {count:>10} executions", target.0);
                executions += count;
            }
            Err(failure) => failures.push(failure),
        }
    }
    figure(
        "P1",
        "mutated inputs for every reader of foreign bytes",
        "≥ 11 targets, no panic, no hang",
        format!(
            "{} targets, {seconds} s each, {executions} executions, {} failures (seed {seed}) {}",
            targets.len(),
            failures.len(),
            failures.join("; ")
        ),
        targets.len() >= 11 && failures.is_empty(),
    );
}
