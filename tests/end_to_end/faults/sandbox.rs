//! S: what a hostile guest does to itself stays with itself.

use std::time::{Duration, Instant};

use host_harness::clock::SystemClock;
use host_harness::plugin::{CallError, FaultKind, Limits, Plugin};
use serde_json::{Value, json};

use super::cell::{LeapClock, call, hostile, load, patient, pinned, plugins, run, run_with, with_token};
use crate::built;
use crate::figure::figure;
use crate::harness::{Harness, Started};
use crate::imports::{golden, of_component};
use crate::runtime::{runtime, wait_for};
use crate::service::{Reply, Service};

/// What kind of fault a call ended with.
pub(super) fn fault(outcome: &Result<Value, CallError>) -> Option<FaultKind> {
    match outcome {
        Err(CallError::Host(fault)) => Some(fault.kind),
        _ => None,
    }
}

/// The value below which 99 of 100 lie.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// How long calls of a well-behaved card take that each ask a service which needs 50 ms.
fn neighbours(plugin: &Plugin, service: &Service) -> Vec<Duration> {
    let access =
        with_token(host_harness::egress::Network::new().expect("TLS"), vec![pinned(&service.url())], true, "x");
    let mut times = Vec::new();
    for _ in 0..25 {
        let wave: Vec<_> = (0..4)
            .map(|_| {
                let (plugin, access, url) = (plugin.clone(), access.clone(), service.url());
                runtime().spawn(async move {
                    let started = Instant::now();
                    let call = call("neighbour", &json!({"base-url": url}));
                    let done = run_with(&plugin, &access, &call, "send", &json!({"request": {"path": "/"}})).await;
                    assert_eq!(done.expect("the neighbour works")["answers"][0]["status"], 200);
                    started.elapsed()
                })
            })
            .collect();
        times.extend(wave.into_iter().map(|one| wait_for(one).expect("the neighbour ends")));
    }
    times
}

#[test]
fn s1_a_guest_that_spins_is_stopped_and_its_neighbours_feel_nothing() {
    let deadline = Duration::from_secs(3);
    let plugin = load(Limits { time: deadline, ..patient() }, SystemClock::shared());
    let service = Service::start(|_| {
        std::thread::sleep(Duration::from_millis(50));
        Reply::json(200, &json!({}))
    });
    neighbours(&plugin, &service);
    let (mut alone, mut beside, mut stopped) = (Duration::MAX, Duration::MAX, Duration::ZERO);
    let mut timed_out = true;
    // Other tests share the cores: of several rounds in turn, the least disturbed one of each kind speaks.
    for _ in 0..4 {
        alone = alone.min(p99(neighbours(&plugin, &service)));
        let spinner = {
            let plugin = plugin.clone();
            runtime().spawn(async move {
                let started = Instant::now();
                let access = super::cell::locked_in("spinner");
                let outcome = run_with(&plugin, &access, &call("spinner", &json!({})), "spin", &json!({})).await;
                (started.elapsed(), outcome)
            })
        };
        beside = beside.min(p99(neighbours(&plugin, &service)));
        let (took, outcome) = wait_for(spinner).expect("the spinner is stopped");
        timed_out &= fault(&outcome) == Some(FaultKind::TimedOut);
        stopped = stopped.max(took);
    }
    let share = stopped.as_secs_f64() / deadline.as_secs_f64();
    let slower = beside.as_secs_f64() / alone.as_secs_f64() - 1.0;
    figure(
        "S1",
        "a guest spins beside others",
        "stopped in ≤ 2 × deadline; neighbours' p99 ≤ +10 %",
        format!("stopped at {share:.2} × deadline; neighbours' p99 {:+.0} % ({alone:.0?} alone)", slower * 100.0),
        timed_out && share <= 2.0 && slower <= 0.10,
    );
}

/// The most memory a running command had resident, in bytes, as far as it was seen.
fn peak(started: Started) -> (u64, crate::harness::Outcome) {
    let status = format!("/proc/{}/status", started.id());
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"));
            let Some(kilobytes) = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()) else {
                break;
            };
            most = most.max(kilobytes * 1024);
            std::thread::sleep(Duration::from_millis(1));
        }
        most
    });
    let outcome = started.finish();
    (watcher.join().expect("the watcher ends"), outcome)
}

/// A home with a connection `hostile` that reaches nothing but a service of the test.
pub(super) fn hostile_home(service: &Service) -> Harness {
    let host = Harness::new();
    let (component, base) = (built::component("guest_hostile"), format!("base-url={}/", service.url()));
    let token = host.file("token", "fake-token-of-the-hostile-guest");
    let token = format!("token=@{}", token.display());
    let added = host.run(&[
        "connection",
        "add",
        "hostile",
        "--connector",
        &component.to_string_lossy(),
        "--method",
        "token",
        "--set",
        &base,
        "--secret",
        &token,
        "--allow-private",
        "--no-check",
    ]);
    assert_eq!(added.code, 0, "{added:#?}");
    host
}

#[test]
fn s2_a_guest_that_wants_all_memory_gets_its_share_and_no_more() {
    let limit = Limits::default().memory as u64;
    let service = Service::start(|_| Reply::json(200, &json!({})));
    let host = hostile_home(&service);
    let watch = |card: &str| peak(host.start(&["run", card, "--connection", "hostile", "--input", "{}"]));
    let (quiet, _) = watch("remember");
    let (greedy, outcome) = watch("grow");
    let got = outcome.json()["bytes"].as_u64();
    let grown = greedy.saturating_sub(quiet);
    let many = format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(10_001));
    let many = host.file("many.wasm", wat::parse_str(many).expect("a component"));
    let refused = wait_for(plugins(Limits::default(), SystemClock::shared()).load(&many)).err().map(|e| e.to_string());
    // The refusal must come from the number of instances, not from what else the component lacks.
    let denied = refused.as_ref().is_some_and(|why| !why.contains("does not export"));
    figure(
        "S2",
        "a guest takes memory up to 4 GiB; 10,001 instances in one component",
        "denied; host's memory ≤ limit + 10 %",
        format!(
            "guest got {} MiB of {}; host +{} MiB; instances: {}",
            got.unwrap_or(0) >> 20,
            limit >> 20,
            grown >> 20,
            if denied { "denied" } else { "NOT denied" }
        ),
        got.is_none_or(|got| got <= limit) && grown > limit / 4 && grown <= limit + limit / 10 && denied,
    );
}

#[test]
fn s3_endless_recursion_is_a_trap_each_time_and_the_host_lives() {
    let plugin = hostile(patient());
    // Whether the guest's own stack ends first or the host's share of it, it is a trap.
    let is_trap = |kind| matches!(kind, Some(FaultKind::StackOverflow | FaultKind::Trap));
    let trapped = (0..1000).filter(|_| is_trap(fault(&run(&plugin, "c", "recurse", &json!({}))))).count();
    let alive = run(&plugin, "c", "remember", &json!({"text": "still here"})).is_ok();
    figure(
        "S3",
        "a guest calls itself without an end",
        "1,000 of 1,000 trapped, host alive",
        format!("{trapped} of 1000 trapped, host {}", if alive { "alive" } else { "DEAD" }),
        trapped == 1000 && alive,
    );
}

#[test]
fn s5_a_guest_that_crashes_each_time_is_set_aside_and_the_others_go_on() {
    let clock = LeapClock::new();
    let plugin = load(Limits::default(), clock.clone());
    let mut crashes = 0;
    let mut set_aside = 0;
    let mut others = 0;
    for _ in 0..20 {
        match fault(&run(&plugin, "crashing", "panic", &json!({"text": "again"}))) {
            Some(FaultKind::Trap) => crashes += 1,
            Some(FaultKind::Quarantined) => set_aside += 1,
            other => panic!("{other:?}"),
        }
        others += usize::from(run(&plugin, "another", "remember", &json!({"text": ""})).is_ok());
    }
    clock.leap(Limits::default().quarantine + Duration::from_secs(1));
    let back = run(&plugin, "crashing", "remember", &json!({"text": ""})).is_ok();
    figure(
        "S5",
        "a guest crashes in every call, 20 times",
        "set aside after k ≤ 5; others fine; host up 100 %",
        format!("k = {crashes}, then {set_aside} refused at once; others {others} of 20; back after the wait: {back}"),
        crashes <= 5 && crashes + set_aside == 20 && others == 20 && back,
    );
}

#[test]
fn s6_a_component_that_asks_for_more_is_not_even_instantiated() {
    let folder = built::root().join("tests/guests/wat");
    let bench = plugins(Limits::default(), SystemClock::shared());
    let copies = tempfile::tempdir().expect("a temporary folder");
    let (mut asked, mut let_in) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("the greedy components").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = wat::parse_file(entry.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let path = copies.path().join(&name).with_extension("wasm");
        std::fs::write(&path, &bytes).expect("the file can be written");
        asked += 1;
        match wait_for(bench.load(&path)) {
            Ok(_) => let_in.push(name),
            Err(error) => {
                let error = error.to_string();
                let names_it = of_imports(&bytes).iter().any(|import| error.contains(import.as_str()));
                if !names_it && name != "core-module.wat" {
                    let_in.push(format!("{name} (refused for another reason: {error})"));
                }
            }
        }
    }
    let found = of_component(&std::fs::read(built::connector()).expect("the component can be read"));
    let exact = found == golden();
    figure(
        "S6",
        "components ask for files, sockets, environment, stdout and more",
        "all refused; the connector's import list is exact",
        format!(
            "{} of {asked} refused{}; import list {}",
            asked - let_in.len(),
            if let_in.is_empty() { String::new() } else { format!(" (let in: {let_in:?})") },
            if exact { "exact" } else { "NOT as agreed" }
        ),
        asked >= 7 && let_in.is_empty() && exact,
    );
}

/// The imports of a component; none of what is no component.
fn of_imports(bytes: &[u8]) -> Vec<String> {
    if wasmparser::Parser::is_component(bytes) { of_component(bytes) } else { Vec::new() }
}

#[test]
fn s7_nothing_of_one_connection_is_found_by_the_next() {
    let plugin = hostile(patient());
    let mut hits = 0;
    for turn in 0..1000 {
        let (mine, other) = if turn % 2 == 0 { ("A", "B") } else { ("B", "A") };
        let left = |whose: &str| format!("left-by-connection-{whose}-for-nobody");
        let kept = run(&plugin, mine, "remember", &json!({"text": left(mine)})).expect("the card works");
        hits += usize::from(kept["found"] != "" || kept["before"] != 0);
        if turn % 10 == 0 {
            let pattern = super::cell::veiled(&left(other));
            let seen = run(&plugin, mine, "search", &json!({"patterns": [pattern]})).expect("the card works");
            hits += seen["found"]["hits"].as_array().expect("hits").len();
            assert!(seen["found"]["bytes-read"].as_u64().is_some_and(|read| read > 100_000), "{seen}");
        }
    }
    figure(
        "S7",
        "connections A and B take turns in one component",
        "0 hits in 1,000",
        format!("{hits} hits in 1000"),
        hits == 0,
    );
}
