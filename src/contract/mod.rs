//! The records of `workflow:connector`, as the core sees them.
//!
//! They mirror `wit/types.wit`, `wit/catalog.wit`, `wit/connection.wit` and `wit/action.wit`, where each item is
//! documented, with one difference: a JSON text that is looked into is a [`serde_json::Value`] here; one that is handed on,
//! or that a call may not need, stays a text. `event` mirrors `wit/event.wit`.
#![expect(missing_docs, reason = "each item is documented in wit/, where it is defined")]

pub mod event;

use serde_json::Value;
use std::fmt;

#[derive(Clone)]
pub struct Connection {
    pub id: String,
    pub settings: Value,
    pub authorization: Option<String>,
    /// From `extra`: grows when the credential is replaced.
    pub generation: Option<u64>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("settings", &self.settings)
            .field("authorization", &self.authorization.as_ref().map(|_| "redacted"))
            .field("generation", &self.generation)
            .finish()
    }
}

#[derive(Clone, Debug)]
pub struct Call {
    pub connection: Connection,
    pub deadline_ms: u64,
    pub idempotency_key: Option<String>,
    pub held: Vec<Hold>,
    pub granted_scopes: Option<Vec<String>>,
    pub memo: Option<Memo>,
}

#[derive(Clone, Debug)]
pub struct Memo {
    pub data: String,
    pub age_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Endpoint(String),
    Object(String),
    Tenant,
    App,
}

#[derive(Clone, Debug)]
pub struct Hold {
    pub scope: Scope,
    pub for_ms: u64,
}

/// `execution-failed` is missing: it is the host's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {}", .0.code, .0.message)]
    Permanent(Box<Failure>),
    #[error("{}: {}", .0.failure.code, .0.failure.message)]
    Transient(Box<Backoff>),
    #[error("{}: {}", .0.code, .0.message)]
    PermanentUncertain(Box<Failure>),
}

impl Error {
    /// The failure in it, whichever case it is.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Permanent(failure) | Self::PermanentUncertain(failure) => failure,
            Self::Transient(backoff) => &backoff.failure,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Backoff {
    pub failure: Failure,
    pub retry_after_ms: u64,
    pub scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    Credential,
    Scope,
    Permission,
    Input,
    NotFound,
    Conflict,
    Limit,
    Unavailable,
    Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsible {
    User,
    ServiceAdmin,
    Operator,
    Developer,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub class: FailureClass,
    pub code: String,
    pub message: String,
    pub remedy: String,
    pub who: Responsible,
    pub repeatable: bool,
    pub fields: Vec<FieldFailure>,
    pub status: Option<u16>,
    pub request_id: Option<String>,
    pub extra: Value,
}

impl Failure {
    /// A failure with no field, no status and nothing extra.
    pub fn new(class: FailureClass, code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let who = match class {
            FailureClass::Permission | FailureClass::Scope => Responsible::ServiceAdmin,
            FailureClass::Protocol => Responsible::Developer,
            FailureClass::Unavailable => Responsible::Operator,
            _ => Responsible::User,
        };
        Self {
            class,
            code: format!("jira.{code}"),
            message: message.into(),
            remedy: remedy.into(),
            who,
            repeatable: true,
            fields: Vec::new(),
            status: None,
            request_id: None,
            extra: Value::Object(serde_json::Map::new()),
        }
    }

    /// An unacceptable input, with the part that was refused. `pointer` is a JSON Pointer into the input.
    pub fn input(code: &str, pointer: &str, name: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let message = message.into();
        let mut failure = Self::new(FailureClass::Input, code, message.clone(), remedy);
        failure.fields.push(FieldFailure { pointer: pointer.to_owned(), name: name.to_owned(), message });
        failure
    }

    /// Somebody else has to act than the class suggests.
    pub fn by(mut self, who: Responsible) -> Self {
        self.who = who;
        self
    }

    /// As an error that no later call can mend.
    pub fn permanent(self) -> Error {
        Error::Permanent(Box::new(self))
    }

    /// As a write whose outcome is not known.
    pub fn uncertain(mut self) -> Error {
        self.repeatable = false;
        Error::PermanentUncertain(Box::new(self))
    }

    /// As an error that passes.
    pub fn transient(self, retry_after_ms: u64, scope: Scope) -> Error {
        Error::Transient(Box::new(Backoff { failure: self, retry_after_ms, scope }))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFailure {
    pub pointer: String,
    pub name: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
}

#[derive(Clone, Debug)]
pub struct Notice {
    pub severity: Severity,
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug, Default)]
pub struct Aside {
    pub notices: Vec<Notice>,
    pub memo: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Description {
    pub manifest: &'static str,
    pub lacking: Vec<Lack>,
}

#[derive(Clone, Debug)]
pub struct Lack {
    pub card: String,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct ChoiceQuery {
    pub card: String,
    pub field: String,
    pub input: Value,
    pub text: String,
    pub page: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Choice {
    pub value: Value,
    pub label: String,
    pub detail: String,
}

#[derive(Clone, Debug)]
pub struct Choices {
    pub items: Vec<Choice>,
    pub next: Option<String>,
    pub aside: Aside,
}

#[derive(Clone, Debug)]
pub struct CardSchema {
    pub input: Value,
    pub output: Value,
    pub aside: Aside,
}

#[derive(Clone, Debug)]
pub struct Origin {
    pub url: String,
    pub credential: bool,
    pub purpose: String,
}

#[derive(Clone, Debug)]
pub struct Prepared {
    pub settings: Value,
    pub origins: Vec<Origin>,
    pub form: Value,
    pub corrections: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Site {
    pub id: String,
    pub label: String,
    pub url: String,
    pub prepared: Prepared,
}

#[derive(Clone, Debug)]
pub struct Sites {
    pub items: Vec<Site>,
    pub aside: Aside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Warning,
    Failed,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub outcome: Outcome,
    pub code: String,
    pub message: String,
    pub remedy: String,
    pub who: Responsible,
    pub class: Option<FailureClass>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub tenant: String,
    pub account: String,
    pub label: String,
}

#[derive(Clone, Debug)]
pub struct Health {
    pub findings: Vec<Finding>,
    pub identity: Option<Identity>,
    pub settings: Value,
    pub origins: Option<Vec<Origin>>,
    pub aside: Aside,
}

#[derive(Clone, Debug)]
pub enum Step {
    Done(String),
    More(Continuation),
}

#[derive(Clone, Debug)]
pub struct Continuation {
    pub state: String,
    pub after_ms: u64,
    pub done: u64,
    pub total: Option<u64>,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct Invoked {
    pub step: Step,
    pub aside: Aside,
}
