//! Answers, and the two shapes of Jira's refusals.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// An answer before it is put on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The route that is not simulated, where that is the reason.
    pub(crate) missing_route: Option<String>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json;charset=UTF-8", body.to_string())
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(200, &body)
    }

    pub(crate) fn text(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into().into_bytes(),
            missing_route: None,
        }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), missing_route: None }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A refusal: general sentences, and sentences by field id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) messages: Vec<String>,
    pub(crate) errors: BTreeMap<String, String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, messages: vec![message.into()], errors: BTreeMap::new() }
    }

    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(BTreeMap::from([(field.to_owned(), message.into())]))
    }

    /// Field errors; a document that fails its schema is told as Jira tells it, without the field.
    pub(crate) fn fields(errors: BTreeMap<String, String>) -> Self {
        if errors.values().any(|message| message == crate::state::value::INVALID_INPUT) {
            return Self::new(400, crate::state::value::INVALID_INPUT);
        }
        Self { status: 400, messages: Vec::new(), errors }
    }

    pub(crate) fn not_authenticated() -> Self {
        Self::new(401, "Client must be authenticated to access this resource.")
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"errorMessages": self.messages, "errors": self.errors})
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let answer = Self::json(refusal.status, &refusal.to_json());
        if refusal.status == 401 {
            return answer.with_header("WWW-Authenticate", "OAuth realm=\"http%3A%2F%2F127.0.0.1\"");
        }
        answer
    }
}
