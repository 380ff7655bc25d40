//! Add comment.

use super::{Action, Behaviour, Progress, operation};
use crate::contract::{Error, Failure, FailureClass};
use crate::document::RichText;
use crate::form::{Form, Misfit, Read, lacks};
use crate::jira::client::{Ask, Client, Places};
use crate::jira::path;
use crate::jira::scope::{self, Needs};
use crate::json::{Object, Write};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// The card.
pub(crate) struct AddComment;

/// What to say, and where.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Input {
    /// The issue: its key (DEMO-1) or id.
    #[schemars(title = "Issue", length(min = 1))]
    issue: String,
    /// The text.
    #[schemars(title = "Text")]
    body: RichText,
    /// Who may read it. Everybody who may see the issue where left out.
    #[schemars(title = "Visibility")]
    visibility: Option<Visibility>,
}

impl Read for Input {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self {
            issue: form.text("issue")?,
            body: form.rich_text("body")?,
            visibility: form.optional_form("visibility")?,
        })
    }
}

/// A circle of readers.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Visibility {
    /// Whether it is a role of the project or a group.
    #[serde(rename = "type")]
    kind: Circle,
    /// The role's or group's name.
    #[schemars(length(min = 1))]
    name: String,
}

impl Read for Visibility {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        let circles = [("role", Circle::Role), ("group", Circle::Group)];
        Ok(Self { kind: form.choice("type", &circles)?.ok_or_else(|| lacks("type"))?, name: form.text("name")? })
    }
}

/// What kind of circle.
#[derive(JsonSchema, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Circle {
    /// A role of the project.
    Role,
    /// A group of the site.
    Group,
}

/// The comment that was added.
#[derive(JsonSchema)]
pub(crate) struct Output {
    /// The comment's id.
    id: String,
    /// The comment's place on the issue's page, for people.
    url: String,
}

impl Write for Output {
    fn write_members(&self, object: &mut Object) {
        object.string("id", &self.id);
        object.string("url", &self.url);
    }
}

impl Action for AddComment {
    const ID: &'static str = "add-comment";
    const TITLE: &'static str = "Add comment";
    const DESCRIPTION: &'static str = "Adds a comment to an issue.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: false, destructive: false, idempotent: false, idempotency_key: "recorded" };
    const SCOPES: Needs = scope::COMMENT;
    type Input = Input;
    type Output<'t> = Output;

    fn sample() -> (Value, Value) {
        (
            json!({ "issue": "DEMO-1", "body": "Looked at it: see the **hinge**." }),
            json!({ "id": "10100", "url": "https://demo.atlassian.net/browse/DEMO-1?focusedCommentId=10100" }),
        )
    }

    fn run(client: &mut Client<'_>, input: Input, _: Option<String>) -> Result<Progress, Error> {
        let issue = path::issue(&input.issue, "/issue", "Issue")?;
        let mut body = json!({ "body": input.body.encode(client.deployment, "/body", "Text")? });
        if let Some(visibility) = &input.visibility {
            let kind = match visibility.kind {
                Circle::Role => "role",
                Circle::Group => "group",
            };
            body["visibility"] = json!({ "type": kind, "value": visibility.name });
        }
        if let Some(properties) = operation(client.call) {
            body["properties"] = properties;
        }
        let ask = Ask::api("POST", format!("issue/{issue}/comment"), "issue/{issue}/comment")
            .object(issue)
            .fields(places())
            .body(body);
        let answer = client.send(&ask)?;
        let id = answer.members().named("id").ok_or_else(|| unnamed(answer.status))?.into_owned();
        let url = format!("{}?focusedCommentId={}", client.site.issue_page(issue), path::encode(&id));
        Ok(Progress::done::<Self>(&Output { id, url }))
    }
}

/// Jira said that it added a comment and not which.
fn unnamed(status: u16) -> Error {
    let message = "Jira answered that it added a comment, but not which.";
    let remedy = "Look in Jira whether the comment is there before it is added again.";
    let mut failure = Failure::new(FailureClass::Protocol, "answer-invalid", message, remedy);
    failure.status = Some(status);
    failure.uncertain()
}

fn places() -> Places {
    Places::of(&[
        ("comment", "/body", "Text"),
        ("body", "/body", "Text"),
        ("commentLevel", "/visibility", "Visibility"),
    ])
}

#[cfg(test)]
mod tests;
