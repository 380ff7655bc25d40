//! Real components over loopback TCP. They are built by `cargo xtask build`; without them these
//! tests say so and end.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::{FaultKind, Limits, Plugins};
use super::*;
use crate::authorize::{Credential, Rejection, Scheme};
use crate::built;
use crate::clock::SystemClock;
use crate::egress::{Network, Origin, PinnedOrigin, Policy, Recorder};
use crate::store::Store as Database;
use crate::vault::{LockoutGuard, Secret, Space, Vault};

const CANARY: &str = "canary-token-not-real";

/// One request as it arrived: head and body.
type Arrived = (String, String);

/// A service on loopback that keeps what arrives and answers what the test says.
struct Service {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Service {
    async fn start(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (arrived.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (kept.clone(), answer.clone());
                tokio::spawn(async move {
                    while let Some((head, body)) = read(&mut stream).await {
                        kept.lock().unwrap().push((head.clone(), body.clone()));
                        let answer = answer.clone();
                        // Off the threads that the host runs on: a service that is slow is not a host that is.
                        let text = tokio::task::spawn_blocking(move || answer(&head, &body)).await.unwrap();
                        if text.is_empty() || stream.write_all(text.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { url, arrived }
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<Arrived> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let whole = |bytes: &[u8]| match length {
        Some(length) => bytes.len() >= head_end + length,
        None => !head.contains("transfer-encoding") || bytes.ends_with(b"0\r\n\r\n"),
    };
    while !whole(&bytes) {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, String::from_utf8_lossy(&bytes[head_end..]).into_owned()))
}

fn ok(body: &str) -> String {
    respond("200 OK", "", body)
}

fn respond(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// Everything of one host.
struct Bench {
    folder: tempfile::TempDir,
    plugin: Plugin,
    network: Network,
    vault: Vault,
    guard: LockoutGuard,
    recorder: Recorder,
}

impl Bench {
    async fn load(component: &str, limits: Limits) -> Self {
        let path = built::component(component);
        let folder = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let plugins = Plugins::new(&folder.path().join("cache"), limits, clock.clone()).unwrap();
        let plugin = plugins.load(&path).await.unwrap();
        let store = Arc::new(Database::open(&folder.path().join("harness.db")).unwrap());
        let vault = Vault::open(&folder.path().join("vault.key"), store.clone(), clock.clone()).unwrap();
        vault.put(Space::Connection, "c1", "token", &Secret::new(CANARY)).unwrap();
        vault.put(Space::Connection, "c1", "key", &Secret::new(CANARY)).unwrap();
        Self {
            folder,
            plugin,
            network: Network::new().unwrap(),
            vault,
            guard: LockoutGuard::new(store, clock),
            recorder: Recorder::default(),
        }
    }

    async fn hostile() -> Self {
        Self::hostile_within(Duration::from_secs(20)).await
    }

    async fn hostile_within(time: Duration) -> Self {
        let limits = Limits { time, quarantine: Duration::ZERO, ..Limits::default() };
        Self::load("guest_hostile", limits).await
    }

    fn scheme(&self) -> &Scheme {
        &self.plugin.manifest().auth_methods[0].scheme
    }

    fn access(&self, url: &str) -> Access {
        let credential = Credential::from_vault(self.scheme(), &json!({}), &self.vault, "c1").unwrap();
        let origins = vec![PinnedOrigin { origin: Origin::parse(url).unwrap(), credential: true }];
        let rejections = vec![Rejection {
            status: None,
            header: "x-reason".into(),
            contains: "denied".into(),
            locks: false,
            accepts: false,
        }];
        Access::new(self.network.clone(), Policy::new(origins, true), "c1")
            .with_credential(credential, rejections, self.guard.clone(), "account")
            .with_recorder(self.recorder.clone())
    }

    async fn run(&self, url: &str, card: &str, input: Value) -> Result<Value, CallError> {
        let invoked = self.plugin.invoke(&self.access(url), &call(url), card, &input.to_string(), None).await?;
        match invoked.step {
            action::Step::Done(output) => Ok(serde_json::from_str(&output).unwrap()),
            action::Step::More(_) => panic!("the card is not done"),
        }
    }

    async fn fault(&self, card: &str, input: Value) -> FaultKind {
        match self.run("http://127.0.0.1:1/", card, input).await {
            Err(CallError::Host(fault)) => fault.kind,
            other => panic!("{card}: {other:?}"),
        }
    }
}

fn call(url: &str) -> types::Call {
    types::Call {
        connection: types::Connection {
            id: "c1".into(),
            settings: json!({"base-url": url}).to_string(),
            authorization: None,
            extra: "{}".into(),
        },
        deadline_ms: 2000,
        idempotency_key: None,
        held: vec![],
        granted_scopes: None,
        memo: None,
        extra: "{}".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_prepares_checks_and_acts_with_the_hosts_credential() {
    let bench = Bench::load("guest_beacon", Limits::default()).await;
    let service = Service::start(|head, _| {
        ok(if head.starts_with("get /account ") {
            r#"{"workspace":"w","account":"a","name":"Role"}"#
        } else {
            r#"{"id":"b1","name":"n","colour":"red"}"#
        })
    })
    .await;
    let form = json!({"base-url": service.url}).to_string();
    let prepared = bench.plugin.prepare("api-key", &form).await.unwrap();
    assert_eq!(prepared.origins[0].url, service.url);
    let access = bench.access(&service.url);
    let health = bench.plugin.check(&access, &call(&service.url)).await.unwrap();
    assert_eq!(health.identity.unwrap().account, "a");
    let output = bench.run(&service.url, "light-beacon", json!({"name": "n", "colour": "red"})).await.unwrap();
    assert_eq!(output, json!({"id": "b1", "name": "n", "colour": "red"}));
    for (head, _) in service.arrived() {
        assert!(head.contains(&format!("x-beacon-key: {CANARY}\r\n")), "{head}");
    }
    let record = bench.recorder.snapshot();
    assert_eq!(record.requests.len(), 2);
    assert_eq!(record.unsafe_requests_sent, 1);
    assert!(matches!(
        bench.guard.status("account").unwrap(),
        crate::vault::GuardStatus::Open { last_success_ms: Some(_) }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_revoked_key_is_tried_twice_and_then_never_again() {
    let bench = Bench::load("guest_beacon", Limits::default()).await;
    let service = Service::start(|_, _| respond("401 Unauthorized", "", "{}")).await;
    let mut held = 0;
    let calls = (0..50).map(|_| bench.run(&service.url, "survey", json!({})));
    for result in futures_join(calls.collect()).await {
        held +=
            usize::from(matches!(result.unwrap_err(), CallError::Host(HostFault { kind: FaultKind::AccountHeld, .. })));
    }
    assert_eq!(service.arrived().len(), 2);
    assert_eq!(held, 48);
    let error = bench.run(&service.url, "survey", json!({})).await.unwrap_err().to_error();
    assert!(matches!(error, Error::Permanent(failure) if failure.code == "host.account-held"));
}

async fn futures_join<T>(calls: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut results = Vec::new();
    let mut pending: Vec<_> = calls.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        pending.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_for_the_guard_end_done_or_never_left() {
    let limits = Limits { time: Duration::from_secs(4), ..Limits::default() };
    let bench = Bench::load("guest_beacon", limits).await;
    let service = Service::start(|_, _| {
        std::thread::sleep(Duration::from_millis(800));
        ok(r#"{"id":"b1","name":"n","colour":"red"}"#)
    })
    .await;
    let calls = (0..16).map(|_| bench.run(&service.url, "light-beacon", json!({"name": "n", "colour": "red"})));
    let results = futures_join(calls.collect()).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(done, service.arrived().len());
    assert!((1..16).contains(&done), "{done}");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error.to_error(), Error::Transient(_)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_bytes_set_authenticate_aside_and_nothing_else() {
    let limits = Limits { time: Duration::from_secs(2), ..Limits::default() };
    let bench = Bench::load("guest_hostile", limits).await;
    let delivery = event::Delivery {
        id: "d1".into(),
        registration: String::new(),
        method: "POST".into(),
        query: String::new(),
        headers: vec![],
        body: br#"{"handshake": {"do": "panic"}}"#.to_vec(),
        received_at_ms: 0,
        extra: "{}".into(),
    };
    for _ in 0..6 {
        bench.plugin.answer(&delivery).await.unwrap_err();
    }
    assert!(matches!(
        bench.plugin.answer(&delivery).await,
        Err(CallError::Host(HostFault { kind: FaultKind::Quarantined, .. }))
    ));
    bench.plugin.describe(None).await.unwrap();
    bench.plugin.prepare("token", "{}").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_only_reads_is_never_uncertain() {
    let bench = Bench::hostile_within(Duration::from_secs(2)).await;
    let service = Service::start(|_, _| ok("{}")).await;
    let input = json!({"first": [{"path": "/x", "method": "POST"}], "patterns": [], "then": "spin"}).to_string();
    let invoked = bench.plugin.invoke(&bench.access(&service.url), &call(&service.url), "search", &input, None).await;
    assert!(!matches!(invoked.map_err(|error| error.to_error()), Err(Error::PermanentUncertain(_))));
    let failure = types::Failure {
        class: FailureClass::Protocol,
        code: "c".into(),
        message: "It may have left.".into(),
        remedy: "Look.".into(),
        who: types::Responsible::User,
        repeatable: false,
        fields: vec![],
        status: None,
        request_id: None,
        extra: "{}".into(),
    };
    let uncertain =
        || Err::<action::Invoked, _>(CallError::Connector(Error::PermanentUncertain(failure.clone()).into()));
    let kind = |sent, writes| {
        let record = CallRecord { unsafe_requests_sent: sent, ..CallRecord::default() };
        match settle(uncertain(), &record, writes).unwrap_err().to_error() {
            Error::Transient(backoff) => backoff.failure.class == FailureClass::Unavailable,
            _ => false,
        }
    };
    assert!(kind(0, Writes::InThisCall) && kind(1, Writes::Never));
    assert!(!kind(1, Writes::InThisCall) && !kind(0, Writes::InEarlierCalls));
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_a_spinning_guest_is_stopped_in_time_and_its_neighbours_go_on() {
    let bench = Bench::hostile_within(Duration::from_secs(2)).await;
    let begun = std::time::Instant::now();
    let neighbours = async {
        for _ in 0..20 {
            bench.run("http://127.0.0.1:1/", "remember", json!({"text": "x"})).await.unwrap();
        }
        begun.elapsed()
    };
    let (kind, took) = tokio::join!(bench.fault("spin", json!({})), neighbours);
    println!("FIGURE S1 stopped after {:?}, neighbours done after {took:?}", begun.elapsed());
    assert_eq!(kind, FaultKind::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(took < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_memory_beyond_the_limit_is_not_given() {
    let bench = Bench::hostile().await;
    let got = match bench.run("http://127.0.0.1:1/", "grow", json!({"step": 1 << 20})).await {
        Ok(output) => output["bytes"].as_u64().unwrap(),
        Err(CallError::Host(fault)) => {
            assert_eq!(fault.kind, FaultKind::OutOfMemory);
            0
        }
        other => panic!("{other:?}"),
    };
    assert!(got <= 64 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_deep_recursion_is_a_fault_of_the_guest_alone() {
    let bench = Bench::hostile().await;
    for _ in 0..100 {
        // A guest with a stack of its own in linear memory runs off its end: a crash like any other.
        assert!(matches!(bench.fault("recurse", json!({})).await, FaultKind::StackOverflow | FaultKind::Trap));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_floods_are_refused() {
    let bench = Bench::hostile().await;
    assert_eq!(bench.fault("flood-random", json!({"bytes": 1 << 30})).await, FaultKind::FloodedHost);
    assert_eq!(bench.fault("flood-timers", json!({"times": 1_000_000})).await, FaultKind::FloodedHost);
    let headers = json!({"request": {"path": "/", "flood-headers": 100_000}});
    assert_eq!(bench.fault("send", headers).await, FaultKind::FloodedHost);
    let output = bench.fault("huge-output", json!({"bytes": 9 << 20})).await;
    assert!(matches!(output, FaultKind::FloodedHost | FaultKind::BadAnswer), "{output:?}");
    assert_eq!(bench.fault("flood-notices", json!({"times": 1000, "bytes": 5000})).await, FaultKind::FloodedHost);
    let url = "http://127.0.0.1:1/";
    let input = json!({"times": 60, "bytes": 5000}).to_string();
    let invoked = bench.plugin.invoke(&bench.access(url), &call(url), "flood-notices", &input, None).await;
    let aside = invoked.unwrap().aside;
    assert_eq!(aside.notices.len(), 50);
    assert!(aside.notices.iter().all(|notice| notice.message.len() <= 1010));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_break_the_contract_are_faults_and_not_results() {
    let bench = Bench::hostile().await;
    for at in ["output", "memo", "state", "extra"] {
        assert_eq!(bench.fault("bad-json", json!({"at": at})).await, FaultKind::BadAnswer, "{at}");
    }
    assert_eq!(bench.fault("bad-output", json!({})).await, FaultKind::BadAnswer);
    assert_eq!(bench.fault("reserved-error", json!({})).await, FaultKind::BadAnswer);
    assert_eq!(bench.fault("panic", json!({"text": "x"})).await, FaultKind::Trap);
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_component_that_crashes_again_and_again_is_set_aside() {
    let limits = Limits { time: Duration::from_secs(2), ..Limits::default() };
    let bench = Bench::load("guest_hostile", limits).await;
    for _ in 0..5 {
        assert_eq!(bench.fault("panic", json!({})).await, FaultKind::Trap);
    }
    assert_eq!(bench.fault("remember", json!({})).await, FaultKind::Quarantined);
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_nothing_is_left_in_an_instance_for_the_next_call() {
    let bench = Bench::hostile().await;
    for round in 0..200 {
        let text = format!("left-by-{round}");
        let output = bench.run("http://127.0.0.1:1/", "remember", json!({"text": text})).await.unwrap();
        assert_eq!(output, json!({"before": 0, "found": ""}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_after_a_write_is_uncertain_and_one_before_is_not() {
    let bench = Bench::hostile().await;
    let service = Service::start(|_, _| ok("{}")).await;
    for (method, uncertain) in [("POST", true), ("PUT", true), ("DELETE", true), ("GET", false), ("HEAD", false)] {
        let input = json!({"request": {"path": "/x", "method": method}, "then": "panic"});
        let error = bench.run(&service.url, "send", input).await.unwrap_err().to_error();
        assert_eq!(matches!(error, Error::PermanentUncertain(_)), uncertain, "{method}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_reaches_its_pinned_origin_only_and_sets_no_credential() {
    let bench = Bench::hostile().await;
    let service = Service::start(|_, _| respond("200 OK", "set-cookie: a=b\r\nx-seen: 1\r\n", "{}")).await;
    let elsewhere = Service::start(|_, _| ok("{}")).await;
    let other = elsewhere.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    for request in [
        json!({"authority": other, "path": "/x"}),
        json!({"scheme": "https", "path": "/x"}),
        json!({"path": "/../x"}),
        json!({"headers": [["authorization", "Bearer mine"]], "path": "/x"}),
        json!({"headers": [["cookie", "a=b"]], "path": "/x"}),
        json!({"headers": [["proxy-authorization", "x"]], "path": "/x"}),
        json!({"headers": [["host", "example.test"]], "path": "/x"}),
    ] {
        match bench.run(&service.url, "send", json!({"request": request})).await {
            Ok(output) => assert!(output["answers"][0]["refused"].is_string(), "{request}: {output}"),
            Err(error) => panic!("{request}: {error:?}"),
        }
    }
    assert!(service.arrived().is_empty() && elsewhere.arrived().is_empty());
    let output = bench.run(&service.url, "send", json!({"request": {"path": "/x"}})).await.unwrap();
    let headers: HashMap<String, String> = serde_json::from_value(output["answers"][0]["headers"].clone())
        .map(|h: Vec<(String, String)>| h.into_iter().collect())
        .unwrap();
    assert!(headers.contains_key("x-seen") && !headers.contains_key("set-cookie"));
}

#[tokio::test(flavor = "multi_thread")]
async fn n3_redirects_are_shown_to_the_guest_and_never_followed() {
    let bench = Bench::hostile().await;
    let elsewhere = Service::start(|_, _| ok("{}")).await;
    let target = elsewhere.url.clone();
    let service =
        Service::start(move |_, _| respond("307 Temporary Redirect", &format!("location: {target}\r\n"), "")).await;
    let output = bench.run(&service.url, "send", json!({"request": {"path": "/x"}})).await.unwrap();
    assert_eq!(output["answers"][0]["status"], 307);
    assert!(elsewhere.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_the_credential_is_nowhere_in_the_guests_memory() {
    let bench = Bench::hostile().await;
    let service = Service::start(|_, _| ok("{}")).await;
    // Veiled, so that the search does not find its own question.
    let veiled = hex::encode(CANARY.bytes().map(|byte| byte ^ 0x5a).collect::<Vec<u8>>());
    let input = json!({"first": [{"path": "/x"}], "patterns": [veiled]});
    let output = bench.run(&service.url, "search", input).await.unwrap();
    assert!(service.arrived()[0].0.contains(CANARY));
    println!("FIGURE K2 {} bytes of guest memory, hits {}", output["found"]["bytes-read"], output["found"]["hits"]);
    assert_eq!(output["found"]["hits"], json!([]));
    assert!(!output.to_string().contains(CANARY));
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_the_signing_secret_appears_once_at_the_pointer_and_nowhere_else() {
    let bench = Bench::hostile().await;
    let service = Service::start(|_, _| ok("{}")).await;
    let placeholder = "%placeholder-not-guessable%";
    let post = |body: Value| json!({"method": "POST", "path": "/hooks", "body": body.to_string()});
    let requests = json!([
        post(json!({"other": "{{secret}}"})),
        {"method": "POST", "path": "/hooks?s={{secret}}".replace('%', ""), "headers": [["x-s", "{{secret}}"]], "body": "plain {{secret}}"},
        post(json!({"secret": "{{secret}}", "other": "{{secret}}"})),
        post(json!({"secret": "{{secret}}"})),
        post(json!({"secret": "{{secret}}"})),
        post(json!({"plain": true})),
    ]);
    let request = event::EnsureRequest {
        wanted: vec![event::Subscription {
            id: "s1".into(),
            card: "rumour".into(),
            filter: json!({"requests": requests}).to_string(),
            extra: "{}".into(),
        }],
        known: vec![],
        callback: "https://host.example.test/hooks/t".into(),
        owner: "o".into(),
        signing_secret: placeholder.into(),
        plan: false,
        extra: "{}".into(),
    };
    let secret = SigningSecret { placeholder: placeholder.into(), secret: Secret::new("signing-canary-not-real") };
    let access = bench.access(&service.url);
    bench.plugin.ensure(&access, &call(&service.url), &request, Some(secret)).await.unwrap();
    let arrived = service.arrived();
    let seen: usize = arrived.iter().map(|(h, b)| format!("{h}{b}").matches("signing-canary-not-real").count()).sum();
    println!("FIGURE K3 {} requests, {} substitutions beyond the allowed one", arrived.len(), seen - 1);
    assert_eq!(seen, 1);
    let bodies: Vec<Value> = arrived.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(bodies, [json!({"secret": "signing-canary-not-real"}), json!({"plain": true})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_changed_cache_entry_is_not_loaded() {
    let bench = Bench::load("guest_beacon", Limits::default()).await;
    let cache = bench.folder.path().join("cache");
    let entry = std::fs::read_dir(&cache)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "native"))
        .unwrap();
    let whole = std::fs::read(&entry).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&entry, changed).unwrap();
    let path = built::component("guest_beacon");
    let plugins = Plugins::new(&cache, Limits::default(), SystemClock::shared()).unwrap();
    plugins.load(&path).await.unwrap();
    assert_eq!(std::fs::read(&entry).unwrap().len(), whole.len());

    // Compiled code that someone hands in is refused before it is looked at.
    let native = bench.folder.path().join("code.wasm");
    std::fs::write(&native, &whole[32..]).unwrap();
    assert!(matches!(plugins.load(&native).await, Err(super::super::LoadError::Precompiled { .. })));
    std::fs::write(&native, b"not wasm").unwrap();
    assert!(matches!(plugins.load(&native).await, Err(super::super::LoadError::NotAComponent { .. })));
}

#[test]
fn a_request_that_waited_in_vain_for_its_turn_is_told_as_such_and_not_as_a_server_that_is_not_there() {
    let unreachable = || {
        let mut failure = HostFault::new(FaultKind::Internal, "the server refused the connection").to_failure();
        failure.code = "beacon.unreachable".into();
        CallError::from(Error::Permanent(failure))
    };
    let told = |record: CallRecord| settle::<action::Invoked>(Err(unreachable()), &record, Writes::InThisCall);
    let busy = CallRecord { account_busy: true, ..CallRecord::default() };
    let error = told(busy.clone()).unwrap_err();
    assert!(matches!(&error, CallError::Host(HostFault { kind: FaultKind::AccountBusy, .. })), "{error:?}");
    assert!(matches!(error.to_error(), Error::Transient(_)), "it is tried again");
    let sent = CallRecord { unsafe_requests_sent: 1, ..busy };
    assert!(matches!(told(sent), Err(CallError::Connector(_))), "unless something may have happened");
    assert!(matches!(told(CallRecord::default()), Err(CallError::Connector(_))));

    let waiting = CallRecord { not_renewed: Some(("status 503".into(), 3500)), ..CallRecord::default() };
    let Error::Transient(later) = told(waiting).unwrap_err().to_error() else { panic!("it passes") };
    assert_eq!((later.failure.code.as_str(), later.retry_after_ms), ("host.not-renewed-now", 3500));
    let message = &later.failure.message;
    assert!(message.contains("could not be renewed just now") && message.contains("again in 4 s"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_the_service_says_back_reaches_neither_the_guest_nor_the_error() {
    use base64::Engine as _;
    let bench = Bench::load("guest_beacon.wasm", Limits::default()).await;
    let encoded = base64::engine::general_purpose::STANDARD.encode(CANARY);
    let said = encoded.clone();
    let service = Service::start(move |head, _| {
        assert!(head.contains(CANARY) && !head.contains("accept-encoding"), "{head}");
        let message = format!("you sent {CANARY}, which is {said}");
        respond("400 Bad Request", "", &json!({ "message": message }).to_string())
    })
    .await;
    let error = format!("{:?}", bench.run(&service.url, "survey", json!({})).await.unwrap_err());
    assert!(error.contains("you sent *****") && !error.contains(CANARY) && !error.contains(&encoded[..24]), "{error}");
    assert_eq!(service.arrived().len(), 1);
}
