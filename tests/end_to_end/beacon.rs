//! A second connector, for a service that is not Jira, through the whole host: a connection, action
//! cards in one call and in many, webhooks with another proof and a handshake, and polling.

pub(crate) mod service;
pub(crate) mod sign_in;

use std::time::Duration;

use serde_json::{Value, json};

use crate::built;
use crate::harness::{Harness, Outcome, Serving};
use crate::http;
use crate::simulator::{eventually, text};
use service::{Beacon, KEY};

/// A green beacon answers every red one; a red one that faded is noted by another green one.
const FLOWS: [(&str, &str); 2] = [
    (
        "flows/answer.yaml",
        r#"
name: answer-red
on:
  event: beacon-lit
  connection: harbour
  filter: { colours: [red] }
steps:
  - id: answer
    action: light-beacon
    connection: harbour
    input: { name: "answer to ${{ event.beacon }}", colour: green }
"#,
    ),
    (
        "flows/note.yaml",
        r#"
name: note-faded
on:
  event: beacon-faded
  connection: harbour
steps:
  - id: note
    action: light-beacon
    connection: harbour
    input: { name: "in memory of ${{ event.beacon }}", colour: green }
"#,
    ),
];

struct Harbour {
    beacon: Beacon,
    host: Harness,
}

impl Harbour {
    fn new() -> Self {
        let harbour = Self { beacon: Beacon::start(), host: Harness::new() };
        let added = harbour.connect("harbour", KEY);
        assert_eq!(added.code, 0, "{added:#?}");
        harbour
    }

    fn connect(&self, name: &str, key: &str) -> Outcome {
        let key = self.host.file(&format!("{name}.key"), key);
        let component = built::component("guest_beacon");
        let (component, base) = (component.to_string_lossy(), format!("base-url={}", self.beacon.url()));
        let key = format!("key=@{}", key.display());
        let arguments = ["connection", "add", name, "--connector", &component, "--method", "api-key"];
        self.host.run(&[&arguments[..], &["--set", &base, "--secret", &key, "--allow-private"]].concat())
    }

    fn run(&self, card: &str, input: &Value, more: &[&str]) -> Outcome {
        let input = input.to_string();
        self.host.run(&[&["run", card, "--connection", "harbour", "--input", &input], more].concat())
    }

    fn light(&self, name: &str, colour: &str) -> Value {
        self.run("light-beacon", &json!({"name": name, "colour": colour}), &[]).expect(0)
    }

    fn serve(&self) -> Serving {
        for (name, flow) in FLOWS {
            self.host.file(name, flow);
        }
        let serving = self.host.serve(&["--flows", "flows"]);
        eventually("the webhook", || Some(()).filter(|()| self.beacon.hooks().len() == 1));
        serving
    }

    fn lit(&self, name: &str) -> Option<Value> {
        self.beacon.beacons().into_iter().find(|beacon| beacon["name"] == name)
    }
}

#[test]
fn a_key_in_a_header_makes_a_connection_and_a_wrong_one_does_not() {
    let harbour = Harbour::new();
    let shown = harbour.host.run(&["connection", "show", "harbour"]).expect(0);
    assert!(shown.to_string().contains("workspace-1"), "the identity is kept: {shown:#}");
    assert_eq!(harbour.beacon.refused(), 0, "the host attached the key to every request");

    let wrong = harbour.connect("stranger", "wrong-key");
    assert_eq!(wrong.code, 3, "{wrong:#?}");
    assert_eq!(harbour.beacon.refused(), 1, "asked once, and no more");
}

#[test]
fn an_action_runs_with_options_errors_and_an_idempotency_key() {
    let harbour = Harbour::new();
    let listed = harbour.host.run(&["options", "light-beacon", "/colour", "--connection", "harbour", "--query", "re"]);
    assert!(listed.expect(0).to_string().contains("green"), "{listed:#?}");

    let input = json!({"name": "mole", "colour": "red"});
    let once = harbour.run("light-beacon", &input, &["--idempotency-key", "key-1"]).expect(0);
    let twice = harbour.run("light-beacon", &input, &["--idempotency-key", "key-1"]).expect(0);
    assert_eq!(once, twice);
    assert_eq!(harbour.beacon.beacons().len(), 1);

    let refused = harbour.run("light-beacon", &json!({"name": "mole", "colour": "plaid"}), &[]);
    assert_eq!(refused.fails(3, "beacon.input-refused")["fields"][0]["pointer"], "/colour");
}

#[test]
fn an_action_of_several_calls_goes_on_with_its_state() {
    let harbour = Harbour::new();
    for (name, colour) in [("a", "red"), ("b", "green"), ("c", "red"), ("d", "red"), ("e", "green")] {
        harbour.light(name, colour);
    }
    let survey = harbour.run("survey", &json!({}), &[]).expect(0);
    assert_eq!(survey, json!({"total": 5, "colours": {"red": 3, "green": 2}}));
    let pages = harbour.beacon.calls().iter().filter(|call| call.starts_with("GET /beacons")).count();
    assert_eq!(pages, 3);
}

#[test]
fn a_webhook_with_a_handshake_and_a_signed_time_starts_a_flow() {
    let harbour = Harbour::new();
    let serving = harbour.serve();
    let hook = harbour.beacon.hooks().remove(0);
    assert!(text(&hook["url"]).starts_with(serving.url()));
    assert!(text(&hook["secret"]).len() >= 32, "the placeholder became a secret");

    let lit = harbour.light("mole", "red");
    let name = format!("answer to {}", text(&lit["id"]));
    eventually("the flow's answer", || harbour.lit(&name));
    let lights = |beacon: &Value| text(&beacon["name"]).starts_with("answer to");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(harbour.beacon.beacons().iter().filter(|beacon| lights(beacon)).count(), 1, "green ones are not wanted");
}

#[test]
fn a_delivery_is_refused_where_its_signature_or_its_time_is_wrong() {
    let harbour = Harbour::new();
    let _serving = harbour.serve();
    let hook = harbour.beacon.hooks().remove(0);
    let (url, secret) = (text(&hook["url"]), text(&hook["secret"]));
    let body = json!({"seq": 77, "kind": "lit", "beacon": "b77", "colour": "red", "at-ms": 0}).to_string();
    let deliver = |id: &str, signature: Option<String>| {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.push(("beacon-delivery".to_owned(), id.to_owned()));
        headers.extend(signature.map(|signature| ("beacon-signature".to_owned(), signature)));
        http::send("POST", &url, &headers, body.as_bytes()).status
    };
    let now = service::now();
    let genuine = service::signature(&secret, now, &body);
    let (_, code) = genuine.split_once(",v1=").expect("a time and a code");
    assert_eq!(deliver("none", None), 401);
    assert_eq!(deliver("other-secret", Some(service::signature("guess", now, &body))), 401);
    assert_eq!(deliver("old", Some(service::signature(&secret, now - 301, &body))), 401);
    assert_eq!(deliver("future", Some(service::signature(&secret, now + 400, &body))), 401);
    assert_eq!(deliver("moved-time", Some(format!("t={},v1={code}", now + 1))), 401);
    assert_eq!(deliver("two-times", Some(format!("t={now},t={},v1={code}", now + 1))), 401);
    assert_eq!(deliver("other-version", Some(format!("t={now},v0={code}"))), 401);
    assert!(harbour.beacon.beacons().is_empty());
    assert_eq!(deliver("rolled", Some(format!("t={now},v1={},v1={code}", "0".repeat(64)))), 200);
    eventually("the flow's answer", || harbour.lit("answer to b77"));
}

#[test]
fn a_poll_finds_what_no_webhook_brings() {
    let harbour = Harbour::new();
    let _serving = harbour.serve();
    let polls = || harbour.beacon.calls().iter().filter(|call| call.starts_with("GET /signals")).count();
    eventually("the first poll", || Some(()).filter(|()| polls() > 0));
    harbour.beacon.fade("b9", "red");
    eventually("the flow's note", || harbour.lit("in memory of b9"));
    let seen = polls();
    eventually("two more polls", || Some(()).filter(|()| polls() > seen + 1));
    let notes = harbour.beacon.beacons().iter().filter(|beacon| beacon["name"] == "in memory of b9").count();
    assert_eq!(notes, 1, "the cursor moved on");

    let polled = harbour.host.run(&["events", "list"]).list().into_iter().find(|event| event["delivery"].is_null());
    let polled = harbour.host.run(&["events", "show", &text(&polled.expect("the polled event")["id"])]).expect(0);
    let run = harbour.host.run(&["runs", "show", &text(&polled["runs"][0]["id"])]).expect(0);
    assert_eq!((text(&polled["trace"]).len(), &polled["trace"]), (32, &run["trace"]), "{polled:#}");
}
