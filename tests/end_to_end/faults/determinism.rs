//! S10: with a clock and randomness that repeat, and work counted instead of timed, a call repeats to the last step.
//!
//! But for waiting: a guest that looks before the answer is there looks again, and one that gets it in two pieces reads
//! twice. When and in how many pieces it comes is the kernel's and the other thread's to say. So a call that sends
//! nothing is held to the same fuel exactly, and one that does to the same output and nearly the same fuel.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_harness::clock::{Clock, EpochMs};
use host_harness::egress::{Network, Recorder};
use host_harness::plugin::contract::event::Delivery;
use host_harness::plugin::{CardKind, Limits, Plugin, Plugins};
use serde_json::{Value, json};

use super::cell::{call, locked_in, pinned, with_token};
use crate::built;
use crate::figure::figure;
use crate::http;
use crate::runtime::{runtime, wait_for};
use crate::service::{Reply, Request, Service};
use crate::simulator::Jira;

/// How often each call is made.
const TIMES: usize = 5;
/// The share of its fuel that waiting for answers may make a difference of: one in so many.
const WAITING: u64 = 20;

/// It is always the same moment, and every call draws the same numbers.
#[derive(Default)]
struct Repeating(AtomicU64);

impl Clock for Repeating {
    fn now_ms(&self) -> EpochMs {
        1_700_000_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {})
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        for byte in bytes {
            // The state of a 64-bit linear congruential generator (Knuth, MMIX).
            let next = |state: u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            let state =
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).expect("there is always a next");
            *byte = (state >> 33) as u8;
        }
    }
}

/// Method, target and body of a request.
type Asked = (String, String, Vec<u8>);

/// A service that answers what Jira once answered, and asks Jira where it does not know.
fn replaying(jira: &Jira) -> Service {
    let kept: Mutex<HashMap<Asked, (u16, String)>> = Mutex::default();
    let (url, authorization) = (jira.url().to_owned(), jira.authorization("admin"));
    Service::start(move |request: &Request| {
        let key = (request.method.clone(), request.target.clone(), request.body.clone());
        let mut kept = kept.lock().expect("no answer panicked");
        let (status, body) = kept
            .entry(key)
            .or_insert_with(|| {
                let headers = [authorization.clone(), ("content-type".to_owned(), "application/json".to_owned())];
                let answer = http::send(&request.method, &format!("{url}{}", request.target), &headers, &request.body);
                (answer.status, answer.body)
            })
            .clone();
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Reply { status, headers, body: body.into_bytes() }
    })
}

/// What a call came to, and the fuel it took.
type Came = (String, Option<u64>);

#[test]
fn s10_the_same_call_takes_the_same_steps_to_the_same_answer() {
    let clock = Arc::new(Repeating::default());
    let limits = Limits { fuel: Some(1 << 40), faults_until_quarantine: u32::MAX, ..Limits::default() };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let plugins = {
        let _entered = runtime().enter();
        Plugins::new(cache.path(), limits, clock.clone()).expect("the engine starts")
    };
    let plugin = wait_for(plugins.load(&built::connector())).expect("the connector loads");
    let jira = Jira::start();
    let service = replaying(&jira);
    let cards: Vec<_> = plugin.manifest().cards.iter().filter(|card| card.kind == CardKind::Action).cloned().collect();
    let run = |card: &str, input: &Value| -> Came {
        clock.0.store(1, Ordering::Relaxed);
        let recorder = Recorder::default();
        let network = Network::new().expect("TLS");
        let origin = format!("{}/", service.url());
        let access = with_token(network, vec![pinned(&origin)], true, "fake-token").with_recorder(recorder.clone());
        let settings = json!({"site": origin, "deployment": "cloud"});
        let call = call("repeating", &settings);
        let came = wait_for(plugin.invoke(&access, &call, card, &input.to_string(), None));
        (format!("{came:?}"), recorder.snapshot().fuel)
    };
    let (mut done, mut spread, mut odd) = (0, 0, Vec::new());
    for card in &cards {
        // The first time Jira itself is asked, and changed.
        run(&card.id, &card.sample["input"]);
        let came = [(); TIMES].map(|()| run(&card.id, &card.sample["input"]));
        done += usize::from(came[0].0.starts_with("Ok("));
        let fuels = came.each_ref().map(|(_, fuel)| fuel.unwrap_or_default());
        let (least, most) = (fuels.iter().min().copied().unwrap_or(0), fuels.iter().max().copied().unwrap_or(0));
        spread = spread.max(most - least);
        if came.iter().any(|(output, _)| *output != came[0].0) || least == 0 || (most - least) * WAITING > least {
            odd.push(format!("{}: {came:?}", card.id));
        }
    }
    let mut offline = 1;
    let described = [(); 2].map(|()| describe(&plugin, &clock));
    if described[0] != described[1] {
        odd.push("describe".to_owned());
    }
    for entry in std::fs::read_dir(built::root().join("tests/fuzz/webhook-json")).expect("deliveries").flatten() {
        let body = std::fs::read(entry.path()).expect("a delivery can be read");
        let came = [(); TIMES].map(|()| receive(&plugin, &clock, &body));
        offline += 1;
        if came.iter().any(|one| *one != came[0] || one.1.is_none_or(|fuel| fuel == 0)) {
            odd.push(format!("{}: {came:?}", entry.path().display()));
        }
    }
    figure(
        "S10",
        "the sample of every action card, deliveries and `describe`, again and again in the same circumstances",
        "same output: 100 %; same fuel: 100 % of calls that send nothing, and within 5 % where answers are waited for \
         (how often the guest looks for one is not the guest's to say)",
        format!(
            "{} action cards ({done} done), {TIMES} times each: fuel within {spread}; {offline} calls that send nothing: \
             fuel within 0; {} of all differ {}",
            cards.len(),
            odd.len(),
            odd.join("; ")
        ),
        odd.is_empty() && 2 * done >= cards.len() && offline > 2,
    );
}

fn receive(plugin: &Plugin, clock: &Repeating, body: &[u8]) -> Came {
    clock.0.store(1, Ordering::Relaxed);
    let recorder = Recorder::default();
    let access = locked_in("repeating").with_recorder(recorder.clone());
    let delivery = Delivery {
        id: "d".to_owned(),
        registration: "r".to_owned(),
        method: "POST".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: body.to_vec(),
        received_at_ms: 0,
        extra: "{}".to_owned(),
    };
    let came = wait_for(plugin.receive(Some(&access), None, &delivery, &[]));
    (format!("{came:?}"), recorder.snapshot().fuel)
}

fn describe(plugin: &Plugin, clock: &Repeating) -> String {
    clock.0.store(1, Ordering::Relaxed);
    format!("{:?}", wait_for(plugin.describe(None)))
}
