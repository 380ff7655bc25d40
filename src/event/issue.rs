//! What the issue events share: payload, filter, and how both read a webhook's body.

use crate::action::{Page, issue_choices};
use crate::catalog::no_options;
use crate::contract::{ChoiceQuery, Error};
use crate::jira::client::Client;
use crate::jira::timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Which issues are meant. Each list left out, or empty, means all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct IssueFilter {
    /// Projects by key (DEMO) or id.
    #[schemars(title = "Projects")]
    pub(crate) projects: Vec<String>,
    /// Issue types by name (Bug) or id.
    #[schemars(title = "Issue types")]
    pub(crate) issue_types: Vec<String>,
}

/// What happened to an issue.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct IssueEvent {
    /// The event's lasting id, the same in every delivery of it.
    pub(crate) id: String,
    /// When it happened: RFC 3339, in UTC. Null where Jira does not say.
    pub(crate) time: Option<String>,
    /// Jira's own name of the event, finer than the card: issue_created, issue_assigned, issue_generic …
    pub(crate) event: String,
    /// Who did it. Null where Jira does not say.
    pub(crate) actor: Option<Actor>,
    /// The issue as Jira sent it: id, key, self and fields.
    pub(crate) issue: Map<String, Value>,
}

/// An account.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Actor {
    /// The account's lasting id; empty where Jira does not say.
    pub(crate) account_id: String,
    /// The name people see.
    pub(crate) name: String,
}

/// A number or a string, as a string.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// When a delivery's event happened, in milliseconds since 1970.
pub(super) fn time_ms(body: &Value) -> Option<u64> {
    let timestamp = body.get("timestamp")?;
    timestamp.as_u64().or_else(|| timestamp.as_str()?.parse().ok()).filter(|ms| *ms > 0)
}

/// Reads what all issue events have. `suffix` ends the id. None where the body names no issue.
pub(super) fn read(body: &Value, suffix: &str) -> Option<IssueEvent> {
    let issue = body.get("issue")?.as_object()?;
    let id = text(issue.get("id")).filter(|id| !id.is_empty())?;
    let event = text(body.get("issue_event_type_name")).or_else(|| text(body.get("webhookEvent"))).unwrap_or_default();
    Some(IssueEvent {
        id: format!("{id}:{suffix}"),
        time: time_ms(body).map(timestamp::format),
        event,
        actor: actor(body.get("user")),
        issue: issue.clone(),
    })
}

/// Atlassian's own sample spells `accoundId`; servers send `key` or `name`.
fn actor(user: Option<&Value>) -> Option<Actor> {
    let user = user?.as_object()?;
    let first = |names: &[&str]| names.iter().find_map(|name| text(user.get(*name))).unwrap_or_default();
    let account_id = first(&["accountId", "accoundId", "key", "name"]);
    let name = first(&["displayName", "name"]);
    (!account_id.is_empty() || !name.is_empty()).then_some(Actor { account_id, name })
}

/// Who did it and to what, for a host that looks for flows that start themselves.
pub(super) fn origin(payload: &Value) -> Value {
    let named = |pointer: &str| text(payload.pointer(pointer)).filter(|text| !text.is_empty());
    let members = [("actor", named("/actor/account-id")), ("object", named("/issue/id"))];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect::<Map<_, _>>().into()
}

/// Whether an issue is one of those a filter means.
pub(super) fn passes(filter: &IssueFilter, event: &IssueEvent) -> bool {
    let fields = event.issue.get("fields");
    let named = |field: &str, name: &str| text(fields.and_then(|fields| fields.get(field)?.get(name)));
    let key = text(event.issue.get("key")).unwrap_or_default();
    let project_of_key = key.rsplit_once('-').map(|(project, _)| project.to_owned());
    let projects = [named("project", "key"), named("project", "id"), project_of_key];
    let types = [named("issuetype", "name"), named("issuetype", "id")];
    any(&filter.projects, &projects) && any(&filter.issue_types, &types)
}

/// Whether one of the wanted is one of those there are; wanting nothing means all.
fn any(wanted: &[String], there: &[Option<String>]) -> bool {
    let same = |wanted: &String| there.iter().flatten().any(|known| known.eq_ignore_ascii_case(wanted.trim()));
    wanted.is_empty() || wanted.iter().any(same)
}

/// Options for the lists of a filter.
pub(super) fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
    let field = query.field.trim_end_matches(|c: char| c == '-' || c == '/' || c.is_ascii_digit());
    match field {
        "/projects" => issue_choices::projects(client, query),
        "/issue-types" => issue_choices::all_types(client, query),
        _ => Err(no_options(query)),
    }
}

/// The issue of the samples.
pub(super) fn sample_issue() -> Value {
    json!({
        "id": "10001",
        "key": "DEMO-1",
        "self": "https://demo.atlassian.net/rest/api/2/issue/10001",
        "fields": {
            "summary": "The door does not close",
            "issuetype": { "id": "10004", "name": "Bug" },
            "project": { "id": "10000", "key": "DEMO", "name": "Demo" },
            "status": { "id": "10000", "name": "To Do" },
            "labels": []
        }
    })
}

/// The actor of the samples.
pub(super) fn sample_actor() -> Value {
    json!({ "account-id": "712020:00000000-0000-4000-8000-000000000001", "name": "Administrator" })
}
