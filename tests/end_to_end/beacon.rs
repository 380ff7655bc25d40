//! A second connector, of another service with another proof, through the whole host: nothing in
//! the host was made for the first one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::built;
use crate::harness::{Harness, Outcome, Serving, free_address};
use crate::http;
use crate::service::{Reply, Request, Service};
use crate::simulator::{eventually, text};

const KEY: &str = "fake-beacon-key-20b1";

/// What a Beacon holds.
#[derive(Default)]
struct State {
    beacons: Vec<Value>,
    by_key: HashMap<String, Value>,
    hooks: Vec<Value>,
    signals: Vec<Value>,
}

/// The imaginary status-signal service.
struct Beacon {
    service: Service,
    state: Arc<Mutex<State>>,
}

impl Beacon {
    fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let kept = Arc::clone(&state);
        let service = Service::start(move |request| {
            if request.header("x-beacon-key") != Some(KEY) {
                return Reply::json(401, &json!({"message": "That key is not known."}));
            }
            answer(&mut kept.lock().expect("no answer panicked"), request)
        });
        Self { service, state }
    }

    fn hooks(&self) -> Vec<Value> {
        self.state.lock().expect("no answer panicked").hooks.clone()
    }

    /// Delivers a signal to the first webhook, signed at the given time.
    fn deliver(&self, id: &str, signal: &Value, at: u64) -> u16 {
        let hook = self.hooks().first().cloned().expect("a webhook is registered");
        let body = signal.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(text(&hook["secret"]).as_bytes()).expect("any key will do");
        mac.update(format!("{at}.{body}").as_bytes());
        let signature = format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()));
        let headers = [("beacon-delivery", id), ("beacon-signature", &signature)];
        let headers: Vec<_> = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        http::send("POST", &text(&hook["url"]), &headers, body.as_bytes()).status
    }
}

fn answer(state: &mut State, request: &Request) -> Reply {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    match (request.method.as_str(), path) {
        ("GET", "/account") => Reply::json(200, &json!({"workspace": "w1", "account": "a1", "name": "The keeper"})),
        ("GET", "/colours") => Reply::json(200, &json!({"colours": ["red", "green"]})),
        ("POST", "/beacons") => {
            let key = request.header("idempotency-key").unwrap_or_default().to_owned();
            if let Some(before) = state.by_key.get(&key) {
                return Reply::json(200, before);
            }
            let mut beacon = request.json();
            beacon["id"] = json!(format!("b{}", state.beacons.len() + 1));
            state.beacons.push(beacon.clone());
            if !key.is_empty() {
                state.by_key.insert(key, beacon.clone());
            }
            Reply::json(201, &beacon)
        }
        ("GET", "/beacons") => {
            let from = query.strip_prefix("after=").and_then(|after| after.parse::<usize>().ok()).unwrap_or(0);
            let page: Vec<_> = state.beacons.iter().skip(from).take(2).collect();
            let next = (from + 2 < state.beacons.len()).then(|| (from + 2).to_string());
            Reply::json(200, &json!({"beacons": page, "next": next}))
        }
        ("GET", "/hooks") => Reply::json(200, &json!({"hooks": state.hooks})),
        ("POST", "/hooks") => {
            let mut hook = request.json();
            hook["id"] = json!(format!("h{}", state.hooks.len() + 1));
            state.hooks.push(hook.clone());
            Reply::json(201, &hook)
        }
        ("PATCH", path) if path.starts_with("/hooks/") => {
            let change = request.json();
            for hook in state.hooks.iter_mut().filter(|hook| path.ends_with(&text(&hook["id"]))) {
                hook["url"] = change["url"].clone();
                hook["secret"] = change["secret"].clone();
            }
            Reply::json(200, &change)
        }
        ("DELETE", path) if path.starts_with("/hooks/") => {
            state.hooks.retain(|hook| !path.ends_with(&text(&hook["id"])));
            Reply::json(200, &json!({}))
        }
        ("GET", "/signals") => {
            let since = query.strip_prefix("since=").and_then(|since| since.parse::<usize>().ok());
            let since = since.unwrap_or(state.signals.len());
            let news = state.signals.iter().skip(since).collect::<Vec<_>>();
            Reply::json(200, &json!({"signals": news, "next": state.signals.len(), "more": false}))
        }
        (method, path) => Reply::json(404, &json!({"message": format!("no route {method} {path}")})),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn connect(host: &Harness, beacon: &Beacon, key: &str) -> Outcome {
    let component = built::component("guest_beacon");
    let (base, key) = (format!("base-url={}", beacon.service.url()), format!("key=@{}", host.file("key", key).display()));
    host.run(&[
        "connection", "add", "lights", "--connector", &component.to_string_lossy(), "--method", "api-key", "--set",
        &base, "--secret", &key, "--allow-private",
    ])
}

fn run(host: &Harness, card: &str, input: &Value, more: &[&str]) -> Outcome {
    let input = input.to_string();
    let mut arguments = vec!["run", card, "--connection", "lights", "--input", &input];
    arguments.extend(more);
    host.run(&arguments)
}

#[test]
fn its_connection_actions_and_options_work() {
    let (host, beacon) = (Harness::new(), Beacon::start());
    assert_eq!(connect(&host, &beacon, KEY).code, 0);
    let colours = host.run(&["options", "light-beacon", "colour", "--connection", "lights"]).expect(0);
    assert!(colours.to_string().contains("green"), "{colours:#}");
    for (number, colour) in ["red", "green", "red", "red", "green"].into_iter().enumerate() {
        run(&host, "light-beacon", &json!({"name": format!("B{number}"), "colour": colour}), &[]).expect(0);
    }
    let survey = run(&host, "survey", &json!({}), &[]).expect(0);
    assert_eq!(survey, json!({"total": 5, "colours": {"red": 3, "green": 2}}), "three pages, one call of the card each");
    let once = json!({"name": "Once", "colour": "red"});
    let first = run(&host, "light-beacon", &once, &["--idempotency-key", "k1"]).expect(0);
    assert_eq!(run(&host, "light-beacon", &once, &["--idempotency-key", "k1"]).expect(0), first);
}

#[test]
fn its_key_is_guarded_as_any_other() {
    let (host, beacon) = (Harness::new(), Beacon::start());
    assert_eq!(connect(&host, &beacon, "fake-wrong-key").code, 3);
    for _ in 0..5 {
        assert_eq!(run(&host, "survey", &json!({}), &[]).code, 3);
    }
    let refused = beacon.service.requests().len();
    assert!((1..=2).contains(&refused), "{refused} refusals on the wire");
}

/// A host that serves one flow, which lights a green beacon for each red one; and the service.
fn serving() -> (Harness, Beacon, Serving) {
    let (host, beacon) = (Harness::new(), Beacon::start());
    assert_eq!(connect(&host, &beacon, KEY).code, 0);
    let flow = json!({
        "name": "answer-red",
        "on": {"event": "beacon-lit", "connection": "lights", "filter": {"colours": ["red"]}},
        "steps": [{"id": "light", "action": "light-beacon", "connection": "lights", "input": {"name": "for ${{ event.beacon }}", "colour": "green"}}],
    });
    host.file("flows/answer.json", flow.to_string());
    let serving = host.serve_at(&free_address(), &["--flows", "flows"]);
    eventually("the webhook", || beacon.hooks().pop());
    (host, beacon, serving)
}

#[test]
fn its_deliveries_are_proved_by_a_signed_time_and_run_a_flow() {
    let (host, beacon, _serving) = serving();
    let signal = |seq: u32, colour: &str| json!({"seq": seq, "kind": "lit", "beacon": format!("b{seq}"), "colour": colour, "at-ms": 1});
    assert_eq!(beacon.deliver("d1", &signal(1, "red"), now()), 200);
    assert_eq!(beacon.deliver("d1", &signal(1, "red"), now()), 200, "a duplicate");
    assert_eq!(beacon.deliver("d2", &signal(2, "green"), now()), 200, "not wanted by the filter");
    assert_eq!(beacon.deliver("d3", &signal(3, "red"), now() - 600), 401, "too old");
    let unsigned = http::send("POST", &text(&beacon.hooks()[0]["url"]), &[], signal(4, "red").to_string().as_bytes());
    assert_eq!(unsigned.status, 401);
    let lit = eventually("the beacon", || beacon.state.lock().expect("no answer panicked").beacons.first().cloned());
    assert_eq!(lit["name"], "for b1");
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(beacon.state.lock().expect("no answer panicked").beacons.len(), 1, "one delivery, one run");
    assert_eq!(host.run(&["runs", "list"]).list().len(), 1);
}

#[test]
fn its_handshake_is_answered() {
    let (_host, beacon, _serving) = serving();
    let hook = beacon.hooks()[0].clone();
    let challenge = json!({"type": "challenge", "challenge": "echo-me"}).to_string();
    let at = now();
    let mut mac = Hmac::<Sha256>::new_from_slice(text(&hook["secret"]).as_bytes()).expect("any key will do");
    mac.update(format!("{at}.{challenge}").as_bytes());
    let signature = format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()));
    let headers = [("beacon-signature".to_owned(), signature), ("beacon-delivery".to_owned(), "c1".to_owned())];
    let answer = http::send("POST", &text(&hook["url"]), &headers, challenge.as_bytes());
    assert_eq!((answer.status, answer.json()), (200, json!({"challenge": "echo-me"})));
}
