//! A simulated Jira of a test's own, and its controls.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jira_simulator::{AccountAccess, Config, Personality, Running, Simulator};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::openapi;
use crate::runtime::wait_for;

/// A Jira Cloud on loopback. Dropping it stops it, and fails the test where one of its answers was
/// not as Atlassian documents it.
pub(crate) struct Jira {
    running: Running,
    /// Whether there are documents to hold its answers against.
    documented: bool,
}

impl Jira {
    pub(crate) fn start() -> Self {
        Self::start_as(Config::default())
    }

    /// One of another kind: only Cloud's answers are held against documents.
    pub(crate) fn start_as(config: Config) -> Self {
        let documented = config.personality == Personality::Cloud;
        let running = wait_for(Simulator::start(config)).expect("the simulator starts");
        Self { running, documented }
    }

    /// Where it answers, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        self.running.base_url()
    }

    /// An account by its role: `admin` or `user`.
    pub(crate) fn account(&self, name: &str) -> AccountAccess {
        let found = self.running.accounts().into_iter().find(|account| account.name == name);
        found.unwrap_or_else(|| panic!("the simulator has no account {name}"))
    }

    /// Asks Jira itself, as its administrator.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        http::send_json(method, &format!("{}{path}", self.url()), &[self.authorization("admin")], body)
    }

    /// The `Authorization` header of an account.
    pub(crate) fn authorization(&self, name: &str) -> (String, String) {
        let account = self.account(name);
        let credential = STANDARD.encode(format!("{}:{}", account.email, account.token));
        ("authorization".to_owned(), format!("Basic {credential}"))
    }

    /// Calls the control API and answers with its JSON (null for an empty body).
    pub(crate) fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = http::send_json(method, &format!("{}{path}", self.running.control_url()), &[], body);
        assert!((200..300).contains(&answer.status), "{method} {path} {body}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Sets a fault: see `POST /faults` of the control API.
    pub(crate) fn fault(&self, fault: &Value) {
        self.control("POST", "/faults", fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.control("DELETE", "/faults", &Value::Null);
    }

    pub(crate) fn settings(&self, change: &Value) {
        self.control("PATCH", "/settings", change);
    }

    /// Lets virtual time pass.
    pub(crate) fn advance(&self, by: Duration) {
        self.control("POST", "/time/advance", &json!({"ms": by.as_millis() as u64}));
    }

    /// The log of what arrived and was answered, oldest first.
    pub(crate) fn wire(&self) -> Vec<Value> {
        self.control("GET", "/wire?since=0", &Value::Null)["entries"].as_array().cloned().unwrap_or_default()
    }

    /// The calls whose path contains `part`.
    pub(crate) fn calls(&self, method: &str, part: &str) -> Vec<Value> {
        let matches =
            |entry: &Value| entry["method"] == method && entry["path"].as_str().is_some_and(|path| path.contains(part));
        self.wire().into_iter().filter(matches).collect()
    }

    /// Empties the log, judged first: what is forgotten counts as well.
    #[track_caller]
    pub(crate) fn forget_wire(&self) {
        if self.documented {
            openapi::assert_answers_as_documented(self);
        }
        self.control("DELETE", "/wire", &Value::Null);
    }

    /// How many calls carried a credential that was not accepted.
    pub(crate) fn refused_logins(&self) -> usize {
        self.wire().iter().filter(|entry| matches!(entry["login"].as_str(), Some("failed" | "denied"))).count()
    }

    /// What the webhook sender has sent and tried, oldest first.
    pub(crate) fn deliveries(&self) -> Vec<Value> {
        let listed = self.control("GET", "/webhooks/deliveries", &Value::Null);
        let listed = listed.get("deliveries").cloned().unwrap_or(listed);
        listed.as_array().cloned().unwrap_or_default()
    }

    /// The exact headers and body of one delivery, for sending it (or something like it) again.
    pub(crate) fn captured(&self, identifier: &str) -> Captured {
        let request = self.control("GET", &format!("/webhooks/deliveries/{identifier}/request"), &Value::Null);
        let headers = match &request["headers"] {
            Value::Object(named) => named.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            Value::Array(pairs) => pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            other => panic!("no headers in the captured request: {other}"),
        };
        Captured { headers, body: text(&request["body"]) }
    }

    /// Waits until every delivery is settled and there are at least `count`.
    pub(crate) fn wait_for_deliveries(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} deliveries"), || {
            let all = self.deliveries();
            let settled = all.iter().filter(|delivery| delivery["state"] != "pending").count();
            (all.len() >= count && settled == all.len()).then_some(all)
        })
    }
}

impl Drop for Jira {
    fn drop(&mut self) {
        // A test that failed already has more to say.
        if self.documented && !std::thread::panicking() {
            openapi::assert_answers_as_documented(self);
        }
    }
}

/// A delivery as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Captured {
    /// The headers that a client may set itself: not those that frame the message.
    pub(crate) fn sendable(&self) -> Vec<(String, String)> {
        let framing = |name: &str| matches!(name, "host" | "content-length" | "connection" | "transfer-encoding");
        self.headers.iter().filter(|(name, _)| !framing(&name.to_lowercase())).cloned().collect()
    }
}

/// A JSON string as text, anything else as JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Asks again and again, for at most a minute, until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
