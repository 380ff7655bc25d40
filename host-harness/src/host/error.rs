//! How an operation of the host fails: what was wrong, what to do, who can do it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::authorize::{AuthorizeError, CredentialError, TokenError};
use crate::clock::bounded_ms;
use crate::plugin::contract::types;
use crate::plugin::contract_json;
use crate::plugin::{CallError, FaultKind, LoadError};
use crate::store::StoreError;
use crate::vault::VaultError;

/// Something wrong that the host itself found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Problem {
    /// A stable code, `host.{name}`.
    pub code: String,
    /// One sentence that says what is wrong.
    pub message: String,
    /// One sentence that says what to do.
    pub remedy: String,
    /// Who can do it: `user`, `service-admin`, `operator` or `developer`.
    pub who: &'static str,
    /// The parts of the input concerned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldProblem>,
}

/// One refused part of an input.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct FieldProblem {
    /// Where, as a JSON Pointer.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// The JSON Pointer to a member of a document.
pub(super) fn pointer_to(member: &str) -> String {
    format!("/{}", member.replace('~', "~0").replace('/', "~1"))
}

impl Problem {
    /// A problem that the person at the command can put right.
    pub fn new(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self { code: format!("host.{code}"), message, remedy, who: "user", fields: vec![] }
    }

    /// The same, of one field of a form.
    #[must_use]
    pub fn at(self, field: &str) -> Self {
        let field = FieldProblem { pointer: pointer_to(field), message: self.message.clone() };
        Self { fields: vec![field], ..self }
    }
}

/// Why an operation did not do what was asked.
#[derive(Debug, Clone)]
pub enum HostError {
    /// The input was wrong, and nothing was sent.
    BadInput(Problem),
    /// The answer of a call, or what the host says in its place.
    Answer(Box<types::Error>),
    /// Anything else: the machine, the store, the vault.
    Other(Problem),
}

impl HostError {
    /// Input that is wrong.
    pub fn bad_input(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::BadInput(Problem::new(code, message, remedy))
    }

    /// Something of the machine.
    pub fn other(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Other(Problem { who: "operator", ..Problem::new(code, message, remedy) })
    }

    /// What a service refuses until a person does something about it.
    fn refused(code: &str, message: String, remedy: &str) -> Self {
        let failure = failure(types::FailureClass::Credential, code, message, remedy);
        Self::Answer(Box::new(types::Error::Permanent(failure)))
    }

    /// A service refuses an OAuth client, or what it asks for.
    pub(super) fn of_client(message: String, remedy: &str) -> Self {
        Self::refused("client-refused", message, remedy)
    }

    /// What may go well later by itself.
    pub(crate) fn not_now(code: &str, message: String, after: Option<Duration>) -> Self {
        let failure = failure(types::FailureClass::Unavailable, code, message, "Try again later.");
        let after = after.map_or(0, |after| bounded_ms(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)));
        let backoff = types::Backoff { failure, retry_after_ms: after, scope: types::Scope::Tenant };
        Self::Answer(Box::new(types::Error::Transient(backoff)))
    }

    /// Why a component was not loaded.
    pub(crate) fn of_load(path: &Path, error: &LoadError) -> Self {
        Self::bad_input(
            "component",
            format!("{} cannot be loaded: {error}", path.display()),
            "Name the file of a component that was built for this contract.",
        )
    }

    /// How a call of a connection failed, with commands in the remedy that name the connection.
    pub(crate) fn of_call(error: &CallError, connection: &str) -> Self {
        let mut told = error.to_error();
        if let types::Error::Permanent(failure)
        | types::Error::PermanentUncertain(failure)
        | types::Error::Transient(types::Backoff { failure, .. }) = &mut told
        {
            failure.remedy = naming(&failure.remedy, connection);
        }
        Self::Answer(Box::new(told))
    }

    /// The same with commands in the remedy that name the connection.
    pub(crate) fn of_connection(mut self, connection: &str) -> Self {
        if let Self::BadInput(problem) | Self::Other(problem) = &mut self {
            problem.remedy = naming(&problem.remedy, connection);
        }
        self
    }

    /// The same failure, with what it means where it happened, and what else can be done about it.
    pub(crate) fn amid(mut self, consequence: &str, advice: &str) -> Self {
        let (message, remedy) = match &mut self {
            Self::BadInput(problem) | Self::Other(problem) => (&mut problem.message, &mut problem.remedy),
            Self::Answer(error) => match &mut **error {
                types::Error::Permanent(failure)
                | types::Error::PermanentUncertain(failure)
                | types::Error::Transient(types::Backoff { failure, .. }) => {
                    (&mut failure.message, &mut failure.remedy)
                }
                types::Error::ExecutionFailed => return self,
            },
        };
        *message = format!("{consequence}. {message}");
        *remedy = format!("{remedy} {advice}").trim().to_owned();
        self
    }

    /// One of `bad-input`, `permanent`, `transient`, `uncertain`, `other`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadInput(_) => "bad-input",
            Self::Answer(error) => match **error {
                types::Error::Permanent(_) => "permanent",
                types::Error::Transient(_) => "transient",
                types::Error::PermanentUncertain(_) => "uncertain",
                types::Error::ExecutionFailed => "other",
            },
            Self::Other(_) => "other",
        }
    }

    /// Whether nothing is sent for the connection until a person acts: the lockout guard holds its account, its grant is
    /// over, or the service refuses the OAuth client that renews it.
    pub(crate) fn is_held_account(&self) -> bool {
        let Self::Answer(error) = self else { return false };
        let codes = [FaultKind::AccountHeld.code(), FaultKind::GrantDead.code(), FaultKind::ClientRefused.code()];
        failure_of(error).is_some_and(|failure| codes.contains(&failure.code.as_str()))
    }

    /// Whether a service, or a connector, found that what somebody gave cannot be right.
    pub(crate) fn is_about_input(&self) -> bool {
        let Self::Answer(error) = self else { return false };
        matches!(&**error, types::Error::Permanent(failure) if failure.class == types::FailureClass::Input)
    }

    /// What has to wait, where the failure passes.
    pub(crate) fn scope(&self) -> Option<&types::Scope> {
        match self {
            Self::Answer(error) => match &**error {
                types::Error::Transient(backoff) => Some(&backoff.scope),
                _ => None,
            },
            _ => None,
        }
    }

    /// How long the service asked to be left alone, bounded; 0 where it did not.
    pub(crate) fn retry_after_ms(&self) -> u64 {
        match self {
            Self::Answer(error) => match &**error {
                types::Error::Transient(backoff) => bounded_ms(backoff.retry_after_ms),
                _ => 0,
            },
            _ => 0,
        }
    }

    /// The exit code of a command that fails so.
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            "bad-input" => 2,
            "permanent" => 3,
            "transient" => 4,
            "uncertain" => 5,
            _ => 1,
        }
    }

    /// When the same may be tried again: `after-remedy` once the remedy was applied, `later` by itself (not before
    /// `retry-after-ms`), `after-look` once a person has looked whether it happened.
    fn when(&self) -> &'static str {
        match self.kind() {
            "transient" => "later",
            "uncertain" => "after-look",
            _ => "after-remedy",
        }
    }

    /// The error as JSON: `when`, `repeatable`, `kind`, `code`, `message`, `remedy`, `who`, `class`, `fields`, `status`, `retry-after-ms`.
    pub fn to_json(&self) -> Value {
        let mut json = match self {
            Self::BadInput(problem) | Self::Other(problem) => serde_json::to_value(problem).unwrap_or_default(),
            Self::Answer(error) => contract_json::error(error),
        };
        if let Value::Object(members) = &mut json {
            members.insert("kind".into(), self.kind().into());
            members.insert("when".into(), self.when().into());
            // Of what a connector was asked it says so itself; all other troubles come before anything is sent, or
            // name what to look at first.
            members.entry("repeatable").or_insert_with(|| (self.kind() != "uncertain").into());
            members.entry("who").or_insert_with(|| "operator".into());
            members.entry("message").or_insert_with(|| self.to_string().into());
            members.entry("code").or_insert_with(|| "host.execution-failed".into());
            members.entry("remedy").or_insert_with(|| "Look into the host's log, and try again.".into());
        }
        json
    }
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadInput(problem) | Self::Other(problem) => f.write_str(&problem.message),
            Self::Answer(error) => match failure_of(error) {
                Some(failure) => f.write_str(&failure.message),
                None => f.write_str("no answer came"),
            },
        }
    }
}

impl std::error::Error for HostError {}

/// A remedy with the connection's name in its commands, so that they can be pasted. A connector's may have them too.
pub(super) fn naming(remedy: &str, connection: &str) -> String {
    let commands = ["reauthorize", "replace-credential", "check", "edit"];
    commands.into_iter().fold(remedy.to_owned(), |remedy, command| {
        let command = format!("harness connection {command} ");
        remedy.replace(&format!("{command}NAME"), &format!("{command}{connection}"))
    })
}

/// A failure that the host found at a service.
fn failure(class: types::FailureClass, code: &str, message: String, remedy: &str) -> types::Failure {
    types::Failure {
        class,
        code: format!("host.{code}"),
        message,
        remedy: remedy.to_owned(),
        who: types::Responsible::User,
        repeatable: true,
        fields: vec![],
        status: None,
        request_id: None,
        extra: "{}".into(),
    }
}

/// The failure in an error, where it has one.
pub(crate) fn failure_of(error: &types::Error) -> Option<&types::Failure> {
    match error {
        types::Error::Permanent(failure) | types::Error::PermanentUncertain(failure) => Some(failure),
        types::Error::Transient(backoff) => Some(&backoff.failure),
        types::Error::ExecutionFailed => None,
    }
}

impl From<CallError> for HostError {
    fn from(error: CallError) -> Self {
        Self::Answer(Box::new(error.to_error()))
    }
}

impl From<StoreError> for HostError {
    fn from(error: StoreError) -> Self {
        Self::other("store", error.to_string(), error.remedy())
    }
}

impl From<VaultError> for HostError {
    fn from(error: VaultError) -> Self {
        let message = error.to_string();
        match error {
            VaultError::KeyMissing { .. } => Self::other(
                "key-missing",
                message,
                "Put the file back, or name it with --key-file; without it the connections have to be made anew in another --home.",
            ),
            VaultError::KeyWrong { .. } => {
                Self::other("key-wrong", message, "Put the right file back, or name it with --key-file.")
            }
            VaultError::KeyMalformed { .. } => {
                Self::other("key-malformed", message, "Put the right file back, readable to its owner alone.")
            }
            VaultError::Damaged { .. } => Self::other(
                "secret-damaged",
                message,
                "Set it anew (`harness connection replace-credential` or `reauthorize`), or restore a backup.",
            ),
            VaultError::KeyFile { .. } => {
                Self::other("key-file", message, "Check its rights and those of its folder, then try again.")
            }
            VaultError::Store(error) => error.into(),
        }
    }
}

impl From<CredentialError> for HostError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Vault(error) => error.into(),
            CredentialError::NotAuthorized => Self::bad_input(
                "not-authorized",
                error.to_string(),
                "Authorize it with `harness connection reauthorize NAME`.",
            ),
            other => Self::bad_input(
                "credential",
                other.to_string(),
                "Remove the connection and add it again with what is missing.",
            ),
        }
    }
}

impl From<AuthorizeError> for HostError {
    fn from(error: AuthorizeError) -> Self {
        let message = error.to_string();
        match error {
            AuthorizeError::Credential(error) => error.into(),
            AuthorizeError::Token(error) => error.into(),
            AuthorizeError::Template(_) => Self::bad_input(
                "authorization-address",
                message,
                "Check the address that was typed for the connection; else tell the connector's maintainer.",
            ),
            AuthorizeError::ClientMissing | AuthorizeError::AppFieldMissing(_) | AuthorizeError::Callback(_) => {
                Self::bad_input("client", message, "`harness oauth-client list` shows those that there are.")
            }
            AuthorizeError::NotThisWay(_) => {
                Self::bad_input("authorization-way", message, "Look at the method with `harness inspect COMPONENT`.")
            }
            AuthorizeError::Answer(_) => {
                Self::bad_input("authorization-answer", message, "Begin again, and say yes in the browser.")
            }
            AuthorizeError::Signature(_) => {
                Self::other("signature", message, "Make the OAuth client again with `harness oauth-client add`.")
            }
        }
    }
}

impl From<TokenError> for HostError {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::Dead(_) => Self::refused("authorization-dead", message, "Authorize it anew."),
            TokenError::Client(_) => Self::of_client(
                message,
                "Compare the OAuth client with what is registered at the service: `harness oauth-client list` shows it.",
            ),
            TokenError::Denied(_) => Self::bad_input(
                "token-denied",
                message,
                "Check the address; where it is meant to be one of a private network or plain http, run `harness connection edit NAME --allow-private`.",
            ),
            TokenError::Transient { after, .. } => Self::not_now("token-unavailable", message, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::naming;

    #[test]
    fn the_commands_of_a_remedy_name_the_connection() {
        let named = |remedy: &str| naming(remedy, "demo");
        assert_eq!(named("`harness connection reauthorize NAME`."), "`harness connection reauthorize demo`.");
        assert_eq!(named("harness connection check NAME --release"), "harness connection check demo --release");
        assert_eq!(named("`harness oauth-client show NAME`"), "`harness oauth-client show NAME`", "that is a client");
    }
}
