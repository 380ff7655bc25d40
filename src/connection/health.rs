//! The health report of a connection.

use crate::contract::{Call, Error, FailureClass, Finding, Health, Identity, Outcome, Responsible};
use crate::event::webhook_usage;
use crate::host::Host;
use crate::jira::answer::Answer;
use crate::jira::client::{Ask, Client};
use serde_json::{Value, json};

/// The global permission that admin webhooks need.
const ADMINISTER: &str = "ADMINISTER";

pub(super) fn check(host: &mut dyn Host, call: &Call) -> Result<Health, Error> {
    let mut client = Client::open(host, call)?;
    let mut report = Report { findings: Vec::new(), settings: call.connection.settings.clone() };

    // The identity first and alone: a refused credential must cost one failed login, not five.
    let account = match client.send(&Ask::new("GET", "rest/api/3/myself", "myself")) {
        Ok(answer) => answer.value(),
        Err(error) => {
            report.refused(&client, &error);
            return Ok(report.done(client, None));
        }
    };
    let Some(account_id) = account.get("accountId").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
        report.anonymous();
        return Ok(report.done(client, None));
    };
    report.reachable(&client);

    let asks = [
        Ask::new("GET", "rest/api/3/serverInfo", "serverInfo"),
        Ask::new("GET", "rest/api/3/mypermissions", "mypermissions").query("permissions", ADMINISTER),
        Ask::new("GET", "rest/webhooks/1.0/webhook", "webhook"),
        Ask::new("GET", "_edge/tenant_info", "tenant_info"),
    ];
    let mut answers = client.send_all(&asks).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Ok(Answer::default()));
    let (server, permissions, webhooks, tenant) = (next(), next(), next(), next());

    let tenant = tenant_of(&report.settings, tenant, &client);
    report.deployment(server);
    report.identity(&account, account_id);
    report.administer(permissions);
    report.webhooks(webhooks);
    report.time_zone(&account);
    report.keep("account-id", json!(account_id));
    let name = account.get("displayName").and_then(Value::as_str).unwrap_or(account_id);
    let label = format!("{name} at {}", client.site.authority());
    let identity = match tenant {
        Ok(Tenant::CloudId(tenant)) => {
            report.keep("cloud-id", json!(tenant));
            Some(Identity { tenant, account: account_id.to_owned(), label })
        }
        Ok(Tenant::Address(tenant)) => Some(Identity { tenant, account: account_id.to_owned(), label }),
        Err(error) => {
            report.error(&error, Outcome::Unknown, "Which site this is could not be found out: ");
            None
        }
    };
    Ok(report.done(client, identity))
}

/// What a site is known by for good.
enum Tenant {
    /// The id that Atlassian gave the site.
    CloudId(String),
    /// The site has no such id; its address is all there is.
    Address(String),
}

/// The same answer every time, whatever fails today: limits and locks are kept by it. So an id that was found once
/// stays, and a trouble that passes is not taken for a site without an id.
fn tenant_of(settings: &Value, asked: Result<Answer, Error>, client: &Client<'_>) -> Result<Tenant, Error> {
    if let Some(known) = settings.get("cloud-id").and_then(Value::as_str) {
        return Ok(Tenant::CloudId(known.to_owned()));
    }
    match asked {
        Err(error @ Error::Transient(_)) => Err(error),
        Ok(answer) => match answer.members().string("cloudId") {
            Some(id) => Ok(Tenant::CloudId(id.into_owned())),
            None => Ok(Tenant::Address(client.site.authority().to_owned())),
        },
        Err(_) => Ok(Tenant::Address(client.site.authority().to_owned())),
    }
}

struct Report {
    findings: Vec<Finding>,
    settings: Value,
}

impl Report {
    fn done(self, client: Client<'_>, identity: Option<Identity>) -> Health {
        Health { findings: self.findings, identity, settings: self.settings, aside: client.into_aside() }
    }

    fn keep(&mut self, name: &str, value: Value) {
        if let Some(settings) = self.settings.as_object_mut() {
            settings.insert(name.to_owned(), value);
        }
    }

    fn add(&mut self, outcome: Outcome, code: &str, message: impl Into<String>, remedy: &str, who: Responsible) {
        self.findings.push(Finding {
            outcome,
            code: format!("jira.{code}"),
            message: message.into(),
            remedy: remedy.to_owned(),
            who,
            class: None,
        });
    }

    fn passed(&mut self, code: &str, message: impl Into<String>) {
        self.add(Outcome::Passed, code, message, "", Responsible::User);
    }

    /// What an error says, as a finding: what passes is not known, everything else failed.
    fn error(&mut self, error: &Error, outcome: Outcome, what: &str) {
        let failure = error.failure();
        self.findings.push(Finding {
            outcome,
            code: failure.code.clone(),
            message: format!("{what}{}", failure.message),
            remedy: failure.remedy.clone(),
            who: failure.who,
            class: Some(failure.class),
        });
    }

    fn reachable(&mut self, client: &Client<'_>) {
        self.passed("reachable", format!("Jira answers at {}.", client.site.base()));
    }

    fn refused(&mut self, client: &Client<'_>, error: &Error) {
        let failure = error.failure();
        if failure.status.is_some() && failure.class != FailureClass::Protocol {
            self.reachable(client);
        }
        if failure.class == FailureClass::Protocol && failure.status.is_some_and(|status| (200..300).contains(&status))
        {
            self.anonymous();
            return;
        }
        let unknown = matches!(error, Error::Transient(_));
        self.error(error, if unknown { Outcome::Unknown } else { Outcome::Failed }, "");
    }

    /// An answer that names no account was given to a stranger, whatever its status says.
    fn anonymous(&mut self) {
        self.add(
            Outcome::Failed,
            "credential-refused",
            "Jira answered without saying who we are: the credential was not accepted.",
            "Check the site, the e-mail address and the API token.",
            Responsible::User,
        );
        if let Some(finding) = self.findings.last_mut() {
            finding.class = Some(FailureClass::Credential);
        }
    }

    fn deployment(&mut self, server: Result<Answer, Error>) {
        let info = match server {
            Ok(answer) => answer.value(),
            Err(error) => {
                return self.error(&error, Outcome::Unknown, "Deployment and version could not be found out: ");
            }
        };
        let version = info.get("version").and_then(Value::as_str).unwrap_or("of unknown version").to_owned();
        // The kind decides, not the number: Cloud counts its versions apart.
        match info.get("deploymentType").and_then(Value::as_str) {
            Some("Cloud") => {
                self.keep("deployment", json!("cloud"));
                self.passed("deployment", format!("This is Jira Cloud ({version})."));
            }
            Some(_) => {
                self.keep("deployment", json!("data-center"));
                self.add(
                    Outcome::Failed,
                    "deployment-unsupported",
                    format!("This is Jira Data Center or Server ({version}), which takes no API token of Jira Cloud."),
                    "Connect to a site of Jira Cloud.",
                    Responsible::User,
                );
                if let Some(finding) = self.findings.last_mut() {
                    finding.class = Some(FailureClass::Input);
                }
            }
            None => self.add(
                Outcome::Unknown,
                "deployment-unknown",
                "Jira does not say which kind it is.",
                "Check that the address leads to Jira itself.",
                Responsible::User,
            ),
        }
        if let Some(version) = info.get("version").filter(|version| version.is_string()) {
            self.keep("version", version.clone());
        }
    }

    fn identity(&mut self, account: &Value, account_id: &str) {
        let text = |name: &str| account.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = if text("displayName").is_empty() { account_id } else { text("displayName") };
        let typed = self.settings.get("email").and_then(Value::as_str).unwrap_or_default().to_owned();
        let seen = text("emailAddress");
        if !seen.is_empty() && !seen.eq_ignore_ascii_case(&typed) {
            self.add(
                Outcome::Warning,
                "identity-differs",
                format!(
                    "The token works, but it belongs to {name}, whose e-mail address is another than the given one."
                ),
                "Check that this is the account you mean.",
                Responsible::User,
            );
        } else {
            self.passed("identity", format!("Connected as {name}."));
        }
    }

    fn administer(&mut self, permissions: Result<Answer, Error>) {
        let body = match permissions {
            Ok(answer) => answer.value(),
            Err(error) => {
                return self.error(&error, Outcome::Unknown, "Whether the account administers Jira is not known: ");
            }
        };
        match body.pointer("/permissions/ADMINISTER/havePermission").and_then(Value::as_bool) {
            Some(true) => {
                self.keep("administers", json!(true));
                self.passed("administer", "The account may administer Jira, as event cards need.");
            }
            Some(false) => {
                self.keep("administers", json!(false));
                self.add(
                    Outcome::Warning,
                    "administer-missing",
                    "The account may not administer Jira: action cards work, event cards will not.",
                    "Grant the account the global permission Administer Jira, or connect with an account that has it.",
                    Responsible::ServiceAdmin,
                );
            }
            None => self.add(
                Outcome::Unknown,
                "administer-unknown",
                "Whether the account administers Jira is not known: Jira's answer does not say.",
                "Try again later.",
                Responsible::User,
            ),
        }
    }

    fn webhooks(&mut self, answer: Result<Answer, Error>) {
        match webhook_usage(answer) {
            Ok((used, limit, warn_from)) => {
                let message = format!("{used} of {limit} active webhooks of the site are used.");
                if used >= warn_from {
                    let remedy = "Remove webhooks that nobody needs, before none can be added.";
                    self.add(Outcome::Warning, "webhooks-near-limit", message, remedy, Responsible::ServiceAdmin);
                } else {
                    self.passed("webhooks", message);
                }
            }
            Err(error) => {
                self.error(&error, Outcome::Unknown, "How many webhooks are used could not be counted: ");
            }
        }
    }

    fn time_zone(&mut self, account: &Value) {
        if let Some(zone) = account.get("timeZone").and_then(Value::as_str) {
            self.keep("time-zone", json!(zone));
            self.passed("time-zone", format!("The account's time zone is {zone}."));
        }
    }
}

#[cfg(test)]
mod tests;
