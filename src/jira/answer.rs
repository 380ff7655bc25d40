//! What an answer means: a result, or one of the errors an engine can act on.

use super::client::{Ask, Door, Effect};
use super::site::Site;
use super::{refusal, wait};
use crate::contract::{Error, Failure, FailureClass, Responsible, Scope};
use crate::host::{Response, SendError};
use crate::json::{self, Members, Outline, Part};
use serde_json::{Value, json};

/// What to do after a CAPTCHA was solved.
const RELEASE: &str = "then let the connection go on: harness connection check NAME --release";

/// A request that did what was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The HTTP status, 2xx.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, which is JSON; empty where there was none.
    pub(crate) body: String,
    /// Where the values of the body are.
    outline: Outline,
}

impl Answer {
    /// The body taken apart; null where there was none.
    pub(crate) fn value(&self) -> Value {
        json::value(&self.body)
    }

    /// The body as it came; null where there was none.
    pub(crate) fn raw(&self) -> &str {
        if self.body.is_empty() { "null" } else { &self.body }
    }

    /// The members of the body; none where it is no object.
    pub(crate) fn members(&self) -> Members<'_> {
        Part::of(&self.body, &self.outline).members().unwrap_or_default()
    }

    /// An answer to a read that says it is one and holds not what was due: never an empty result. `message` says what
    /// lacks.
    pub(crate) fn invalid(&self, message: &str) -> Error {
        let remedy = "Try again; if it stays so, report it to the connector's maintainer.";
        let mut failure = Failure::new(FailureClass::Protocol, "answer-invalid", message, remedy);
        failure.status = Some(self.status);
        failure.request_id = request_id(|name| {
            let (_, value) = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
            Some(value.as_str())
        });
        failure.permanent()
    }
}

/// What Atlassian's support knows a request by.
fn request_id<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<String> {
    header("atl-traceid").or_else(|| header("x-arequestid")).map(str::to_owned)
}

/// A member that has to be a text that is not empty: an id, a key, a name.
pub(crate) fn named<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member)?.as_str().filter(|text| !text.is_empty())
}

/// Reads the answer to a request, or why there is none.
pub(crate) fn interpret(ask: &Ask, answer: Result<Response, SendError>, now_ms: u64) -> Result<Answer, Error> {
    let response = answer.map_err(|fault| lost(ask, &fault))?;
    let request_id = request_id(|name| response.header(name));
    judge(ask, response, now_ms).map_err(|error| with_request_id(error, request_id))
}

fn judge(ask: &Ask, response: Response, now_ms: u64) -> Result<Answer, Error> {
    if let Some(failure) = login_refused(ask, &response) {
        // A write that went through was done by nobody we know: not by this account.
        let done = (200..300).contains(&response.status) && ask.effect != Effect::Read;
        return Err(if done { failure.uncertain() } else { failure.permanent() });
    }
    match response.status {
        200..=299 => read_body(ask, response),
        300..=399 => Err(redirected(&response)),
        429 => {
            let failure =
                status(&response, FailureClass::Limit, "rate-limited", "Jira asks for a pause.", "Wait and try again.");
            let wait = wait::asked(&response, now_ms).unwrap_or(wait::DEFAULT_MS);
            Err(failure.transient(wait, wait::scope(&response, &ask.endpoint, ask.object.as_deref())))
        }
        408 | 425 | 500..=599 => Err(broken(ask, &response, now_ms)),
        _ => Err(refusal::read(ask, &response).permanent()),
    }
}

fn status(response: &Response, class: FailureClass, code: &str, message: impl Into<String>, remedy: &str) -> Failure {
    let mut failure = Failure::new(class, code, message, remedy);
    failure.status = Some(response.status);
    failure
}

fn with_request_id(mut error: Error, request_id: Option<String>) -> Error {
    match &mut error {
        Error::Permanent(failure) | Error::PermanentUncertain(failure) => failure.request_id = request_id,
        Error::Transient(backoff) => backoff.failure.request_id = request_id,
    }
    error
}

/// Jira says in headers, with any status, that it did not accept who asks: it then answers as to a stranger. Data
/// Center names in each answer whom it took the caller for.
fn login_refused(ask: &Ask, response: &Response) -> Option<Failure> {
    if ask.door == Door::Stranger {
        return None;
    }
    let reasons: Vec<String> = response.header_values("x-seraph-loginreason").map(str::to_ascii_uppercase).collect();
    let denied = response.header("x-authentication-denied-reason").unwrap_or_default().to_ascii_uppercase();
    let says = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    if denied.contains("CAPTCHA") || says("AUTHENTICATION_DENIED") {
        let message = "Jira refuses to look at the credential until a person has logged in with a browser (CAPTCHA).";
        let remedy = format!("Log in to Jira once in a browser, {RELEASE}.");
        let mut failure = status(response, FailureClass::Credential, "captcha-required", message, &remedy);
        let said = response.header("x-authentication-denied-reason").unwrap_or_default();
        if let Some((_, login)) = said.split_once("login-url=") {
            failure.extra = json!({ "login-url": login.split([';', ' ']).next().unwrap_or_default() });
        }
        return Some(failure);
    }
    let stranger = response.header("x-ausername").is_some_and(|name| name.eq_ignore_ascii_case("anonymous"));
    if says("AUTHENTICATED_FAILED") || (stranger && response.status < 300) {
        let message = "Jira did not accept the credential and answered as to a stranger.";
        let remedy = "Check the credential, or make a new one and enter it.";
        return Some(status(response, FailureClass::Credential, "credential-refused", message, remedy));
    }
    None
}

/// Names the place where a person logs in, where Jira said one that is on the site itself: any other could be a trap.
pub(crate) fn with_login(mut error: Error, site: &Site) -> Error {
    let Error::Permanent(failure) = &mut error else { return error };
    let Some(login) = failure.extra.get("login-url").and_then(Value::as_str) else { return error };
    if login.starts_with(site.base()) && login.bytes().all(|byte| byte.is_ascii_graphic()) {
        failure.remedy = format!("Log in to Jira once at {login}, {RELEASE}.");
    } else {
        failure.extra = json!({});
    }
    error
}

fn read_body(ask: &Ask, response: Response) -> Result<Answer, Error> {
    let Response { status: code, headers, body } = response;
    if body.is_empty() {
        return Ok(Answer { status: code, headers, ..Answer::default() });
    }
    let (body, cut) = match String::from_utf8(body) {
        Ok(body) => match json::outline(&body) {
            Ok(outline) => return Ok(Answer { status: code, headers, body, outline }),
            Err(fault) => (body.into_bytes(), fault.is_eof()),
        },
        Err(fault) => (fault.into_bytes(), false),
    };
    let response = Response { status: code, headers, body };
    let again = "Try again; if it stays so, look at what stands between the host and Jira.";
    let (class, failure) = if refusal::is_html(&response) {
        let page = refusal::page(code, &String::from_utf8_lossy(&response.body));
        let class = FailureClass::Protocol;
        (class, status(&response, class, page.code, page.message, page.remedy).by(page.who))
    } else {
        let (class, name, message) = match cut {
            true => (FailureClass::Unavailable, "answer-truncated", "Jira's answer broke off in the middle."),
            false => (FailureClass::Protocol, "answer-invalid", "Jira's answer is not the JSON that was due."),
        };
        (class, status(&response, class, name, message, again).by(Responsible::Operator))
    };
    Err(match (ask.effect, class) {
        (Effect::Read, FailureClass::Unavailable) => failure.transient(wait::DEFAULT_MS, endpoint(ask)),
        (Effect::Read, _) => failure.permanent(),
        _ => unsure(ask, failure),
    })
}

fn redirected(response: &Response) -> Error {
    let place = response.header("location").unwrap_or_default();
    let host = place.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#', '@']).next().unwrap_or(""));
    let message = if host.is_empty() || host.len() > 253 {
        "Jira answered with a redirect, and redirects are not followed.".to_owned()
    } else {
        format!("Jira answered with a redirect to {host}, and redirects are not followed.")
    };
    let remedy = "Make the connection anew with the address that Jira really has.";
    status(response, FailureClass::Protocol, "redirected", message, remedy).by(Responsible::User).permanent()
}

fn broken(ask: &Ask, response: &Response, now_ms: u64) -> Error {
    let message = format!("Jira had a fault of its own (status {}).", response.status);
    let failure = status(response, FailureClass::Unavailable, "server-fault", message, "Try again later.");
    let failure = failure.by(Responsible::ServiceAdmin);
    if ask.effect == Effect::Read {
        failure.transient(wait::asked(response, now_ms).unwrap_or(wait::DEFAULT_MS), endpoint(ask))
    } else {
        unsure(ask, failure)
    }
}

/// A write whose outcome is not known.
fn unsure(ask: &Ask, mut failure: Failure) -> Error {
    failure.message.push_str(" Whether the change was made is not known.");
    failure.remedy = "Look in Jira whether the change is there before it is made again.".to_owned();
    failure.who = Responsible::User;
    let repeatable = ask.effect == Effect::Overwrite;
    match failure.uncertain() {
        Error::PermanentUncertain(mut failure) => {
            failure.repeatable = repeatable;
            Error::PermanentUncertain(failure)
        }
        other => other,
    }
}

fn endpoint(ask: &Ask) -> Scope {
    Scope::Endpoint(ask.endpoint.clone())
}

fn lost(ask: &Ask, fault: &SendError) -> Error {
    let failure = |class, code: &str, message: String, remedy: &str| Failure::new(class, code, message, remedy);
    let unavailable = FailureClass::Unavailable;
    let message = format!("Jira could not be asked: {fault}.");
    match fault {
        SendError::Invalid(_) => {
            failure(FailureClass::Protocol, "request-invalid", message, "Report this to the connector's maintainer.")
                .permanent()
        }
        SendError::Denied => {
            let remedy = "Ask the operator whether the address is allowed, and look at the host's log for the reason.";
            failure(unavailable, "egress-denied", message, remedy).permanent()
        }
        SendError::Tls => {
            let remedy = "Check the site's certificate: one of a company's own authority has to be trusted for this \
                          connection (--ca FILE), and a Jira without encryption has an address that begins with http://.";
            failure(unavailable, "tls-failed", message, remedy).permanent()
        }
        SendError::Dns => {
            let remedy = "Check the site's address, and the host's name resolution.";
            failure(unavailable, "unreachable", message, remedy).transient(0, Scope::Tenant)
        }
        SendError::Refused => failure(unavailable, "unreachable", message, "Check that Jira runs, and try again.")
            .transient(0, Scope::Tenant),
        SendError::NoTime => {
            let remedy = "Try again; if it stays so, give the call more time.";
            failure(unavailable, "no-time-left", message, remedy).transient(0, endpoint(ask))
        }
        SendError::TooLarge { status } => {
            let mut failure =
                failure(FailureClass::Limit, "answer-too-large", message, "Ask for less: fewer fields, smaller pages.");
            failure.status = *status;
            failure.who = Responsible::User;
            if ask.effect == Effect::Read { failure.permanent() } else { unsure(ask, failure) }
        }
        SendError::TimedOut | SendError::Broken(_) | SendError::Truncated { .. } => {
            let code = match fault {
                SendError::TimedOut => "timed-out",
                SendError::Truncated { .. } => "answer-truncated",
                _ => "connection-broken",
            };
            let failure = failure(unavailable, code, message, "Try again.");
            if ask.effect == Effect::Read { failure.transient(0, endpoint(ask)) } else { unsure(ask, failure) }
        }
    }
}

#[cfg(test)]
mod tests;
