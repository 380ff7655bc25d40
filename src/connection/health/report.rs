//! The findings as they grow, and the settings with what was found out.

use crate::contract::{Error, FailureClass, Finding, Health, Identity, Origin, Outcome, Responsible};
use crate::jira::client::Client;
use serde_json::Value;

pub(super) struct Report {
    findings: Vec<Finding>,
    pub(super) settings: Value,
}

impl Report {
    pub(super) fn new(settings: &Value) -> Self {
        Self { findings: Vec::new(), settings: settings.clone() }
    }

    pub(super) fn done(self, client: Client<'_>, identity: Option<Identity>, origins: Option<Vec<Origin>>) -> Health {
        Health { findings: self.findings, identity, settings: self.settings, origins, aside: client.into_aside() }
    }

    /// A text of the settings.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.settings.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn keep(&mut self, name: &str, value: Value) {
        if let Some(settings) = self.settings.as_object_mut() {
            settings.insert(name.to_owned(), value);
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        if let Some(settings) = self.settings.as_object_mut() {
            settings.remove(name);
        }
    }

    fn add(&mut self, outcome: Outcome, code: &str, message: impl Into<String>, remedy: &str, who: Responsible) {
        let finding = Finding {
            outcome,
            code: format!("jira.{code}"),
            message: message.into(),
            remedy: remedy.to_owned(),
            who,
            class: None,
        };
        self.findings.push(finding);
    }

    pub(super) fn passed(&mut self, code: &str, message: impl Into<String>) {
        self.add(Outcome::Passed, code, message, "", Responsible::User);
    }

    pub(super) fn warning(&mut self, code: &str, message: impl Into<String>, remedy: &str, who: Responsible) {
        self.add(Outcome::Warning, code, message, remedy, who);
    }

    pub(super) fn unknown(&mut self, code: &str, message: impl Into<String>, remedy: &str, who: Responsible) {
        self.add(Outcome::Unknown, code, message, remedy, who);
    }

    /// Something that does not work.
    pub(super) fn failed(
        &mut self,
        class: FailureClass,
        who: Responsible,
        code: &str,
        message: impl Into<String>,
        remedy: &str,
    ) {
        self.add(Outcome::Failed, code, message, remedy, who);
        if let Some(finding) = self.findings.last_mut() {
            finding.class = Some(class);
        }
    }

    /// Which site of Jira Cloud it is could not be found out today, and may be tomorrow.
    pub(super) fn no_cloud_id(&mut self) {
        let message = "The id that Atlassian gave the site could not be found out: by it the site is known for good, and \
                       reached by Atlassian's gateway.";
        self.unknown("cloud-id-unknown", message, "Try again later.", Responsible::User);
        if let Some(finding) = self.findings.last_mut() {
            finding.class = Some(FailureClass::Unavailable);
        }
    }

    /// What an error says, as a finding of something besides the connection itself. A credential that is suddenly
    /// refused has failed; whatever else went wrong, nothing is known of what was asked.
    pub(super) fn error(&mut self, error: &Error, what: &str) {
        let refused = error.failure().class == FailureClass::Credential;
        self.say(error, if refused { Outcome::Failed } else { Outcome::Unknown }, what);
    }

    /// What an error says, as a finding of what everything depends on: what passes by itself is not known, all else
    /// failed.
    pub(super) fn fatal(&mut self, error: &Error, what: &str) {
        let passes = matches!(error, Error::Transient(_));
        self.say(error, if passes { Outcome::Unknown } else { Outcome::Failed }, what);
    }

    fn say(&mut self, error: &Error, outcome: Outcome, what: &str) {
        let failure = error.failure();
        let remedy = match error {
            Error::Transient(wait) if failure.class == FailureClass::Limit && wait.retry_after_ms > 0 => {
                format!("Try again in {}.", lasting(wait.retry_after_ms))
            }
            _ => failure.remedy.clone(),
        };
        self.findings.push(Finding {
            outcome,
            code: failure.code.clone(),
            message: format!("{what}{}", failure.message),
            remedy,
            who: failure.who,
            class: Some(failure.class),
        });
    }

    /// A private app's dynamic webhooks reach its owner alone, and no answer of Atlassian's says whether it is one.
    pub(super) fn private_app(&mut self) {
        self.unknown(
            "app-distribution",
            "Atlassian does not say whether the app is private: only its owner can authorize a private one, and \
             webhooks that the app registers reach nobody else.",
            "If others are to use it, let the app's owner set its distribution to sharing in the developer console.",
            Responsible::Operator,
        );
    }
}

/// How long a pause is, in words.
fn lasting(ms: u64) -> String {
    match ms.div_ceil(1000) {
        seconds @ 0..=120 => count(seconds, "second", "seconds"),
        seconds => count(seconds.div_ceil(60), "minute", "minutes"),
    }
}

/// A count with its noun.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
