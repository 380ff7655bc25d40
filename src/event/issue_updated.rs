//! Issue updated, with what changed.

use super::Event;
use super::issue::{self, IssueEvent};
use crate::action::Page;
use crate::contract::{ChoiceQuery, Error};
use crate::form::{Form, Misfit, Read};
use crate::jira::client::Client;
use crate::json::{self, Members, Object, Write};
use schemars::JsonSchema;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The card.
pub(crate) struct IssueUpdated;

/// Which updates are meant. Each list left out, or empty, means all.
#[derive(Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// Projects by key (DEMO) or id.
    #[schemars(title = "Projects")]
    projects: Vec<String>,
    /// Issue types by name (Bug) or id.
    #[schemars(title = "Issue types")]
    issue_types: Vec<String>,
    /// Fields by name or id, of which at least one must have changed: status, customfield_10010.
    #[schemars(title = "Changed fields")]
    changed_fields: Vec<String>,
}

impl Read for Filter {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self {
            projects: form.texts("projects")?,
            issue_types: form.texts("issue-types")?,
            changed_fields: form.texts("changed-fields")?,
        })
    }
}

/// What happened to an issue, and what changed.
#[derive(JsonSchema)]
pub(crate) struct Payload<'t> {
    #[serde(flatten)]
    event: IssueEvent<'t>,
    /// Each field that changed. Empty where Jira reports none, as for a comment on a server.
    changes: Vec<Change<'t>>,
}

/// The change of one field.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Change<'t> {
    /// The field's name.
    field: Cow<'t, str>,
    /// The field's id; the name where Jira does not say.
    field_id: Cow<'t, str>,
    /// What it was.
    from: Side<'t>,
    /// What it became.
    to: Side<'t>,
}

/// One side of a change.
#[derive(JsonSchema)]
struct Side<'t> {
    /// The id or raw value; null where there was none.
    value: Option<Cow<'t, str>>,
    /// What people read; null where there was none.
    text: Option<Cow<'t, str>>,
}

impl Write for Payload<'_> {
    fn write_members(&self, object: &mut Object) {
        self.event.write_members(object);
        object.objects("changes", self.changes.iter().map(|change| change as &dyn Write));
    }

    fn room(&self) -> usize {
        self.event.room() + self.changes.len() * 256
    }
}

impl Write for Change<'_> {
    fn write_members(&self, object: &mut Object) {
        object.string("field", &self.field);
        object.string("field-id", &self.field_id);
        object.object("from", &self.from);
        object.object("to", &self.to);
    }
}

impl Write for Side<'_> {
    fn write_members(&self, object: &mut Object) {
        object.optional("value", self.value.as_deref());
        object.optional("text", self.text.as_deref());
    }
}

impl<'t> Change<'t> {
    fn read(item: &Members<'t>) -> Self {
        let text = |name: &str| issue::text(item.get(name));
        let field = text("field").unwrap_or_default();
        Self {
            field_id: text("fieldId").unwrap_or_else(|| field.clone()),
            from: Side { value: text("from"), text: text("fromString") },
            to: Side { value: text("to"), text: text("toString") },
            field,
        }
    }
}

impl Event for IssueUpdated {
    const ID: &'static str = "issue-updated";
    const TITLE: &'static str = "Issue updated";
    const DESCRIPTION: &'static str = "An issue was changed: any field, or those you name.";
    const WEBHOOK: &'static str = "jira:issue_updated";
    type Filter = Filter;
    type Payload<'t> = Payload<'t>;

    fn sample() -> Value {
        json!({
            "id": "10001:changelog:10017",
            "time": "2026-11-22T08:00:00.000Z",
            "event": "issue_generic",
            "actor": issue::sample_actor(),
            "issue": issue::sample_issue(),
            "changes": [{
                "field": "status",
                "field-id": "status",
                "from": { "value": "10000", "text": "To Do" },
                "to": { "value": "10001", "text": "In Progress" }
            }]
        })
    }

    fn read<'t>(body: &Members<'t>) -> Option<Payload<'t>> {
        let changelog = body.object("changelog").unwrap_or_default();
        let items = changelog.items("items").unwrap_or_default();
        let suffix = match issue::text(changelog.get("id")) {
            Some(id) => format!("changelog:{id}"),
            None => format!("change:{}", digest(body)),
        };
        let changes = items.into_iter().filter_map(|item| Some(Change::read(&item.members()?))).collect();
        Some(Payload { event: issue::read(body, &suffix)?, changes })
    }

    fn event<'p, 't>(payload: &'p Self::Payload<'t>) -> &'p IssueEvent<'t> {
        &payload.event
    }

    fn passes(filter: &Filter, payload: &Payload<'_>) -> bool {
        let changed = |wanted: &String| {
            let wanted = wanted.trim();
            let same = |change: &Change<'_>| {
                change.field.eq_ignore_ascii_case(wanted) || change.field_id.eq_ignore_ascii_case(wanted)
            };
            payload.changes.iter().any(same)
        };
        issue::passes(&filter.projects, &filter.issue_types, &payload.event)
            && (filter.changed_fields.is_empty() || filter.changed_fields.iter().any(changed))
    }

    fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        issue::options(client, query)
    }
}

/// Tells a change without a changelog id from others: by its time, what changed, and the comment that came with it.
/// Values and not their texts are told apart: a blank more or less is no other change.
fn digest(body: &Members<'_>) -> String {
    let part = |name: &str| body.get(name).map(|part| json::text(&json::value(part))).unwrap_or_default();
    let comment = body.object("comment");
    let comment = comment.as_ref().and_then(|comment| issue::text(comment.get("id"))).unwrap_or_default();
    let text = format!("{}\n{}\n{comment}", part("timestamp"), part("changelog"));
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
