//! Webhooks that an administrator registers: `/rest/webhooks/1.0/webhook`, on Data Center from 10.0 on
//! `/rest/jira-webhook/1.0/webhooks`.
//!
//! Source: Atlassian, "Webhooks" for Jira Cloud, section "Registering a webhook using the REST API". The limit of 100
//! active ones per site since 2024-01-02 is quoted by integration vendors; no page of Atlassian's says whether
//! disabled ones count. They are taken not to.
//!
//! The newer path of Data Center takes another body: `active` for `enabled`, and a `configuration` of texts in which the
//! secret and the rest stand; a `secret` beside it is ignored, and deliveries come unsigned. Sources: jira.js 6, schemas
//! of Data Center's webhooks, and other clients of that path.

use crate::contract::event::ForeignRegistration;
use crate::contract::{Error, Failure, FailureClass, Responsible};
use crate::jira::answer::Answer;
use crate::jira::client::{Ask, Client};
use crate::sorted;
use serde_json::{Value, json};

/// Where they are listed and made.
pub(super) fn path(client: &Client<'_>) -> &'static str {
    if moved(client) { "rest/jira-webhook/1.0/webhooks" } else { "rest/webhooks/1.0/webhook" }
}

fn moved(client: &Client<'_>) -> bool {
    !client.deployment.is_cloud() && client.deployment.since(10, 0)
}

/// The body that makes one, or makes one anew: it reports everything, signed.
pub(super) fn body(client: &Client<'_>, name: &str, url: &str, events: &[String], secret: &str) -> Value {
    if moved(client) {
        return json!({
            "name": name,
            "url": url,
            "events": events,
            "active": true,
            "scopeType": "global",
            "configuration": { "SECRET": secret, "EXCLUDE_BODY": "false" }
        });
    }
    json!({
        "name": name,
        "url": url,
        "events": events,
        "filters": {},
        "excludeBody": false,
        "enabled": true,
        "secret": secret
    })
}

/// How many may be active on a site.
pub(super) const LIMIT: u32 = 100;
/// From how many on a person is warned.
pub(super) const WARN_FROM: u32 = 80;
/// A hook untouched for longer may be one that nobody needs: a year.
const OLD_MS: u64 = 365 * 24 * 3600 * 1000;

/// A webhook as Jira lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) url: String,
    /// In order, each once.
    pub(super) events: Vec<String>,
    pub(super) enabled: bool,
    pub(super) exclude_body: bool,
    pub(super) filtered: bool,
    /// Whether it signs; none where Jira does not say.
    pub(super) signed: Option<bool>,
    pub(super) updated_at_ms: Option<u64>,
}

impl Hook {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = text("self").trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let id = if id.is_empty() {
            value.get("id").map(|id| id.to_string().replace('"', "")).unwrap_or_default()
        } else {
            id
        };
        let events = value.get("events").and_then(Value::as_array).into_iter().flatten();
        let filters = value.get("filters").and_then(Value::as_object);
        let set = |name: &str| {
            let text = value.get("configuration").and_then(|set| set.get(name)).and_then(Value::as_str);
            text.map(str::trim).filter(|text| !text.is_empty())
        };
        let flag = |name: &str| value.get(name).and_then(Value::as_bool);
        (!id.is_empty()).then(|| Self {
            id,
            name: text("name"),
            url: text("url"),
            events: sorted::names(events.filter_map(Value::as_str).map(str::to_owned)),
            enabled: flag("enabled").or_else(|| flag("active")).unwrap_or(true),
            exclude_body: flag("excludeBody").unwrap_or(false) || set("EXCLUDE_BODY") == Some("true"),
            filtered: set("FILTERS").is_some_and(|filters| filters != "{}")
                || filters.is_some_and(|filters| {
                    filters.values().any(|jql| jql.as_str().is_some_and(|jql| !jql.trim().is_empty()))
                }),
            signed: flag("isSigned"),
            updated_at_ms: ["lastUpdated", "updatedDate"].iter().find_map(|name| value.get(name)?.as_u64()),
        })
    }

    /// The host of its URL: the rest may hold a secret.
    fn host(&self) -> String {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_owned()
    }

    /// As somebody else's, with what speaks for removing it.
    pub(super) fn foreign(&self, all: &[Hook], our_host: &str, now_ms: u64) -> ForeignRegistration {
        let doubled =
            all.iter().any(|other| other.id < self.id && other.url == self.url && other.events == self.events);
        let host = self.host();
        let hint = if !self.enabled {
            "It is disabled and does not count."
        } else if doubled {
            "It doubles another: same URL, same events."
        } else if self.name.starts_with("Workflow connector [") && host == our_host {
            "It was registered by a workflow host at our own address, perhaps one that is gone."
        } else if self.updated_at_ms.is_some_and(|at| now_ms.saturating_sub(at) > OLD_MS) {
            "Nobody has touched it for more than a year."
        } else {
            ""
        };
        ForeignRegistration {
            id: self.id.clone(),
            name: self.name.clone(),
            host,
            active: self.enabled,
            updated_at_ms: self.updated_at_ms,
            hint: hint.to_owned(),
        }
    }
}

/// The request that lists them.
pub(crate) fn list(client: &Client<'_>) -> Ask {
    Ask::new("GET", path(client), "webhook")
}

/// Reads the list, or says why it can't be had. 403 and 404 mean a permission that lacks; 401 stays what it is, for a
/// token that was revoked must never look like a missing permission.
pub(super) fn read(answer: Result<Answer, Error>) -> Result<Vec<Hook>, Error> {
    let answer = answer.map_err(|error| match error {
        Error::Permanent(failure) if matches!(failure.class, FailureClass::Permission | FailureClass::NotFound) => {
            not_allowed(failure.status)
        }
        other => other,
    })?;
    // One that cannot be read cannot be counted, and a count that leaves it out would be too low.
    let hooks = answer.value().as_array().and_then(|hooks| hooks.iter().map(Hook::read).collect());
    hooks.ok_or_else(|| {
        let message = "Jira's list of webhooks is not what was due.";
        let remedy = "Try again; if it stays so, report it to the connector's maintainer.";
        Failure::new(FailureClass::Protocol, "answer-invalid", message, remedy).permanent()
    })
}

fn not_allowed(status: Option<u16>) -> Error {
    let message = "The account may not see the site's webhooks.";
    let remedy = "Grant the account the global permission Administer Jira, or connect with an account that has it.";
    let mut failure = Failure::new(FailureClass::Permission, "webhooks-forbidden", message, remedy);
    failure.status = status;
    failure.by(Responsible::ServiceAdmin).permanent()
}

/// Whether Jira refused a webhook because the site has as many as it may have: somebody else took the last place. No
/// page of Atlassian's gives the answer's status or words; it speaks of a limit or a maximum.
pub(super) fn is_full(error: &Error) -> bool {
    let Error::Permanent(failure) = error else { return false };
    let said = failure.message.to_lowercase();
    matches!(failure.status, Some(400 | 403 | 409 | 422))
        && ["maximum", "limit", "too many"].iter().any(|word| said.contains(word))
}

/// How many are active.
pub(super) fn active<'h>(hooks: impl IntoIterator<Item = &'h Hook>) -> u32 {
    u32::try_from(hooks.into_iter().filter(|hook| hook.enabled).count()).unwrap_or(u32::MAX)
}

/// How many are active, how many may be, and from how many on a person is warned.
pub(crate) fn usage(answer: Result<Answer, Error>) -> Result<(u32, u32, u32), Error> {
    Ok((active(&read(answer)?), LIMIT, WARN_FROM))
}
