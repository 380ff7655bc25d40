//! What the issue events share: payload, filter, and how both read a webhook's body.

use crate::action::{Page, issue_choices};
use crate::catalog::no_options;
use crate::contract::{ChoiceQuery, Error};
use crate::form::{Form, Misfit, Read};
use crate::jira::client::Client;
use crate::jira::timestamp;
use crate::json::{self, Members, Object, Write};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Which issues are meant. Each list left out, or empty, means all.
#[derive(Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct IssueFilter {
    /// Projects by key (DEMO) or id.
    #[schemars(title = "Projects")]
    pub(crate) projects: Vec<String>,
    /// Issue types by name (Bug) or id.
    #[schemars(title = "Issue types")]
    pub(crate) issue_types: Vec<String>,
}

impl Read for IssueFilter {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self { projects: form.texts("projects")?, issue_types: form.texts("issue-types")? })
    }
}

/// What happened to an issue.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct IssueEvent<'t> {
    /// The event's lasting id, the same in every delivery of it.
    pub(crate) id: String,
    /// When it happened: RFC 3339, in UTC. Null where Jira does not say.
    pub(crate) time: Option<String>,
    /// Jira's own name of the event, finer than the card: issue_created, issue_assigned, issue_generic …
    pub(crate) event: Cow<'t, str>,
    /// Who did it. Null where Jira does not say.
    pub(crate) actor: Option<Actor<'t>>,
    /// The issue as Jira sent it: id, key, self and fields.
    #[schemars(with = "Map<String, Value>")]
    pub(crate) issue: &'t str,
    /// The same, for filters.
    #[schemars(skip)]
    members: Members<'t>,
}

impl IssueEvent<'_> {
    /// Who did it and to what, for a host that looks for flows that start themselves.
    pub(super) fn origin(&self) -> String {
        let actor = self.actor.as_ref().map(|actor| actor.account_id.clone());
        Origin([("actor", actor), ("object", text(self.members.get("id")))]).write()
    }
}

impl Write for IssueEvent<'_> {
    fn write_members(&self, object: &mut Object) {
        object.string("id", &self.id);
        object.optional("time", self.time.as_deref());
        object.string("event", &self.event);
        match &self.actor {
            Some(actor) => object.object("actor", actor),
            None => object.raw("actor", "null"),
        }
        object.raw("issue", self.issue);
    }

    fn room(&self) -> usize {
        self.issue.len() + 512
    }
}

/// The ids of an origin, those that are known, by name.
struct Origin<'t>([(&'static str, Option<Cow<'t, str>>); 2]);

impl Write for Origin<'_> {
    fn write_members(&self, object: &mut Object) {
        for (name, id) in &self.0 {
            if let Some(id) = id.as_deref().filter(|id| !id.is_empty()) {
                object.string(name, id);
            }
        }
    }
}

/// An account.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Actor<'t> {
    /// The account's lasting id; empty where Jira does not say.
    pub(crate) account_id: Cow<'t, str>,
    /// The name people see.
    pub(crate) name: Cow<'t, str>,
}

impl Write for Actor<'_> {
    fn write_members(&self, object: &mut Object) {
        object.string("account-id", &self.account_id);
        object.string("name", &self.name);
    }
}

/// A number or a string, as a string. A whole number is the same id however it is written: 10001, 10001.0, 1.0001E4.
pub(super) fn text(value: Option<&str>) -> Option<Cow<'_, str>> {
    let value = value?;
    let number = value.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if !number {
        return json::string(value);
    }
    let whole = value.contains(['.', 'e', 'E']).then(|| whole(value)).flatten();
    Some(whole.map_or(Cow::Borrowed(value), |number| Cow::Owned(number.to_string())))
}

/// A number without a fraction that is written with one, or with an exponent.
fn whole(value: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = json::value(value).as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction, and is within what is exact")]
    (number.trunc() == number && number.abs() <= EXACT).then_some(number as i64)
}

/// When a delivery's event happened, in milliseconds since 1970.
pub(super) fn time_ms(body: &Members<'_>) -> Option<u64> {
    text(body.get("timestamp"))?.parse().ok().filter(|ms| *ms > 0)
}

/// Reads what all issue events have. `suffix` ends the id. None where the body names no issue.
pub(super) fn read<'t>(body: &Members<'t>, suffix: &str) -> Option<IssueEvent<'t>> {
    let issue = body.part("issue")?;
    let members = issue.members()?;
    let id = text(members.get("id")).filter(|id| !id.is_empty())?;
    let event = text(body.get("issue_event_type_name")).or_else(|| text(body.get("webhookEvent"))).unwrap_or_default();
    Some(IssueEvent {
        id: format!("{id}:{suffix}"),
        time: time_ms(body).map(timestamp::format),
        event,
        actor: body.object("user").and_then(|user| actor(&user)),
        issue: issue.text(),
        members,
    })
}

/// Atlassian's own sample spells `accoundId`; servers send `key` or `name`.
fn actor<'t>(user: &Members<'t>) -> Option<Actor<'t>> {
    let first = |names: &[&str]| names.iter().find_map(|name| text(user.get(name))).unwrap_or_default();
    let account_id = first(&["accountId", "accoundId", "key", "name"]);
    let name = first(&["displayName", "name"]);
    (!account_id.is_empty() || !name.is_empty()).then_some(Actor { account_id, name })
}

/// Whether an issue is one of those that lists of projects and issue types mean.
pub(super) fn passes(projects: &[String], issue_types: &[String], event: &IssueEvent<'_>) -> bool {
    if projects.is_empty() && issue_types.is_empty() {
        return true;
    }
    let fields = event.members.object("fields").unwrap_or_default();
    let (project, kind) = (fields.object("project"), fields.object("issuetype"));
    let of = |members: &Option<Members<'_>>, name: &str| text(members.as_ref()?.get(name)).map(Cow::into_owned);
    let key = text(event.members.get("key")).unwrap_or_default();
    let project_of_key = key.rsplit_once('-').map(|(project, _)| project.to_owned());
    any(projects, &[of(&project, "key"), of(&project, "id"), project_of_key])
        && any(issue_types, &[of(&kind, "name"), of(&kind, "id"), None])
}

/// Whether one of the wanted is one of those there are; wanting nothing means all.
fn any(wanted: &[String], there: &[Option<String>; 3]) -> bool {
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
