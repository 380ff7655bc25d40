//! A host whose answers are written down beforehand, and which keeps what it was asked.

use crate::contract::{Call, Connection, Step};
use crate::host::{Host, Request, Response, SendError};
use serde_json::{Value, json};
use std::collections::VecDeque;

pub(crate) type Scripted = Result<Response, SendError>;

/// Answers in order; a request without an answer fails its test.
pub(crate) struct Script {
    answers: VecDeque<Scripted>,
    pub(crate) asked: Vec<Request>,
    pub(crate) batches: Vec<usize>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Scripted>) -> Self {
        Self { answers: answers.into_iter().collect(), asked: Vec::new(), batches: Vec::new() }
    }

    /// `METHOD path?query` of every request, without the site.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked
            .iter()
            .map(|r| format!("{} {}", r.method, r.url.trim_start_matches(SITE.trim_end_matches('/'))))
            .collect()
    }

    /// The JSON body of a request.
    pub(crate) fn body(&self, at: usize) -> Value {
        serde_json::from_slice(self.asked[at].body.as_deref().unwrap_or(b"null")).expect("the body is JSON")
    }
}

impl Host for Script {
    fn send(&mut self, requests: Vec<Request>) -> Vec<Scripted> {
        self.batches.push(requests.len());
        requests
            .into_iter()
            .map(|request| {
                let answer =
                    self.answers.pop_front().unwrap_or_else(|| panic!("no answer is scripted for {request:?}"));
                self.asked.push(request);
                answer
            })
            .collect()
    }

    fn now_ms(&self) -> u64 {
        1_792_007_200_000
    }

    fn random(&mut self) -> u64 {
        4
    }
}

pub(crate) const SITE: &str = "https://demo.atlassian.net/";

/// What a card gave, which has to be done.
pub(crate) fn done(step: &Step) -> Value {
    match step {
        Step::Done(output) => serde_json::from_str(output).expect("an output is JSON"),
        Step::More(_) => panic!("the card is not done"),
    }
}

/// An answer with a JSON body.
pub(crate) fn json_answer(status: u16, body: &Value) -> Scripted {
    raw_answer(status, &[("content-type", "application/json")], body.to_string().as_bytes())
}

/// An answer without a body.
pub(crate) fn empty_answer(status: u16) -> Scripted {
    raw_answer(status, &[], b"")
}

/// Any answer.
pub(crate) fn raw_answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Scripted {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Response { status, headers, body: body.to_vec() })
}

/// A call for a connection to [`SITE`].
pub(crate) fn call() -> Call {
    Call {
        connection: Connection {
            id: "demo".to_owned(),
            settings: json!({ "site": SITE, "email": "administrator@example.test", "account-id": "acc-1" }),
            authorization: None,
            generation: None,
        },
        deadline_ms: 30_000,
        idempotency_key: None,
        held: Vec::new(),
        granted_scopes: None,
        memo: None,
    }
}
