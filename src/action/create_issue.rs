//! Create issue.

use super::issue_choices;
use super::{Action, Behaviour, Page, Progress, operation};
use crate::contract::{ChoiceQuery, Error, Failure};
use crate::document::RichText;
use crate::field::{self, meta};
use crate::form::{Form, Misfit, Read};
use crate::jira::client::{Ask, Client, Places};
use crate::jira::path;
use crate::jira::scope::{self, Needs};
use crate::json::{Object, Write};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// The card.
pub(crate) struct CreateIssue;

/// What to create.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Input {
    /// The project: its key (DEMO) or id.
    #[schemars(title = "Project", length(min = 1))]
    project: String,
    /// The issue type: its name (Bug) or id.
    #[schemars(title = "Issue type", length(min = 1))]
    issue_type: String,
    /// One line that says what it is about.
    #[schemars(title = "Summary", length(min = 1))]
    summary: String,
    /// The long text.
    #[schemars(title = "Description")]
    description: Option<RichText>,
    /// The issue it belongs under, an epic or, for a sub-task, its parent: key or id.
    #[schemars(title = "Parent")]
    parent: Option<String>,
    /// Further fields, by id (customfield_10010, labels) or by the name people see. Values as people write them: an
    /// option's name, a date, a list of labels, a user's e-mail address or "me"; objects in Jira's own shape are passed on.
    #[schemars(title = "Fields")]
    #[serde(default)]
    fields: Map<String, Value>,
}

impl Read for Input {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self {
            project: form.text("project")?,
            issue_type: form.text("issue-type")?,
            summary: form.text("summary")?,
            description: form.optional_rich_text("description"),
            parent: form.optional_text("parent")?,
            fields: form.members("fields")?,
        })
    }
}

/// What was created.
#[derive(JsonSchema)]
pub(crate) struct Output {
    /// The issue's id, which never changes.
    id: String,
    /// The issue's key, which changes when it is moved to another project.
    key: String,
    /// The issue's page, for people.
    url: String,
}

impl Write for Output {
    fn write_members(&self, object: &mut Object) {
        object.string("id", &self.id);
        object.string("key", &self.key);
        object.string("url", &self.url);
    }
}

impl Action for CreateIssue {
    const ID: &'static str = "create-issue";
    const TITLE: &'static str = "Create issue";
    const DESCRIPTION: &'static str = "Creates an issue in a project.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: false, destructive: false, idempotent: false, idempotency_key: "recorded" };
    const OPTIONS: &'static [&'static str] = &["/project", "/issue-type"];
    const DYNAMIC: &'static [&'static str] = &["/project", "/issue-type"];
    const OBJECT: Option<&'static str> = Some("/id");
    const SCOPES: Needs = scope::CREATE;
    type Input = Input;
    type Output<'t> = Output;

    fn sample() -> (Value, Value) {
        (
            json!({
                "project": "DEMO",
                "issue-type": "Bug",
                "summary": "The door does not close",
                "description": "Seen **twice** this week.",
                "fields": { "labels": ["door"] }
            }),
            json!({ "id": "10001", "key": "DEMO-1", "url": "https://demo.atlassian.net/browse/DEMO-1" }),
        )
    }

    fn run(client: &mut Client<'_>, input: Input, _: Option<String>) -> Result<Progress, Error> {
        let project = input.project.trim();
        let issue_type = input.issue_type.trim();
        for (text, pointer, name) in [
            (project, "/project", "Project"),
            (issue_type, "/issue-type", "Issue type"),
            (input.summary.trim(), "/summary", "Summary"),
        ] {
            if text.is_empty() {
                let (message, remedy) = (format!("{name} is empty."), format!("Fill in {name}."));
                return Err(Failure::input("field-required", pointer, name, message, remedy).permanent());
            }
        }
        let parent = input.parent.as_deref().map(parent_reference).transpose()?;
        let mut places = standard_places();
        // Metadata costs requests: it is asked for only where a name or a value cannot be understood without.
        let mut known = match input.fields.iter().any(|(name, value)| field::needs_meta(name, value)) {
            true => Some(meta::for_create(client, project, issue_type)?),
            false => None,
        };
        let mut fields = field::encode_all(client, &input.fields, known.as_deref(), &mut places)?;
        field::set(&mut fields, "project", project_reference(project), &places)?;
        field::set(&mut fields, "issuetype", named_or_id(issue_type), &places)?;
        field::set(&mut fields, "summary", json!(input.summary), &places)?;
        if let Some(description) = &input.description {
            let document = description.encode(client.deployment, "/description", "Description")?;
            field::set(&mut fields, "description", document, &places)?;
        }
        if let Some(parent) = parent {
            field::set(&mut fields, "parent", parent, &places)?;
        }
        let mut body = Map::new();
        body.insert("fields".to_owned(), Value::Object(fields));
        if let Some(properties) = operation(client.call) {
            body.insert("properties".to_owned(), properties);
        }
        let ask = Ask::api("POST", "issue", "issue").body(Value::Object(body)).fields(places);
        let answer = client.send(&ask).map_err(|error| {
            if known.is_none() && field::is_unnamed(&error) {
                known = meta::for_create(client, project, issue_type).ok();
            }
            field::named(error, known.as_deref().unwrap_or_default())
        })?;
        let made = answer.members();
        let (Some(id), Some(key)) = (made.named("id"), made.named("key")) else {
            return Err(unnamed(answer.status));
        };
        Ok(Progress::done::<Self>(&Output {
            url: client.site.issue_page(&key),
            id: id.into_owned(),
            key: key.into_owned(),
        }))
    }

    fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        issue_choices::options(client, query)
    }

    fn narrow(client: &mut Client<'_>, input: &Value, mut schema: Value) -> Result<Value, Error> {
        let text = |name: &str| input.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        if let (Some(project), Some(issue_type)) = (text("project"), text("issue-type")) {
            let fields = meta::for_create(client, project, issue_type)?;
            field::schema::narrow(&mut schema, &fields);
        }
        Ok(schema)
    }
}

/// Jira said that it made something and not what.
fn unnamed(status: u16) -> Error {
    let message = "Jira answered that it created an issue, but not which.";
    let remedy = "Look in Jira whether the issue is there before it is created again.";
    let mut failure = Failure::new(crate::contract::FailureClass::Protocol, "answer-invalid", message, remedy);
    failure.status = Some(status);
    failure.uncertain()
}

/// Where the standard fields of an issue stand in the input.
pub(super) fn standard_places() -> Places {
    Places::of(&[
        ("project", "/project", "Project"),
        ("pid", "/project", "Project"),
        ("issuetype", "/issue-type", "Issue type"),
        ("summary", "/summary", "Summary"),
        ("description", "/description", "Description"),
        ("parent", "/parent", "Parent"),
        ("parentId", "/parent", "Parent"),
    ])
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn project_reference(project: &str) -> Value {
    if all_digits(project) { json!({ "id": project }) } else { json!({ "key": project }) }
}

fn named_or_id(text: &str) -> Value {
    if all_digits(text) { json!({ "id": text }) } else { json!({ "name": text }) }
}

/// The parent by key or id, as `/parent` of the input names it.
pub(super) fn parent_reference(parent: &str) -> Result<Value, Error> {
    let parent = path::issue(parent, "/parent", "Parent")?;
    Ok(if all_digits(parent) { json!({ "id": parent }) } else { json!({ "key": parent }) })
}

#[cfg(test)]
mod tests;
