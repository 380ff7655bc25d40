//! What a call sent over the network: kept for run histories and logs, and to know after a fault
//! whether something may have happened at the service.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Uri};
use serde::Serialize;

use crate::vault::Held;

/// How many requests of one call are kept; later ones are only counted.
const MOST_KEPT: usize = 256;

/// How a request came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No answer yet.
    Pending,
    /// An answer with this HTTP status.
    Status(u16),
    /// Refused by the host; nothing left it. The reason, for the operator.
    Denied(String),
    /// It never left: the server could not be reached. The reason.
    Unreached(String),
    /// It may have left and got no whole answer. The reason.
    Lost(String),
}

/// One request of a call. Neither headers nor query nor body are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestRecord {
    /// The HTTP method.
    pub method: String,
    /// Scheme, host and port: `https://host`. For a denied request, as the connector wrote them.
    pub origin: String,
    /// The path without the query.
    pub path: String,
    /// How it came out.
    pub outcome: Outcome,
    /// Milliseconds until the head of the answer, or the failure.
    pub duration_ms: u64,
}

/// What one or several calls sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallRecord {
    /// The requests, in the order they were begun.
    pub requests: Vec<RequestRecord>,
    /// How many more there were.
    pub more: u64,
    /// How many requests that may change something (any but GET, HEAD and OPTIONS) may have left.
    pub unsafe_requests_sent: u32,
    /// Whether a request was held back because the account's lockout guard is closed.
    pub account_held: bool,
    /// How it is held.
    #[serde(skip)]
    pub held: Option<Held>,
    /// Whether the credential is what a person granted.
    #[serde(skip)]
    pub granted: bool,
    /// Whether a request was held back because the grant it needs is over.
    pub grant_dead: bool,
    /// Whether a request did not leave because others of the account were not answered in time.
    pub account_busy: bool,
    /// Why a request was held back because the account is left alone for a while, and for how many milliseconds.
    pub account_paused: Option<(String, u64)>,
    /// Why tokens could not be renewed for now, and in how many milliseconds that is tried again, where a request was
    /// held back because of it.
    pub not_renewed: Option<(String, u64)>,
    /// Why the service refuses the OAuth client, and what an operator can do, where a request was held back because of
    /// it.
    #[serde(skip)]
    pub client_refused: Option<(String, String)>,
    /// How many answers refused the credential.
    pub refusals: u32,
    /// Whether a request left with the credential.
    pub credential_sent: bool,
    /// How much fuel was used, where it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
}

impl CallRecord {
    /// What the host refused to send, if anything: the first reason.
    pub fn denial(&self) -> Option<&str> {
        self.requests.iter().find_map(|request| match &request.outcome {
            Outcome::Denied(reason) => Some(reason.as_str()),
            _ => None,
        })
    }
}

/// Takes down what calls send. Clones share what they took down.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<CallRecord>>);

impl Recorder {
    /// What was taken down so far.
    pub fn snapshot(&self) -> CallRecord {
        self.lock().clone()
    }

    /// What was taken down, which is forgotten here.
    pub(crate) fn take(&self) -> CallRecord {
        std::mem::take(&mut *self.lock())
    }

    /// Adds what another recorder took down.
    pub(crate) fn absorb(&self, other: &CallRecord) {
        let mut record = self.lock();
        let room = MOST_KEPT.saturating_sub(record.requests.len());
        record.more += other.more + other.requests.len().saturating_sub(room) as u64;
        record.requests.extend(other.requests.iter().take(room).cloned());
        record.unsafe_requests_sent += other.unsafe_requests_sent;
        record.account_held |= other.account_held;
        record.granted |= other.granted;
        record.grant_dead |= other.grant_dead;
        record.account_busy |= other.account_busy;
        if record.held.is_none() {
            record.held.clone_from(&other.held);
        }
        if record.account_paused.is_none() {
            record.account_paused.clone_from(&other.account_paused);
        }
        if record.not_renewed.is_none() {
            record.not_renewed.clone_from(&other.not_renewed);
        }
        if record.client_refused.is_none() {
            record.client_refused.clone_from(&other.client_refused);
        }
        record.credential_sent |= other.credential_sent;
        record.refusals += other.refusals;
        record.fuel = record.fuel.map_or(other.fuel, |used| Some(used + other.fuel.unwrap_or(0)));
    }

    /// Takes down a request that begins; answers with its place.
    pub(crate) fn begin(&self, method: &Method, uri: &Uri) -> Option<usize> {
        let mut record = self.lock();
        if record.requests.len() >= MOST_KEPT {
            record.more += 1;
            return None;
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let place = authority.rsplit('@').next().unwrap_or_default();
        record.requests.push(RequestRecord {
            method: method.to_string(),
            origin: [uri.scheme_str().unwrap_or_default(), "://", place].concat(),
            path: uri.path().to_owned(),
            outcome: Outcome::Pending,
            duration_ms: 0,
        });
        Some(record.requests.len() - 1)
    }

    /// Takes down how a request came out.
    pub(crate) fn end(&self, place: Option<usize>, outcome: Outcome, duration_ms: u64) {
        let mut record = self.lock();
        if let Some(request) = place.and_then(|place| record.requests.get_mut(place)) {
            request.outcome = outcome;
            request.duration_ms = duration_ms;
        }
    }

    /// Changes the marks.
    pub(crate) fn mark(&self, change: impl FnOnce(&mut CallRecord)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, CallRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
