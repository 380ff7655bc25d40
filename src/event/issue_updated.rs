//! Issue updated, with what changed.

use super::Event;
use super::issue::{self, IssueEvent, IssueFilter};
use crate::action::Page;
use crate::contract::{ChoiceQuery, Error};
use crate::jira::client::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The card.
pub(crate) struct IssueUpdated;

/// Which updates are meant. Each list left out, or empty, means all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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

/// What happened to an issue, and what changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Payload {
    #[serde(flatten)]
    event: IssueEvent,
    /// Each field that changed. Empty where Jira reports none, as for a comment on a server.
    changes: Vec<Change>,
}

/// The change of one field.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Change {
    /// The field's name.
    field: String,
    /// The field's id; the name where Jira does not say.
    field_id: String,
    /// What it was.
    from: Side,
    /// What it became.
    to: Side,
}

/// One side of a change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Side {
    /// The id or raw value; null where there was none.
    value: Option<String>,
    /// What people read; null where there was none.
    text: Option<String>,
}

impl Change {
    fn read(item: &Value) -> Self {
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
    type Payload = Payload;

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

    fn read(body: &Value) -> Option<Payload> {
        let changelog = body.get("changelog");
        let items: Vec<&Value> = changelog.and_then(|log| log.get("items")?.as_array()).into_iter().flatten().collect();
        let suffix = match issue::text(changelog.and_then(|log| log.get("id"))) {
            Some(id) => format!("changelog:{id}"),
            None => format!("change:{}", digest(body)),
        };
        let changes = items.into_iter().filter(|item| item.is_object()).map(Change::read).collect();
        Some(Payload { event: issue::read(body, &suffix)?, changes })
    }

    fn id(payload: &Payload) -> String {
        payload.event.id.clone()
    }

    fn passes(filter: &Filter, payload: &Payload) -> bool {
        let issue = IssueFilter { projects: filter.projects.clone(), issue_types: filter.issue_types.clone() };
        let changed = |wanted: &String| {
            let wanted = wanted.trim();
            let same = |change: &Change| {
                change.field.eq_ignore_ascii_case(wanted) || change.field_id.eq_ignore_ascii_case(wanted)
            };
            payload.changes.iter().any(same)
        };
        issue::passes(&issue, &payload.event)
            && (filter.changed_fields.is_empty() || filter.changed_fields.iter().any(changed))
    }

    fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        issue::options(client, query)
    }
}

/// Tells a change without a changelog id from others: by its time, what changed, and the comment that came with it.
fn digest(body: &Value) -> String {
    let part = |name: &str| body.get(name).map(Value::to_string).unwrap_or_default();
    let comment = issue::text(body.get("comment").and_then(|comment| comment.get("id"))).unwrap_or_default();
    let text = format!("{}\n{}\n{comment}", part("timestamp"), part("changelog"));
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
