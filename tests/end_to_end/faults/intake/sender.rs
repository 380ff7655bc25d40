//! A service that sends: it knows the callback of a connection and its signing secret.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use host_harness::clock::SystemClock;
use host_harness::store::Store;
use host_harness::vault::{Space, Vault};
use serde_json::{Value, json};
use sha2::Sha256;

use super::wire;
use crate::harness::Serving;
use crate::http;
use crate::simulator::{Jira, eventually, text};
use crate::stage::Stage;

/// Does nothing with each new issue, and so ends at once.
pub(super) const WATCH: &str = r#"
name: watch
on:
  event: issue-created
  connection: demo
  filter: { projects: [DEMO] }
  when: event.issue.key == "DEMO-0"
steps:
  - id: read
    action: get-issue
    connection: demo
    input: { issue: DEMO-1 }
"#;

/// The store of a stage's host, as another process sees it.
pub(super) fn store(stage: &Stage) -> Arc<Store> {
    Arc::new(Store::open(&stage.host.home().join("harness.db")).expect("the store opens"))
}

/// Who can send genuine deliveries to one connection.
pub(super) struct Sender {
    pub(super) callback: String,
    /// The connection, by id.
    pub(super) connection: String,
    pub(super) secret: String,
}

impl Sender {
    /// The sender of a connection that is registered at this Jira.
    pub(super) fn of(stage: &Stage, connection: &str, jira: &Jira) -> Self {
        let hooks = eventually("the webhook", || {
            let listed = jira.ask("GET", "/rest/webhooks/1.0/webhook", &Value::Null).json();
            listed.as_array().cloned().filter(|hooks| !hooks.is_empty())
        });
        let store = store(stage);
        let connection = store.connection_by_name(connection).expect("the store reads").expect("a connection").id;
        let key = stage.host.home().join("vault.key");
        let vault = Vault::open(&key, store, SystemClock::shared()).expect("the vault opens");
        // It is kept before it is registered.
        let secret = vault.get(Space::Registration, &connection, "signing-secret").expect("the vault reads");
        let secret = secret.expect("a signing secret").expose().to_owned();
        Self { callback: text(&hooks[0]["url"]), connection, secret }
    }

    /// The signature of a body.
    pub(super) fn signature(&self, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any key will do");
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// A delivery as it goes over the wire.
    pub(super) fn request(&self, identifier: &str, body: &[u8]) -> Vec<u8> {
        let signature = self.signature(body);
        let headers = [("x-atlassian-webhook-identifier", identifier), ("x-hub-signature", signature.as_str())];
        wire::post(&self.callback, &headers, body)
    }

    /// Sends a genuine delivery; the status of the answer.
    pub(super) fn deliver(&self, identifier: &str, body: &[u8]) -> u16 {
        self.deliver_with(
            body,
            &[("x-atlassian-webhook-identifier", identifier), ("x-hub-signature", &self.signature(body))],
        )
    }

    /// Sends something with any headers.
    pub(super) fn deliver_with(&self, body: &[u8], headers: &[(&str, &str)]) -> u16 {
        let headers: Vec<_> = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        http::send("POST", &self.callback, &headers, body).status
    }
}

/// A stage whose host serves `WATCH`, and who sends to it.
pub(super) fn watching() -> (Stage, Serving, Sender) {
    let stage = Stage::connected();
    stage.host.file("flows/watch.yaml", WATCH);
    let serving = stage.host.serve(&["--flows", "flows"]);
    let sender = Sender::of(&stage, "demo", &stage.jira);
    (stage, serving, sender)
}

/// Now, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64
}

/// The body of a delivery: issue `number` was created at this time. It is at least `length` bytes long.
pub(super) fn created(number: usize, at_ms: u64, length: usize) -> Vec<u8> {
    let body = |summary: &str| {
        json!({
            "timestamp": at_ms,
            "webhookEvent": "jira:issue_created",
            "user": {"accountId": "acc-1", "displayName": "Somebody"},
            "issue": {"id": format!("{}", 900_000 + number), "key": format!("DEMO-{}", 900_000 + number), "fields": {
                "summary": summary, "project": {"id": "10000", "key": "DEMO"}, "issuetype": {"id": "1", "name": "Bug"},
            }},
        })
        .to_string()
    };
    let bare = body("").len();
    body(&"x".repeat(length.saturating_sub(bare))).into_bytes()
}

/// How many runs there are, of any state.
pub(super) fn starts(stage: &Stage) -> usize {
    stage.host.run(&["runs", "list", "--limit", "1000"]).list().len()
}

/// Waits until every delivery that was kept has been read.
pub(super) fn all_read(stage: &Stage) {
    let store = store(stage);
    eventually("the deliveries to be read", || Some(()).filter(|()| store.waiting_deliveries(9).expect("read") == 0));
}
