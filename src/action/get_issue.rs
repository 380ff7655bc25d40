//! Get issue.

use super::{Action, Behaviour, Progress, members};
use crate::contract::Error;
use crate::document::to_markdown;
use crate::jira::answer::named;
use crate::jira::client::{Ask, Client};
use crate::jira::path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The card.
pub(crate) struct GetIssue;

/// Which issue, and what of it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Input {
    /// The issue: its key (DEMO-1) or id.
    #[schemars(title = "Issue", length(min = 1))]
    issue: String,
    /// Which fields, by id; *all and *navigable name groups, a minus leaves one out. All where left out.
    #[schemars(title = "Fields")]
    #[serde(default)]
    fields: Vec<String>,
    /// What else Jira shall add: names, changelog, renderedFields, transitions …
    #[schemars(title = "Expand")]
    #[serde(default)]
    expand: Vec<String>,
}

/// An issue.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Output {
    /// The issue's id, which never changes.
    id: String,
    /// The issue's key.
    key: String,
    /// The issue's page, for people.
    url: String,
    /// The summary, where it was asked for.
    summary: Option<String>,
    /// The name of the status, where it was asked for.
    status: Option<String>,
    /// The description as Markdown, where there is one and it was asked for.
    description_markdown: Option<String>,
    /// The fields as Jira sent them, by id.
    fields: Map<String, Value>,
    /// The names of the fields by id, where names were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<BTreeMap<String, String>>,
    /// What else was asked for by `expand`, as Jira sent it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    expanded: Map<String, Value>,
}

impl Output {
    /// Reads an issue as Jira sends it.
    pub(super) fn read(client: &Client<'_>, issue: &Value) -> Self {
        let text = |name: &str| issue.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let field = |pointer: &str| issue.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let key = text("key");
        let mut expanded = members(issue);
        for own in ["id", "key", "self", "fields", "names", "expand"] {
            expanded.remove(own);
        }
        Self {
            id: text("id"),
            url: client.site.issue_page(&key),
            key,
            summary: field("/fields/summary"),
            status: field("/fields/status/name"),
            description_markdown: issue.pointer("/fields/description").filter(|d| d.is_object()).map(to_markdown),
            fields: issue.get("fields").map(members).unwrap_or_default(),
            names: issue.get("names").and_then(|names| serde_json::from_value(names.clone()).ok()),
            expanded,
        }
    }
}

impl Action for GetIssue {
    const ID: &'static str = "get-issue";
    const TITLE: &'static str = "Get issue";
    const DESCRIPTION: &'static str = "Reads one issue.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: true, destructive: false, idempotent: true, idempotency_key: "ignored" };
    type Input = Input;
    type Output = Output;

    fn sample() -> (Value, Value) {
        (
            json!({ "issue": "DEMO-1", "fields": ["summary", "status"] }),
            json!({
                "id": "10001",
                "key": "DEMO-1",
                "url": "https://demo.atlassian.net/browse/DEMO-1",
                "summary": "The door does not close",
                "status": "To Do",
                "description-markdown": null,
                "fields": { "summary": "The door does not close", "status": { "id": "10000", "name": "To Do" } }
            }),
        )
    }

    fn run(client: &mut Client<'_>, input: Input, _: Option<Value>) -> Result<Progress<Output>, Error> {
        let issue = path::issue(&input.issue, "/issue", "Issue")?;
        let mut ask = Ask::new("GET", format!("rest/api/3/issue/{issue}"), "issue/{issue}").object(issue);
        if !input.fields.is_empty() {
            ask = ask.query("fields", input.fields.join(","));
        }
        if !input.expand.is_empty() {
            ask = ask.query("expand", input.expand.join(","));
        }
        let answer = client.send(&ask)?;
        if named(&answer.body, "id").is_none() || named(&answer.body, "key").is_none() {
            return Err(answer.invalid("Jira's answer holds no issue."));
        }
        Ok(Progress::Done(Output::read(client, &answer.body)))
    }
}

#[cfg(test)]
mod tests;
