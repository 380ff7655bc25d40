//! Health reports: made, kept, and what has newly become worse since the last one.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::error::naming;
use super::narrowing::narrowed;
use super::{Host, HostError, Session, off_thread};
use crate::authorize::{Scheme, kept};
use crate::clock::EpochMs;
use crate::legible::one_line;
use crate::plugin::contract::{connection as contract, types};
use crate::plugin::contract_json;
use crate::store::{Alarm, StoredConnection, StoredIdentity, StoredOrigin};

/// The code of alarms about what will go wrong with a connection unless somebody does something.
const WARNS: &str = "host.connection-warns";
/// How long before its end somebody is told of an authorization that no service renews.
const ENDS_SOON_MS: u64 = 30 * 24 * 3600 * 1000;
/// The code of alarms about what goes wrong with a connection.
const FAILS: &str = "host.connection-fails";

/// The health of a connection.
#[derive(Debug)]
pub struct Checked {
    /// What was found.
    pub findings: Vec<Value>,
    /// Whose it is.
    pub identity: Option<StoredIdentity>,
    /// Whether nothing failed and the identity is proved.
    pub proven: bool,
    /// Whether all that failed may pass by itself.
    pub transient: bool,
    /// Whether another tenant answers than the one that the connection was made for.
    pub moved: bool,
    /// The origins that are enough from now on, where they are narrower than those that are pinned.
    pub(super) origins: Option<Vec<StoredOrigin>>,
}

impl Checked {
    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "proven": self.proven, "identity": self.identity, "findings": self.findings })
    }

    /// The health report's failure as an error, for those who read JSON.
    pub fn failure(&self, name: &str) -> Option<HostError> {
        (!self.proven).then(|| self.first_failure(name))
    }

    /// What stands in its way first.
    pub(super) fn first_failure(&self, name: &str) -> HostError {
        let first = self.findings.iter().find(|one| ["failed", "unknown"].iter().any(|bad| one["outcome"] == *bad));
        let part = |name: &str| first.and_then(|one| one[name].as_str()).unwrap_or_default().to_owned();
        let class = match part("class").as_str() {
            "credential" => types::FailureClass::Credential,
            "scope" => types::FailureClass::Scope,
            "permission" => types::FailureClass::Permission,
            "input" => types::FailureClass::Input,
            "not-found" => types::FailureClass::NotFound,
            "unavailable" => types::FailureClass::Unavailable,
            "limit" => types::FailureClass::Limit,
            "conflict" => types::FailureClass::Conflict,
            _ => types::FailureClass::Protocol,
        };
        let message = match first {
            Some(_) => part("message"),
            None => format!("it could not be proved whose connection `{name}` is"),
        };
        let failure = types::Failure {
            class,
            code: if part("code").is_empty() { "host.connection-unproven".into() } else { part("code") },
            message,
            remedy: part("remedy"),
            who: match part("who").as_str() {
                "service-admin" => types::Responsible::ServiceAdmin,
                "operator" => types::Responsible::Operator,
                "developer" => types::Responsible::Developer,
                _ => types::Responsible::User,
            },
            repeatable: true,
            fields: vec![],
            status: None,
            request_id: None,
            extra: "{}".into(),
        };
        let error = match self.transient {
            true => types::Error::Transient(types::Backoff { failure, retry_after_ms: 0, scope: types::Scope::Tenant }),
            false => types::Error::Permanent(failure),
        };
        HostError::Answer(Box::new(error))
    }

    fn of(health: &contract::Health, known: Option<&StoredIdentity>, pinned: &[StoredOrigin]) -> Self {
        let identity = health.identity.as_ref().map(|identity| StoredIdentity {
            tenant: identity.tenant.clone(),
            account: identity.account.clone(),
            label: identity.label.clone(),
        });
        let mut findings = match contract_json::health(health)["findings"].take() {
            Value::Array(findings) => findings,
            _ => vec![],
        };
        let other = known.zip(identity.as_ref()).filter(|(known, found)| known.tenant != found.tenant);
        let moved = other.is_some();
        if let Some((known, found)) = other {
            findings.insert(0, moved_finding(known, found));
        }
        let bad: Vec<&Value> = findings.iter().filter(|finding| finding["outcome"] == "failed").collect();
        let unavailable = |finding: &Value| finding["class"] == "unavailable" || finding["class"] == "limit";
        let proven = bad.is_empty() && identity.is_some();
        let transient = !proven
            && bad.iter().all(|finding| unavailable(finding))
            && findings.iter().any(|finding| {
                ["failed", "unknown"].iter().any(|it| finding["outcome"] == *it) && unavailable(finding)
            });
        let another = known.zip(identity.as_ref()).filter(|(known, found)| !moved && known.account != found.account);
        if let Some((known, found)) = another {
            findings.push(another_finding(known, found));
        }
        let identity = identity.filter(|_| !moved);
        let offered = health.origins.as_ref().filter(|_| identity.is_some());
        let origins = offered.and_then(|offered| narrowed(pinned, offered));
        Self { findings, identity, proven, transient, moved, origins }
    }
}

/// What is done in a person's name is that person's to know.
fn another_finding(known: &StoredIdentity, found: &StoredIdentity) -> Value {
    json!({
        "outcome": "warning",
        "code": "host.other-account",
        "message": format!(
            "It acts in the name of another account than before: it was `{}`'s and is `{}`'s now.",
            one_line(&known.label), one_line(&found.label)
        ),
        "remedy": "If that is not meant to be so, give it the credential of the right account again.",
        "who": "user",
        "class": "credential",
    })
}

/// A grant that cannot be renewed ends with its access token, and nobody would know.
fn ending_finding(name: &str, until: EpochMs, renewable: bool, now: EpochMs) -> Value {
    // Later years have no such form.
    let at = UNIX_EPOCH + Duration::from_millis(until.min(253_402_300_799_000));
    if !renewable {
        let soon = until.saturating_sub(now) <= ENDS_SOON_MS;
        return json!({
            "outcome": if soon { "warning" } else { "passed" },
            "code": "host.grant-ends",
            "message": format!("The authorization ends at {}.", humantime::format_rfc3339_seconds(at)),
            "remedy": match soon {
                true => format!("Say yes once more before that: `harness connection reauthorize {name}`."),
                false => String::new(),
            },
            "who": "user",
            "class": "credential",
        });
    }
    json!({
        "outcome": "warning",
        "code": "host.grant-ends",
        "message": format!(
            "The service gave nothing to renew the authorization with: it ends at {}.",
            humantime::format_rfc3339_seconds(at)
        ),
        "remedy": format!(
            "Let the app ask for lasting access at the service, then run `harness connection reauthorize {name}`; else \
             run that whenever it has ended."
        ),
        "who": "operator",
        "class": "credential",
    })
}

/// What was kept for one tenant must not be taken for another's: its registrations, its events, its runs.
fn moved_finding(known: &StoredIdentity, found: &StoredIdentity) -> Value {
    json!({
        "outcome": "failed",
        "code": "host.other-tenant",
        "message": format!(
            "What answers is another place than the connection was made for: it was `{}` and is `{}` now.",
            known.label, found.label
        ),
        "remedy": "Make a new connection for it with `harness connection add`, or put the address back.",
        "who": "user",
        "class": "input",
    })
}

impl Host {
    /// Makes a health report and keeps it. With `release`, a hold of the lockout guard is lifted first: a person has
    /// put right what was wrong.
    pub async fn check_connection(&self, name: &str, release: bool) -> Result<Checked, HostError> {
        let mut session = self.session_of(name).await?;
        if self.lacks_site(name)? {
            return Err(HostError::bad_input(
                "site-open",
                format!("it is not said yet which site `{name}` is for"),
                format!("Choose it with `harness connection reauthorize {name} --site URL`."),
            ));
        }
        if release {
            off_thread(|| self.guard.release(&session.account))?;
            off_thread(|| self.store.resume_grant(&session.connection.credential))?;
            self.let_held_go_on()?;
            // The one of before knows the pause.
            self.sessions.forget(name, &session.connection.id);
            session = self.session_of(name).await?;
        }
        self.refuse_held_back(&session)?;
        self.doing(format!("checking `{name}`"));
        let told = |report: &Value| report["told"].clone();
        let before = session.connection.health.as_ref().map(told);
        match self.health_of(&session).await {
            Ok((checked, settings)) => {
                let told = told_after(before.as_ref(), &checked.findings).0;
                self.keep_health(&session, &checked, &settings, told)?;
                Ok(checked)
            }
            Err(error) => {
                self.keep_no_health(&session.connection, &error, before.unwrap_or_default())?;
                Err(error)
            }
        }
    }

    /// For how long the service wants to be left alone, all of it: what it says then tells nothing of the connection.
    fn held_back(&self, session: &Session) -> Result<Option<u64>, HostError> {
        let held = self.call(session, None)?.held;
        let whole = held.iter().filter(|hold| matches!(hold.scope, types::Scope::Tenant | types::Scope::App));
        Ok(whole.map(|hold| hold.for_ms).max())
    }

    fn refuse_held_back(&self, session: &Session) -> Result<(), HostError> {
        let Some(left) = self.held_back(session)? else { return Ok(()) };
        let message = format!(
            "the service asked to be left alone: `{}` is not checked before that is over",
            session.connection.name
        );
        Err(HostError::not_now("held-back", message, Some(Duration::from_millis(left))))
    }

    /// Checks a connection that nobody looks at now: what has newly become worse is told once, as an alarm. None where
    /// there is nothing to check: it was never authorized, or not for a site, or has to be anew, and somebody was told;
    /// or its service wants to be left alone.
    pub(crate) async fn look_after(&self, name: &str) -> Result<Option<Checked>, HostError> {
        if self.lacks_authorization(name).await? || self.lacks_site(name)? {
            return Ok(None);
        }
        let connection = self.connection(name)?;
        let before = connection.health.as_ref().map(|report| report["told"].clone());
        let outcome = match self.session_of(name).await {
            Ok(session) if self.held_back(&session)?.is_some() => return Ok(None),
            Ok(session) => self.health_of(&session).await.map(|found| (session, found)),
            Err(error) => Err(error),
        };
        let (session, (checked, settings)) = match outcome {
            Ok(found) => found,
            Err(error) => {
                let (told, news) = told_after(before.as_ref(), &[finding_of(&error)]);
                self.keep_no_health(&connection, &error, told)?;
                self.tell(&connection, &news)?;
                return Err(error);
            }
        };
        let (told, news) = told_after(before.as_ref(), &checked.findings);
        self.keep_health(&session, &checked, &settings, told)?;
        self.tell(&connection, &news)?;
        Ok(Some(checked))
    }

    /// Asks the connector how the connection is; keeps nothing of the answer but notices.
    pub(super) async fn health_of(&self, session: &Session) -> Result<(Checked, String), HostError> {
        self.health_as(session, session.connection.identity.as_ref()).await
    }

    /// The same, held against whose it was.
    pub(super) async fn health_as(
        &self,
        session: &Session,
        known: Option<&StoredIdentity>,
    ) -> Result<(Checked, String), HostError> {
        let mut call = self.call(session, None)?;
        let health = session.plugin.check(&session.access, &call).await;
        let mut health = self.settle(session, health, |health| &health.aside)?;
        let stored = off_thread(|| self.store.credential(&session.connection.credential))?;
        let granted = stored.and_then(|stored| stored.scopes);
        if granted.is_some() && granted != call.granted_scopes {
            // Tokens came for this very check, the first of a service account's perhaps: only they say what is granted.
            call.granted_scopes = granted;
            let again = session.plugin.check(&session.access, &call).await;
            health = self.settle(session, again, |health| &health.aside)?;
        }
        for finding in &mut health.findings {
            finding.remedy = naming(&finding.remedy, &session.connection.name);
        }
        let mut checked = Checked::of(&health, known, &session.connection.origins);
        if let Some((until, renewable)) = self.ends_at(session)? {
            checked.findings.push(ending_finding(&session.connection.name, until, renewable, self.clock.now_ms()));
        }
        let settings = match serde_json::from_str::<Value>(&health.settings) {
            Ok(after @ Value::Object(_)) if !checked.moved && !renews_elsewhere(session, &after) => health.settings,
            _ => session.connection.settings.clone(),
        };
        Ok((checked, settings))
    }

    /// When the grant of a person ends that cannot be renewed, and whether its service has grants that can be.
    fn ends_at(&self, session: &Session) -> Result<Option<(EpochMs, bool)>, HostError> {
        let id = &session.connection.credential;
        let method = session.plugin.manifest().auth_method(&session.connection.method);
        let Some(method) = method.filter(|method| method.scheme.is_authorized_by_a_person()) else { return Ok(None) };
        let renewable = !matches!(method.scheme, Scheme::Oauth1(_));
        off_thread(|| {
            let until = self.store.credential(id)?.and_then(|stored| stored.access_until_ms);
            let lasts = kept(&self.vault, id)?.is_none_or(|tokens| tokens.refresh.is_some());
            Ok(until.filter(|_| !lasts).map(|until| (until, renewable)))
        })
    }

    pub(super) fn keep_health(
        &self,
        session: &Session,
        checked: &Checked,
        settings: &str,
        told: Value,
    ) -> Result<(), HostError> {
        let connection = &session.connection;
        let now = self.clock.now_ms();
        let report = with_standing(checked.to_json(), told, now);
        let (identity, proven) = (checked.identity.as_ref(), checked.proven);
        let kept = off_thread(|| self.store.save_health(connection, settings, identity, &report, proven, now))?;
        if !kept {
            tracing::warn!(connection = connection.name, "it was changed during its check, whose report is not kept");
        }
        if let Some(origins) = checked.origins.as_ref().filter(|origins| kept && **origins != connection.origins) {
            off_thread(|| self.store.replace_origins(&connection.id, &connection.origins, origins))?;
        }
        self.sessions.forget(&connection.name, &connection.id);
        Ok(())
    }

    /// Keeps that no report could be made.
    fn keep_no_health(&self, connection: &StoredConnection, error: &HostError, told: Value) -> Result<(), HostError> {
        let now = self.clock.now_ms();
        let report = with_standing(json!({ "proven": false, "error": error.to_json() }), told, now);
        off_thread(|| self.store.save_no_health(connection, &report, now))?;
        self.sessions.forget(&connection.name, &connection.id);
        Ok(())
    }

    fn tell(&self, connection: &StoredConnection, news: &[Value]) -> Result<(), HostError> {
        for finding in news {
            let text = |name: &str| finding[name].as_str().unwrap_or_default();
            let (message, remedy, code) = (text("message"), text("remedy"), text("code"));
            tracing::warn!(connection = connection.name, code, remedy, "{message}");
            let alarm = Alarm {
                at_ms: self.clock.now_ms(),
                connection: Some(connection.id.clone()),
                code: if finding["outcome"] == "warning" { WARNS } else { FAILS }.into(),
                message: format!("`{}`: {message} {remedy} ({code})", connection.name),
            };
            off_thread(|| self.store.raise(&alarm))?;
        }
        Ok(())
    }

    /// Takes back what was told of these connections: a person has put it right.
    pub(super) fn clear_health_alarms(&self, connections: &[StoredConnection]) -> Result<(), HostError> {
        let ids: Vec<&str> = connections.iter().map(|one| one.id.as_str()).collect();
        off_thread(|| self.store.clear_alarms(&ids, &[WARNS, FAILS, "host.grant-dead", "host.grant-not-renewed"]))?;
        Ok(())
    }
}

/// Whether tokens would not be renewed where they were got with what a check found out: that is for no answer of a
/// service to say.
fn renews_elsewhere(session: &Session, after: &Value) -> bool {
    let connection = &session.connection;
    let before = serde_json::from_str(&connection.settings).unwrap_or_default();
    let method = session.plugin.manifest().auth_method(&connection.method);
    let elsewhere = method.is_some_and(|method| method.scheme.is_elsewhere(&before, after));
    if elsewhere {
        tracing::warn!(
            connection = connection.name,
            "the connector wants to renew tokens at another address than before: its new settings are not kept; report \
             this to its maintainer"
        );
    }
    elsewhere
}

/// A report with what is kept beside it: when it was made, and what somebody was told already.
fn with_standing(mut report: Value, told: Value, now: EpochMs) -> Value {
    report["checked-at-ms"] = now.into();
    report["told"] = told;
    report
}

/// A failure to make a report, as a finding.
fn finding_of(error: &HostError) -> Value {
    let mut finding = error.to_json();
    let passes = error.scope().is_some() || error.kind() == "other";
    finding["outcome"] = if passes && !error.is_held_account() { "unknown" } else { "failed" }.into();
    finding
}

/// What somebody knows by now, as codes with `warning` or `failed`, and the findings that are worse than that. What
/// could not be found out changes nothing: neither is it news, nor does it make what was known news again.
fn told_after(before: Option<&Value>, findings: &[Value]) -> (Value, Vec<Value>) {
    let mut told: Map<String, Value> = before.and_then(Value::as_object).cloned().unwrap_or_default();
    let badness = |outcome: Option<&Value>| match outcome.and_then(Value::as_str) {
        Some("failed") => 2,
        Some("warning") => 1,
        _ => 0,
    };
    let mut news: Vec<Value> = Vec::new();
    // Several findings may have one code: the worst counts.
    let mut worst: Vec<(&str, &Value)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding["outcome"] != "unknown") {
        let code = finding["code"].as_str().unwrap_or_default();
        match worst.iter_mut().find(|(known, _)| *known == code) {
            None => worst.push((code, finding)),
            Some((_, known)) if badness(known.get("outcome")) < badness(finding.get("outcome")) => *known = finding,
            Some(_) => {}
        }
    }
    for (code, finding) in worst {
        let now = badness(finding.get("outcome"));
        if now > badness(told.get(code)) {
            news.push(finding.clone());
        }
        match now {
            0 => drop(told.remove(code)),
            _ => drop(told.insert(code.to_owned(), finding["outcome"].clone())),
        }
    }
    (Value::Object(told), news)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_service_renews_is_fine_until_a_month_before_its_end() {
        let day = 24 * 3600 * 1000;
        let found = |left: u64, renewable| ending_finding("demo", 100 * day + left, renewable, 100 * day);
        assert_eq!(found(31 * day, false)["outcome"], "passed");
        let soon = found(29 * day, false);
        assert_eq!((&soon["outcome"], &soon["who"]), (&json!("warning"), &json!("user")));
        assert!(soon["remedy"].as_str().is_some_and(|remedy| remedy.contains("reauthorize demo")), "{soon:#}");
        assert_eq!(found(31 * day, true)["outcome"], "warning", "it could have been one that lasts");
    }

    fn finding(code: &str, outcome: &str) -> Value {
        json!({"code": code, "outcome": outcome})
    }

    fn codes(news: &[Value]) -> Vec<&str> {
        news.iter().filter_map(|one| one["code"].as_str()).collect()
    }

    #[test]
    fn what_became_worse_is_news_once() {
        let (told, news) = told_after(None, &[finding("a", "passed"), finding("b", "warning")]);
        assert_eq!(codes(&news), ["b"]);
        let (told, news) = told_after(Some(&told), &[finding("a", "passed"), finding("b", "warning")]);
        assert!(news.is_empty());
        let (told, news) = told_after(Some(&told), &[finding("a", "failed"), finding("b", "failed")]);
        assert_eq!(codes(&news), ["a", "b"]);
        let (told, news) = told_after(Some(&told), &[finding("a", "warning"), finding("b", "passed")]);
        assert!(news.is_empty(), "better is no news");
        let (_, news) = told_after(Some(&told), &[finding("b", "warning")]);
        assert_eq!(codes(&news), ["b"], "it had passed in between");
    }

    #[test]
    fn what_could_not_be_found_out_is_no_news_and_makes_none() {
        let (told, _) = told_after(None, &[finding("a", "failed")]);
        let (told, news) = told_after(Some(&told), &[finding("a", "unknown"), finding("b", "unknown")]);
        assert!(news.is_empty());
        assert!(told_after(Some(&told), &[finding("a", "failed")]).1.is_empty());
    }

    #[test]
    fn of_findings_with_one_code_the_worst_counts() {
        let both = [finding("a", "failed"), finding("a", "passed")];
        let (told, news) = told_after(None, &both);
        assert_eq!(news.len(), 1);
        assert!(told_after(Some(&told), &both).1.is_empty());
    }
}
