//! A wire tap between the host and Jira: passes everything on, and keeps the signing secret that a
//! registration carries, which Jira itself never tells again.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::Outcome;
use crate::http;
use crate::service::{Reply, Request, Service};
use crate::simulator::text;
use crate::stage::Stage;

/// What frames a message on one connection, and so is not passed on.
const FRAMING: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

/// The tap, in front of a stage's Jira.
pub(super) struct Tee {
    service: Service,
    secret: Arc<Mutex<Option<String>>>,
}

impl Tee {
    /// Taps the wire of a stage's Jira.
    pub(super) fn before(stage: &Stage) -> Self {
        let secret = Arc::<Mutex<Option<String>>>::default();
        let (jira, kept) = (stage.jira.url().to_owned(), Arc::clone(&secret));
        let service = Service::start(move |request| {
            if let Some(secret) = request.json()["secret"].as_str() {
                *kept.lock().expect("nothing panicked here") = Some(secret.to_owned());
            }
            forward(&jira, request)
        });
        Self { service, secret }
    }

    /// Adds the administrator's connection `demo`, by way of the tap.
    pub(super) fn connect(&self, stage: &Stage) -> Outcome {
        let account = stage.jira.account("admin");
        stage.connect_at("demo", &self.service.url(), &account.email, &account.token, &[])
    }

    /// The signing secret of the last registration.
    pub(super) fn secret(&self) -> String {
        self.secret.lock().expect("nothing panicked here").clone().expect("a secret was registered")
    }

    /// Everything that came from the host, as one text: to see that the tap sees what it should.
    pub(super) fn carried(&self) -> String {
        self.service
            .requests()
            .iter()
            .map(|request| text(&Value::from(String::from_utf8_lossy(&request.body))))
            .collect()
    }
}

/// Passes a request on, and the answer back.
pub(super) fn forward(to: &str, request: &Request) -> Reply {
    let passing = |headers: &[(String, String)]| {
        let passes = |name: &str| !FRAMING.contains(&name.to_lowercase().as_str());
        headers.iter().filter(|(name, _)| passes(name)).cloned().collect::<Vec<_>>()
    };
    let url = format!("{to}{}", request.target);
    let answer = http::send(&request.method, &url, &passing(&request.headers), &request.body);
    Reply { status: answer.status, headers: passing(&answer.headers), body: answer.body.into_bytes() }
}
