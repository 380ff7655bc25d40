//! Update issue.

use super::create_issue::{parent_reference, standard_places};
use super::{Action, Behaviour, Progress};
use crate::contract::{Error, Failure, FailureClass};
use crate::document::RichText;
use crate::field::{self, meta};
use crate::form::{Form, Misfit, Read};
use crate::jira::client::{Ask, Client, Effect, FieldPlace, Places};
use crate::jira::deployment::Deployment;
use crate::jira::path;
use crate::jira::scope::{self, Needs};
use crate::json::{self, Object, Write};
use crate::sorted;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// The card.
pub(crate) struct UpdateIssue;

/// What to change.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Input {
    /// The issue: its key (DEMO-1) or id.
    #[schemars(title = "Issue", length(min = 1))]
    issue: String,
    /// A new summary.
    #[schemars(title = "Summary")]
    summary: Option<String>,
    /// A new long text.
    #[schemars(title = "Description")]
    description: Option<RichText>,
    /// The issue it shall belong under: key or id.
    #[schemars(title = "Parent")]
    parent: Option<String>,
    /// Fields to set, by id or by the name people see, with values as in create issue. Null empties a field.
    #[schemars(title = "Fields")]
    #[serde(default)]
    fields: Map<String, Value>,
    /// Values to add to fields that hold several, such as labels; what is there already stays.
    #[schemars(title = "Add")]
    #[serde(default)]
    add: Map<String, Value>,
    /// Values to take away from fields that hold several.
    #[schemars(title = "Remove")]
    #[serde(default)]
    remove: Map<String, Value>,
    /// Fields to empty, by id or name.
    #[schemars(title = "Clear")]
    #[serde(default)]
    clear: Vec<String>,
    /// Whether Jira sends its e-mails. Not to do so needs a permission to administer.
    #[schemars(title = "Notify users")]
    #[serde(default = "yes")]
    notify_users: bool,
}

impl Read for Input {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self {
            issue: form.text("issue")?,
            summary: form.optional_text("summary")?,
            description: form.optional_rich_text("description"),
            parent: form.optional_text("parent")?,
            fields: form.members("fields")?,
            add: form.members("add")?,
            remove: form.members("remove")?,
            clear: form.texts("clear")?,
            notify_users: form.flag("notify-users")?.unwrap_or_else(yes),
        })
    }
}

fn yes() -> bool {
    true
}

/// What was changed.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Output {
    /// The issue as it was given: key or id.
    issue: String,
    /// The issue's page, for people.
    url: String,
    /// The ids of the fields that were changed.
    changed: Vec<String>,
}

impl Write for Output {
    fn write_members(&self, object: &mut Object) {
        object.string("issue", &self.issue);
        object.string("url", &self.url);
        object.raw("changed", &json::list(self.changed.iter().map(json::text)));
    }
}

impl Action for UpdateIssue {
    const ID: &'static str = "update-issue";
    const TITLE: &'static str = "Update issue";
    const DESCRIPTION: &'static str = "Changes fields of an issue: sets, adds, removes, empties. It changes no status.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: false, destructive: true, idempotent: true, idempotency_key: "ignored" };
    const SCOPES: Needs = scope::UPDATE;
    type Input = Input;
    type Output<'t> = Output;

    fn sample() -> (Value, Value) {
        (
            json!({ "issue": "DEMO-1", "fields": { "priority": "High" }, "add": { "labels": ["triaged"] } }),
            json!({ "issue": "DEMO-1", "url": "https://demo.atlassian.net/browse/DEMO-1", "changed": ["labels", "priority"] }),
        )
    }

    fn run(client: &mut Client<'_>, input: Input, _: Option<String>) -> Result<Progress, Error> {
        let issue = path::issue(&input.issue, "/issue", "Issue")?;
        let parent = input.parent.as_deref().map(parent_reference).transpose()?;
        let mut known = match needs_meta(&input) {
            true => Some(meta::for_edit(client, issue)?),
            false => None,
        };
        let mut places = standard_places();
        let mut fields = field::encode_all(client, &input.fields, known.as_deref(), &mut places)?;
        set(&mut fields, &input, parent, client.deployment, &places)?;
        for (at, name) in input.clear.iter().enumerate() {
            let pointer = format!("/clear/{at}");
            let id = field::id_of(name, known.as_deref(), &pointer)?;
            places.insert(id.clone(), FieldPlace { pointer, name: name.clone() });
            // Labels, components and the like are emptied by an empty list; Jira takes null for the rest.
            let listed = known
                .iter()
                .flatten()
                .any(|field| field.id == id && field.kind == "array" && field.custom != "gh-sprint");
            let listed = listed || matches!(id.as_str(), "labels" | "components" | "fixVersions" | "versions");
            if fields.insert(id, if listed { json!([]) } else { Value::Null }).is_some() {
                let message = format!("The field {name} is both set and cleared.");
                let pointer = format!("/clear/{at}");
                return Err(Failure::input("field-twice", &pointer, name, message, "Do one of both.").permanent());
            }
        }
        let mut update: Map<String, Value> = Map::new();
        for (verb, values) in [("add", &input.add), ("remove", &input.remove)] {
            for (name, value) in values {
                let pointer = field::pointer(&format!("/{verb}"), name);
                let (id, shown, items) = field::encode_one(client, name, value, known.as_deref(), &pointer)?;
                if fields.contains_key(&id) {
                    let message = format!("The field {shown} is both set and changed by {verb}.");
                    return Err(Failure::input("field-twice", &pointer, &shown, message, "Do one of both.").permanent());
                }
                places.insert(id.clone(), FieldPlace { pointer, name: shown });
                let operations = update.entry(id).or_insert_with(|| json!([]));
                if let Some(operations) = operations.as_array_mut() {
                    operations.extend(items.into_iter().map(|item| json!({ verb: item })));
                }
            }
        }
        let changed = sorted::names(fields.keys().chain(update.keys()).cloned());
        if changed.is_empty() {
            let message = "The input changes nothing.";
            let remedy = "Give at least one of summary, description, parent, fields, add, remove or clear.";
            return Err(Failure::new(FailureClass::Input, "nothing-to-do", message, remedy).permanent());
        }
        let mut ask = Ask::api("PUT", format!("issue/{issue}"), "issue/{issue}")
            .effect(Effect::Overwrite)
            .object(issue)
            .fields(places)
            .body(json!({ "fields": fields, "update": update }));
        if !input.notify_users {
            ask = ask.query("notifyUsers", false);
        }
        client.send(&ask).map_err(|error| {
            if known.is_none() && field::is_unnamed(&error) {
                known = meta::for_edit(client, issue).ok();
            }
            field::named(error, known.as_deref().unwrap_or_default())
        })?;
        Ok(Progress::done::<Self>(&Output { url: client.site.issue_page(issue), issue: issue.to_owned(), changed }))
    }
}

fn needs_meta(input: &Input) -> bool {
    let listed = |(name, value): (&String, &Value)| {
        let value = if value.is_array() { value.clone() } else { json!([value]) };
        field::needs_meta(name, &value)
    };
    input.fields.iter().any(|(name, value)| field::needs_meta(name, value))
        || input.add.iter().any(listed)
        || input.remove.iter().any(listed)
        || input.clear.iter().any(|name| !field::is_id(name) || name.starts_with("customfield_"))
}

fn set(
    fields: &mut Map<String, Value>,
    input: &Input,
    parent: Option<Value>,
    deployment: Deployment,
    places: &Places,
) -> Result<(), Error> {
    if let Some(summary) = &input.summary {
        field::set(fields, "summary", json!(summary), places)?;
    }
    if let Some(description) = &input.description {
        field::set(fields, "description", description.encode(deployment, "/description", "Description")?, places)?;
    }
    if let Some(parent) = parent {
        field::set(fields, "parent", parent, places)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
