//! Get issue.

use super::{Action, Behaviour, Progress};
use crate::contract::Error;
use crate::document::markdown_of;
use crate::form::{Form, Misfit, Read};
use crate::jira::client::{Ask, Client};
use crate::jira::path;
use crate::jira::scope::{self, Needs};
use crate::json::{self, Members, Object, Write};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The card.
pub(crate) struct GetIssue;

/// Which issue, and what of it.
#[derive(JsonSchema)]
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

impl Read for Input {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self { issue: form.text("issue")?, fields: form.texts("fields")?, expand: form.texts("expand")? })
    }
}

/// An issue.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Output<'t> {
    /// The issue's id, which never changes.
    id: Cow<'t, str>,
    /// The issue's key.
    key: Cow<'t, str>,
    /// The issue's page, for people.
    url: String,
    /// The summary, where it was asked for.
    summary: Option<Cow<'t, str>>,
    /// The name of the status, where it was asked for.
    status: Option<Cow<'t, str>>,
    /// The description as Markdown, where there is one and it was asked for.
    description_markdown: Option<String>,
    /// The fields as Jira sent them, by id.
    #[schemars(with = "Map<String, Value>")]
    fields: &'t str,
    /// The names of the fields by id, where names were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    names: Option<&'t str>,
    /// What else was asked for by `expand`, as Jira sent it.
    #[serde(skip_serializing_if = "Members::is_empty")]
    #[schemars(with = "Map<String, Value>")]
    expanded: Members<'t>,
}

impl<'t> Output<'t> {
    /// Reads an issue as Jira sends it; none where it lacks an id.
    pub(super) fn read(client: &Client<'_>, issue: Members<'t>) -> Option<Self> {
        let id = issue.named("id")?;
        let key = issue.string("key").unwrap_or_default();
        let sent = issue.object("fields");
        let fields = if sent.is_some() { issue.get("fields") } else { None };
        let sent = sent.unwrap_or_default();
        let description = sent.part("description").filter(|document| document.text().starts_with('{'));
        Some(Self {
            url: client.site.issue_page(&key),
            summary: sent.string("summary"),
            status: sent.object("status").and_then(|status| status.string("name")),
            description_markdown: description.map(markdown_of),
            fields: fields.unwrap_or("{}"),
            names: issue.get("names").filter(|names| are_names(names)),
            expanded: issue.without(&["id", "key", "self", "fields", "names", "expand"]),
            id,
            key,
        })
    }
}

/// What is passed on as names has to be what the schema says.
fn are_names(names: &str) -> bool {
    json::value(names).as_object().is_some_and(|names| names.values().all(Value::is_string))
}

impl Write for Output<'_> {
    fn write_members(&self, object: &mut Object) {
        object.string("id", &self.id);
        object.string("key", &self.key);
        object.string("url", &self.url);
        object.optional("summary", self.summary.as_deref());
        object.optional("status", self.status.as_deref());
        object.optional("description-markdown", self.description_markdown.as_deref());
        object.raw("fields", self.fields);
        if let Some(names) = self.names {
            object.raw("names", names);
        }
        if !self.expanded.is_empty() {
            object.object("expanded", &self.expanded);
        }
    }

    fn room(&self) -> usize {
        let markdown = self.description_markdown.as_ref().map_or(0, String::len);
        self.fields.len() + markdown + markdown / 8 + 512
    }
}

impl Action for GetIssue {
    const ID: &'static str = "get-issue";
    const TITLE: &'static str = "Get issue";
    const DESCRIPTION: &'static str = "Reads one issue.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: true, destructive: false, idempotent: true, idempotency_key: "ignored" };
    const SCOPES: Needs = scope::READ;
    type Input = Input;
    type Output<'t> = Output<'t>;

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

    fn run(client: &mut Client<'_>, input: Input, _: Option<String>) -> Result<Progress, Error> {
        let issue = path::issue(&input.issue, "/issue", "Issue")?;
        let mut ask = Ask::api("GET", format!("issue/{issue}"), "issue/{issue}").object(issue);
        if !input.fields.is_empty() {
            ask = ask.query("fields", input.fields.join(","));
        }
        if !input.expand.is_empty() {
            ask = ask.query("expand", input.expand.join(","));
        }
        let answer = client.send(&ask)?;
        let issue = Output::read(client, answer.members()).filter(|issue| !issue.key.is_empty());
        let issue = issue.ok_or_else(|| answer.invalid("Jira's answer holds no issue."))?;
        Ok(Progress::done::<Self>(&issue))
    }
}

#[cfg(test)]
mod tests;
