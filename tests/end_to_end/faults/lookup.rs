//! N2: a name that changes its mind between the check and the connection gains nothing.

use std::future::Future;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use host_harness::authorize::Access;
use host_harness::egress::{Network, Policy, Recorder, Resolver};
use serde_json::json;

use super::cell::{call, hostile, patient, pinned, run_with};
use crate::figure::{exceptions, figure};
use crate::runtime::wait_for;

/// How often the name is asked for.
const TRIED: usize = 1_000;
const NAME: &str = "rebinding.example.test";

/// Nobody's public address: no part of it was ever given out, so that nothing answers and no route leads there.
const PUBLIC: &str = "2fff:ffff:ffff:ffff::1";

/// Answers one after another, over and over.
#[derive(Clone)]
struct Fickle {
    answers: Arc<Vec<Vec<IpAddr>>>,
    asked: Arc<AtomicUsize>,
}

impl Fickle {
    fn new(answers: Vec<Vec<IpAddr>>) -> Self {
        Self { answers: Arc::new(answers), asked: Arc::default() }
    }
}

impl Resolver for Fickle {
    fn resolve(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[turn % self.answers.len()].clone();
        Box::pin(async move { Ok(answer) })
    }
}

/// Answers with a status to whoever connects; how many did.
fn answers_with(listener: TcpListener, status: u16) -> Arc<AtomicUsize> {
    let met = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&met);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let Ok(source) = stream.try_clone() else { continue };
            let head = BufReader::new(source).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            if head.count() > 0 {
                let _ = write!(stream, "HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        }
    });
    met
}

fn listen(address: Ipv4Addr, port: u16) -> TcpListener {
    TcpListener::bind((address, port)).expect("all of 127.0.0.0/8 is this machine")
}

#[test]
fn n2_what_was_checked_is_what_is_connected_to() {
    let plugin = hostile(patient());
    let here = Ipv4Addr::LOCALHOST;
    let (public, private): (IpAddr, IpAddr) = (PUBLIC.parse().expect("an address"), here.into());
    let trap = listen(here, 0);
    let port = trap.local_addr().expect("it has an address").port();
    let trapped = answers_with(trap, 200);
    let send = |access: &Access, base: &str| {
        let recorder = Recorder::default();
        let access = access.clone().with_recorder(recorder.clone());
        let call = call("c", &json!({"base-url": base}));
        let sent = wait_for(run_with(&plugin, &access, &call, "send", &json!({"request": {"path": "/"}})));
        (sent.unwrap_or_default()["answers"][0]["status"].as_u64(), recorder.snapshot().denial().is_some())
    };

    // Public and private by turns: whoever asks once to check and once to connect is led inside.
    let fickle =
        Fickle::new(vec![vec![public], vec![private], vec![public, private], vec![private, public], vec![private]]);
    let base = format!("https://{NAME}:{port}/");
    let network = Network::with_resolver(fickle.clone()).expect("TLS");
    // What is nobody's does not answer: that need not be waited for.
    let policy = Policy { connect_timeout: Duration::from_millis(20), ..Policy::new(vec![pinned(&base)], false) };
    let access = Access::new(network, policy, "c");
    let denied = (0..TRIED).filter(|_| send(&access, &base).1).count();
    let (inside, asked) = (trapped.load(Ordering::SeqCst), fickle.asked.load(Ordering::SeqCst));

    // Two addresses that are both allowed: each request arrives at the one that its own lookup told.
    let there = Ipv4Addr::new(127, 0, 0, 2);
    let first = listen(here, 0);
    let port = first.local_addr().expect("it has an address").port();
    let (first, second) = (answers_with(first, 201), answers_with(listen(there, port), 202));
    let fickle = Fickle::new(vec![vec![here.into()], vec![there.into()]]);
    let base = format!("http://{NAME}:{port}/");
    let network = Network::with_resolver(fickle.clone()).expect("TLS");
    let access = Access::new(network, Policy::new(vec![pinned(&base)], true), "c");
    let elsewhere: Vec<String> = (0..TRIED)
        .filter_map(|turn| {
            let (status, _) = send(&access, &base);
            (status != Some(201 + turn as u64 % 2)).then(|| format!("request {turn}: {status:?}"))
        })
        .collect();
    let (first, second) = (first.load(Ordering::SeqCst), second.load(Ordering::SeqCst));
    let looked = fickle.asked.load(Ordering::SeqCst);
    figure(
        "N2",
        "a name is public when it is checked and private when it is connected to; both in one answer; another address each time",
        "private connects: 0 of 10³; the checked address is connected to",
        format!(
            "{inside} private connects of {TRIED} requests, each looked up once ({asked}), {denied} denied; of {TRIED} \
             more {} went to the address of their own lookup{}",
            TRIED - elsewhere.len(),
            exceptions(&elsewhere[..elsewhere.len().min(3)])
        ),
        inside == 0
            && asked == TRIED
            && denied == TRIED / 5 * 2
            && elsewhere.is_empty()
            && looked == TRIED
            && (first, second) == (TRIED / 2, TRIED / 2),
    );
}
