//! What can go wrong with a call that is not the connector's own answer.

use std::fmt;

use serde::Serialize;

use super::contract::types::{Error, Failure, FailureClass, Responsible};
use crate::vault::{Held, NotAdmitted};

/// The code of what a service says of an OAuth client that it refuses.
pub(crate) const CLIENT_REFUSED: &str = "host.client-refused";

/// How a call failed that the connector did not answer, or not acceptably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connector crashed.
    Trap,
    /// It called itself too deeply.
    StackOverflow,
    /// It did not end in time.
    TimedOut,
    /// It wanted more memory than a call may have.
    OutOfMemory,
    /// It handed the host more than a call may.
    FloodedHost,
    /// It answered something that the contract does not allow.
    BadAnswer,
    /// It failed too often in a row and is set aside for a while.
    Quarantined,
    /// The account is held because its credential was refused; nothing was sent.
    AccountHeld,
    /// The same of an account whose credential is what a person granted.
    GrantHeld,
    /// The grant that the connection uses is over; nothing was sent.
    GrantDead,
    /// The same of an account whose credential is a client id and secret of its own.
    ClientDead,
    /// Other requests of the account were not answered in time, so this one was not sent.
    AccountBusy,
    /// The account is left alone for a while, because logins were not answered; nothing was sent.
    AccountPaused,
    /// The tokens of the grant could not be renewed for now; nothing was sent with the old ones.
    NotRenewed,
    /// The service refuses the OAuth client that the tokens are renewed for; nothing was sent with the old ones.
    ClientRefused,
    /// The host refused to send what the connector wanted to send.
    EgressDenied,
    /// The host itself failed.
    Internal,
}

/// A fault of the host's making or finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostFault {
    /// What happened.
    pub kind: FaultKind,
    /// One sentence for people. Never holds a secret.
    pub detail: String,
    /// Whether a request that may change something had left the host by then.
    pub unsafe_request_sent: bool,
    /// After how many milliseconds to try again, where that is known.
    #[serde(skip)]
    pub retry_after_ms: u64,
    /// What to do about it, where that is another thing than for its kind. `NAME` stands for the connection's.
    #[serde(skip)]
    pub remedy: Option<String>,
}

/// Why a call has no result.
#[derive(Debug, Clone)]
pub enum CallError {
    /// The connector's own answer.
    Connector(Box<Error>),
    /// The host's.
    Host(HostFault),
}

impl FaultKind {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Trap => "host.connector-crashed",
            Self::StackOverflow => "host.connector-stack-overflow",
            Self::TimedOut => "host.connector-timed-out",
            Self::OutOfMemory => "host.connector-out-of-memory",
            Self::FloodedHost => "host.connector-flooded-host",
            Self::BadAnswer => "host.connector-bad-answer",
            Self::Quarantined => "host.connector-quarantined",
            Self::AccountHeld | Self::GrantHeld => "host.account-held",
            Self::GrantDead | Self::ClientDead => "host.grant-dead",
            Self::AccountBusy => "host.account-busy",
            Self::AccountPaused => "host.account-paused",
            Self::NotRenewed => "host.not-renewed-now",
            Self::ClientRefused => CLIENT_REFUSED,
            Self::EgressDenied => "host.egress-denied",
            Self::Internal => "host.internal",
        }
    }

    fn class(self) -> FailureClass {
        match self {
            Self::AccountHeld | Self::GrantHeld | Self::GrantDead | Self::ClientDead | Self::ClientRefused => {
                FailureClass::Credential
            }
            Self::EgressDenied => FailureClass::Permission,
            Self::AccountBusy
            | Self::AccountPaused
            | Self::NotRenewed
            | Self::TimedOut
            | Self::Quarantined
            | Self::Internal => FailureClass::Unavailable,
            _ => FailureClass::Protocol,
        }
    }

    fn remedy(self) -> (&'static str, Responsible) {
        match self {
            // Whose credential was refused says more.
            Self::AccountHeld | Self::GrantHeld => {
                ("Put right what was refused, then run `harness connection check NAME --release`.", Responsible::User)
            }
            Self::GrantDead => ("Reconnect it: `harness connection reauthorize NAME`.", Responsible::User),
            Self::ClientDead => (
                "Give the client id and secret that count now: `harness connection replace-credential NAME`.",
                Responsible::User,
            ),
            Self::ClientRefused => (
                "Give the OAuth client's present secret with `harness oauth-client edit`; `harness oauth-client list` shows those that there are.",
                Responsible::User,
            ),
            Self::AccountBusy => (
                "Nothing: it is tried again. If it goes on, look at `harness connection check NAME` and whether the service is slow.",
                Responsible::ServiceAdmin,
            ),
            Self::AccountPaused => (
                "Nothing: it is tried again by itself. Where the service is well again and the credential right, `harness connection check NAME --release` tries it at once.",
                Responsible::ServiceAdmin,
            ),
            Self::NotRenewed => (
                "Nothing: it is tried again. If it goes on, look whether the service's sign-in is out of order.",
                Responsible::ServiceAdmin,
            ),
            Self::EgressDenied => (
                "Check the address of the connection; if it is meant to lie in a private network or to use plain http, allow that with `harness connection edit NAME --allow-private`.",
                Responsible::Operator,
            ),
            Self::TimedOut => (
                "Try again; if it happens again, ask for less at once or look whether the service is slow.",
                Responsible::User,
            ),
            Self::Quarantined => {
                ("Wait a minute and try again; if it goes on, tell the connector's maintainer.", Responsible::Developer)
            }
            Self::Internal => ("Look into the host's log, and try again.", Responsible::Operator),
            _ => ("Tell the connector's maintainer what was called and with which input.", Responsible::Developer),
        }
    }

    /// Whether it speaks against the component, so that it counts towards its quarantine.
    pub(crate) fn counts(self) -> bool {
        matches!(
            self,
            Self::Trap | Self::StackOverflow | Self::TimedOut | Self::OutOfMemory | Self::FloodedHost | Self::BadAnswer
        )
    }
}

impl HostFault {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), unsafe_request_sent: false, retry_after_ms: 0, remedy: None }
    }

    /// The account is held like this; `granted`: its credential is what a person granted.
    pub(crate) fn account_held(held: Held, granted: bool) -> Self {
        let kind = if granted { FaultKind::GrantHeld } else { FaultKind::AccountHeld };
        let remedy = Some(held.remedy("NAME", granted));
        let Held { reason, blame } = held;
        Self { remedy, ..Self::new(kind, NotAdmitted::Held { reason, blame }.to_string()) }
    }

    /// The account is left alone for so long.
    pub(crate) fn account_paused(detail: &str, after_ms: u64) -> Self {
        let detail = format!("{detail}; it is tried again in {} minutes", after_ms.div_ceil(60_000));
        Self { retry_after_ms: after_ms, ..Self::new(FaultKind::AccountPaused, detail) }
    }

    /// The grant is over; `granted`: a person granted it.
    pub(crate) fn grant_dead(reason: impl Into<String>, granted: bool) -> Self {
        Self::new(if granted { FaultKind::GrantDead } else { FaultKind::ClientDead }, reason)
    }

    /// The service refuses the OAuth client that the tokens are renewed for.
    pub(crate) fn client_refused(reason: &str, remedy: &str) -> Self {
        Self { remedy: Some(remedy.to_owned()), ..Self::new(FaultKind::ClientRefused, reason) }
    }

    /// A request waited in vain for its turn among those of its account.
    pub(crate) fn account_busy() -> Self {
        let detail = "a request was not sent: its turn among those of the same account did not come in time, because \
                      another one was not answered";
        Self::new(FaultKind::AccountBusy, detail)
    }

    /// The tokens could not be renewed for now; `after_ms` is how long nobody asks again.
    pub(crate) fn not_renewed(reason: &str, after_ms: u64) -> Self {
        let again = match after_ms.div_ceil(1000) {
            0 => "it is tried again with the next request".to_owned(),
            1 => "it is tried again in a second".to_owned(),
            seconds => format!("it is tried again in {seconds} s"),
        };
        let detail = format!("the authorization could not be renewed just now, and {again} ({reason})");
        Self { retry_after_ms: after_ms, ..Self::new(FaultKind::NotRenewed, detail) }
    }

    pub(crate) fn to_failure(&self) -> Failure {
        let (usual, who) = self.kind.remedy();
        Failure {
            class: self.kind.class(),
            code: self.kind.code().into(),
            message: sentence(&self.detail),
            remedy: self.remedy.clone().unwrap_or_else(|| usual.to_owned()),
            who,
            repeatable: !self.unsafe_request_sent,
            fields: Vec::new(),
            status: None,
            request_id: None,
            extra: "{}".into(),
        }
    }
}

impl CallError {
    /// The error that an engine acts on: a fault after a write may have left is
    /// `permanent-uncertain`; lack of time, a quarantine and a fault of the host itself pass. All others
    /// are permanent: a connector that crashed or answered nonsense does so again with the same input.
    pub fn to_error(&self) -> Error {
        match self {
            Self::Connector(error) => Error::clone(error),
            Self::Host(fault) if fault.unsafe_request_sent => Error::PermanentUncertain(fault.to_failure()),
            Self::Host(fault) => match fault.kind {
                FaultKind::AccountBusy
                | FaultKind::AccountPaused
                | FaultKind::NotRenewed
                | FaultKind::Quarantined
                | FaultKind::Internal
                | FaultKind::TimedOut => Error::Transient(super::contract::types::Backoff {
                    failure: fault.to_failure(),
                    retry_after_ms: if fault.kind == FaultKind::Quarantined { 60_000 } else { fault.retry_after_ms },
                    scope: super::contract::types::Scope::Tenant,
                }),
                _ => Error::Permanent(fault.to_failure()),
            },
        }
    }
}

/// The text as a sentence: with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    first.chain(letters.as_str().chars()).chain(stop.chars()).collect()
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Connector(Box::new(error))
    }
}

impl From<HostFault> for CallError {
    fn from(fault: HostFault) -> Self {
        Self::Host(fault)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(fault) => f.write_str(&fault.detail),
            Self::Connector(error) => match &**error {
                Error::Permanent(failure) | Error::PermanentUncertain(failure) => f.write_str(&failure.message),
                Error::Transient(backoff) => f.write_str(&backoff.failure.message),
                Error::ExecutionFailed => f.write_str("the connector reported that no answer came"),
            },
        }
    }
}

impl std::error::Error for CallError {}
