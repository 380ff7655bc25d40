//! W11, W12: how soon deliveries are acknowledged, and how many in a second.

use std::io::{Seek, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;

use super::sender::{Sender, WATCH, created, now_ms, starts};
use super::wire::Wire;
use crate::figure::{figure, not_measurable};
use crate::stage::Stage;

/// What a load came to.
struct Load {
    /// From when each was to be sent to when it was acknowledged, shortest first.
    latencies: Vec<Duration>,
    /// Those that were not answered 200.
    refused: usize,
    took: Duration,
}

impl Load {
    fn p99(&self) -> Duration {
        self.latencies[(self.latencies.len() * 99).div_ceil(100) - 1]
    }
}

/// Sends over so many connections: each request at its time, or, without a rate, as soon as the one before is answered.
/// A request that is late because the one before it was slow counts from when it was due.
fn send(url: &str, requests: &[Vec<u8>], connections: usize, per_second: Option<u32>) -> Load {
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now() + Duration::from_millis(50);
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let client = || {
            let mut wire = Wire::to(url);
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else { return latencies };
                let due = match per_second {
                    Some(rate) => begun + Duration::from_secs(number as u64) / rate,
                    None => Instant::now(),
                };
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let answered = wire.push(request).then(|| wire.answer()).flatten();
                if answered.is_none_or(|(status, _)| status != 200) {
                    refused.fetch_add(1, Ordering::Relaxed);
                    wire = Wire::to(url);
                }
                latencies.push(due.elapsed());
            }
        };
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect()
    });
    latencies.sort_unstable();
    Load { latencies, refused: refused.into_inner(), took: begun.elapsed() }
}

fn requests(sender: &Sender, name: &str, count: usize, length: usize) -> Vec<Vec<u8>> {
    let now = now_ms();
    (0..count).map(|number| sender.request(&format!("{name}-{number}"), &created(number, now, length))).collect()
}

#[test]
fn w11_the_acknowledgement_does_not_wait_for_flows() {
    let stage = Stage::connected();
    // Every run calls Jira, which does not answer.
    stage.host.file("flows/watch.yaml", WATCH.replacen("  when: event.issue.key == \"DEMO-0\"\n", "", 1));
    let serving = stage.host.serve(&["--flows", "flows"]);
    let sender = Sender::of(&stage, "demo", &stage.jira);
    stage.jira.fault(&json!({"match": {"path": "/rest/api/3/issue"}, "times": 0, "delay_ms": 60_000}));
    let floor = bare();
    let all_it_can = send(serving.url(), &requests(&sender, "w11-most", 1_000, 25_000), 64, None);
    let most = 1_000.0 / all_it_can.took.as_secs_f64();
    // Other tests share the machine and its disk. A round counts in which the bare server, measured before and after,
    // took no more than a third of what is allowed; of those the middle one. Where fewer than three count, nothing is
    // said about ours.
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let (slow, fast) = (format!("w11-slow-{round}"), format!("w11-fast-{round}"));
        let usual = requests(&sender, &slow, 400, 25_000);
        let burst = requests(&sender, &fast, 2_000, 25_000);
        let bare =
            || [send(&floor, &usual, 20, Some(200)), send(&floor, &burst, 64, Some(2_000))].map(|load| load.p99());
        let before = bare();
        let ours = [send(serving.url(), &usual, 20, Some(200)), send(serving.url(), &burst, 64, Some(2_000))];
        let after = bare();
        let refused: usize = ours.iter().map(|load| load.refused).sum();
        let bare = [before[0].max(after[0]), before[1].max(after[1])];
        rounds.push(Round { ours: ours.map(|load| load.p99()), bare, refused });
    }
    let (mut quiet, mut busy): (Vec<Round>, Vec<Round>) = rounds.into_iter().partition(Round::is_quiet);
    let counts = quiet.len();
    let measurable = counts >= 3;
    let among = if measurable { &mut quiet } else { &mut busy };
    among.sort_by_key(Round::share);
    let round = among.swap_remove(among.len() / 2);
    let stalled = starts(&stage) > 0;
    stage.jira.clear_faults();
    stage.jira.forget_wire();
    let test = "200/s for 2 s and 2,000/s for 1 s, 25 kB each, while every flow is stalled";
    let expected =
        "p99 ≤ 50 ms at 200/s, ≤ 250 ms at 2,000/s, where a bare server that syncs alike takes a third of it at most";
    let figures = format!(
        "p99 {} ms at 200/s (bare {}), {} ms at 2,000/s (bare {}), in the middle of {ROUNDS} rounds, {counts} of them quiet; {} refused; \
         stalled runs there: {stalled}; at most {most:.0}/s",
        round.ours[0].as_millis(),
        round.bare[0].as_millis(),
        round.ours[1].as_millis(),
        round.bare[1].as_millis(),
        round.refused,
    );
    assert!(stalled, "no flow was stalled: {figures}");
    if measurable {
        figure("W11", test, expected, figures, round.is_met());
    } else {
        not_measurable("W11", test, expected, &format!("not measurable here, the machine is busy: {figures}"));
    }
}

/// How many rounds there are.
const ROUNDS: usize = 5;
/// What is allowed at 200/s and at 2,000/s.
const ALLOWED: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// The 99th percentiles of one round, at 200/s and at 2,000/s.
struct Round {
    ours: [Duration; 2],
    /// Of the bare server, the worse of before and after.
    bare: [Duration; 2],
    refused: usize,
}

impl Round {
    fn is_quiet(&self) -> bool {
        self.bare[0] * 3 <= ALLOWED[0] && self.bare[1] * 3 <= ALLOWED[1]
    }

    /// What ours took, of what is allowed: the worse of both loads, in thousandths.
    fn share(&self) -> u128 {
        let of = |at: usize| self.ours[at].as_micros() * 1000 / ALLOWED[at].as_micros();
        of(0).max(of(1))
    }

    fn is_met(&self) -> bool {
        self.refused == 0 && self.ours[0] <= ALLOWED[0] && self.ours[1] <= ALLOWED[1]
    }
}

/// A server that writes down each body, with one sync for all that wait, and answers 200; its URL.
fn bare() -> String {
    let (take, waiting) = mpsc::channel::<(axum::body::Bytes, oneshot::Sender<()>)>();
    thread::spawn(move || {
        let mut file = tempfile::tempfile().expect("a file for the bare server");
        while let Ok(first) = waiting.recv() {
            let all: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
            file.rewind().expect("the file can be written over");
            for (body, _) in &all {
                file.write_all(body).expect("the disk takes a body");
            }
            file.sync_data().expect("the disk takes what was written");
            // Whoever waits for it may have gone.
            for (_, taken) in all {
                let _ = taken.send(());
            }
        }
    });
    let routes = axum::Router::new().fallback(async move |body: axum::body::Bytes| {
        let (taken, told) = oneshot::channel();
        take.send((body, taken)).expect("the writer lives");
        told.await.expect("the writer lives");
        "taken in\n"
    });
    let listener = crate::runtime::wait_for(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    crate::runtime::runtime().spawn(async { axum::serve(listener, routes).await });
    url
}

#[test]
fn w12_ten_thousand_deliveries_are_taken_from_twenty_and_ten_connections_without_a_stall() {
    let stage = Stage::connected();
    let address = crate::harness::free_address();
    let url = format!("http://{address}");
    stage.host.run(&["subscribe", "issue-updated", "--connection", "demo", "--public-url", &url]).expect(0);
    let serving = stage.host.serve_at(&address, &[]);
    let sender = Sender::of(&stage, "demo", &stage.jira);
    let (primary, secondary) = (requests(&sender, "w12", 8_000, 2_000), requests(&sender, "w12-more", 2_000, 2_000));
    let (one, other) = thread::scope(|scope| {
        let more = scope.spawn(|| send(serving.url(), &secondary, 10, None));
        (send(serving.url(), &primary, 20, None), more.join().expect("the sender ends"))
    });
    let rate = 10_000.0 / one.took.max(other.took).as_secs_f64();
    let longest = one.latencies.iter().chain(&other.latencies).max().copied().unwrap_or_default();
    figure(
        "W12",
        "10,000 deliveries as fast as they are acknowledged, over 20 and 10 connections",
        "drained at ≥ 300/s, none stalled",
        format!("{rate:.0}/s; the longest {} ms; {} refused", longest.as_millis(), one.refused + other.refused),
        rate >= 300.0 && one.refused + other.refused == 0 && longest < Duration::from_secs(2),
    );
}
