//! The body of a create or update, put onto an issue: screens, values, operations, properties.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Call, Refusal, project, property};
use crate::state::field::Kind;
use crate::state::issue::Issue;
use crate::state::value;

/// Field id → Jira's sentence.
pub(super) type Errors = BTreeMap<String, String>;

/// Field id → what a body says of it.
type Members = Map<String, Value>;

/// Splits a body into its `fields` and `update` objects.
///
/// # Errors
/// 400 where they are not objects, or (Cloud) where the body has other members.
pub(super) fn parts(call: &Call<'_>, body: &Value) -> Result<(Members, Members), Refusal> {
    const KNOWN: [&str; 5] = ["fields", "update", "properties", "transition", "historyMetadata"];
    let payload = || Refusal::new(400, "Invalid request payload. Refer to the REST API documentation and try again.");
    let body = body.as_object().ok_or_else(payload)?;
    if call.jira.cloud() && body.keys().any(|key| !KNOWN.contains(&key.as_str())) {
        return Err(payload());
    }
    let object = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(_) => Err(payload()),
    };
    Ok((object("fields")?, object("update")?))
}

/// What a body adds besides field values.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) comments: Vec<Value>,
}

/// Puts fields and operations onto an issue, collecting every error.
pub(super) fn apply(
    call: &Call<'_>,
    issue: &mut Issue,
    fields: &Map<String, Value>,
    update: &Map<String, Value>,
    errors: &mut Errors,
) -> Extras {
    let screen = call.jira.screen(issue.project, issue.issue_type, call.caller.account);
    let on_screen = |id: &str| screen.iter().any(|(known, _)| *known == id);
    let mut extras = Extras::default();
    for (id, given) in fields {
        if matches!(id.as_str(), "project" | "issuetype" | "parent") {
            continue;
        }
        let field = call.jira.field(id).filter(|_| on_screen(id));
        let accepted = match field {
            None => Err(value::not_on_screen(id)),
            Some(_) if update.contains_key(id) => {
                Err(format!("Field '{id}' cannot appear in both 'fields' and 'update'"))
            }
            Some(field) => value::accept(call.jira, field, given, call.api).map(|raw| (field.id, raw)),
        };
        match accepted {
            Ok((id, raw)) => set(issue, id, raw),
            Err(message) => drop(errors.insert(id.clone(), message)),
        }
    }
    for (id, operations) in update {
        if let Err(message) = operate(call, issue, id, operations, on_screen(id), &mut extras) {
            errors.insert(id.clone(), message);
        }
    }
    extras
}

fn operate(
    call: &Call<'_>,
    issue: &mut Issue,
    id: &str,
    operations: &Value,
    on_screen: bool,
    extras: &mut Extras,
) -> Result<(), String> {
    let operations = operations.as_array().ok_or("data was not an array")?;
    for operation in operations {
        let (verb, given) = operation
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next())
            .ok_or("Each update must hold exactly one operation")?;
        if id == "comment" {
            if verb != "add" {
                return Err(format!("Field with id 'comment' and name 'Comment' does not support operation '{verb}'."));
            }
            let body = value::rich(&given["body"], call.api)?.ok_or("Comment body can not be empty!")?;
            extras.comments.push(body);
            continue;
        }
        let field = call.jira.field(id).filter(|_| on_screen).ok_or_else(|| value::not_on_screen(id))?;
        let raw = value::operate(call.jira, field, issue.values.get(field.id), verb, given, call.api)?;
        set(issue, field.id, raw);
    }
    Ok(())
}

fn set(issue: &mut Issue, id: &'static str, raw: Option<Value>) {
    match raw {
        Some(raw) => drop(issue.values.insert(id, raw)),
        None => drop(issue.values.remove(id)),
    }
}

/// The project of a create: by id (text or number) or key.
pub(super) fn project_of(call: &Call<'_>, given: Option<&Value>) -> Option<usize> {
    let given = given?;
    let name = match (&given["id"], &given["key"]) {
        (Value::String(id), _) => id.clone(),
        (Value::Number(id), _) => id.to_string(),
        (_, Value::String(key)) => key.clone(),
        _ => return None,
    };
    project::find(call, &name).ok()
}

/// An issue type of a project, by id or name.
pub(super) fn type_of(call: &Call<'_>, project: usize, given: &Value) -> Option<usize> {
    call.jira.projects[project].types.iter().copied().find(|kind| {
        let kind = &call.jira.issue_types[*kind];
        match (&given["id"], &given["name"]) {
            (Value::String(id), _) => kind.id == id,
            (Value::Number(id), _) => kind.id == id.to_string(),
            (_, Value::String(name)) => kind.name == name,
            _ => false,
        }
    })
}

/// Puts the parent on: of a fitting level and of the same project.
pub(super) fn parent(call: &Call<'_>, issue: &mut Issue, given: Option<&Value>, errors: &mut Errors) {
    let level = call.jira.issue_types[issue.issue_type].level;
    let Some(given) = given.filter(|given| !given.is_null()) else {
        if level == -1 && !issue.values.contains_key("parent") {
            errors.insert(
                "issuetype".to_owned(),
                "Issue type is a sub-task but parent issue key or id not specified.".to_owned(),
            );
        } else if given.is_some() {
            issue.values.remove("parent");
        }
        return;
    };
    let name = given["key"].as_str().map(str::to_owned).or_else(|| match &given["id"] {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    let found = name
        .and_then(|name| call.jira.issue(&name).cloned())
        .filter(|parent| call.jira.may_browse(parent.project, call.caller.account));
    let message = match found {
        None => "Could not find issue by id or key.",
        Some(parent) if parent.id == issue.id || call.jira.issue_types[parent.issue_type].level != level + 1 => {
            "Given parent issue does not belong to appropriate hierarchy."
        }
        Some(parent) if parent.project != issue.project => "Given parent issue does not belong to the same project.",
        Some(parent) => {
            issue.values.insert("parent", Value::String(parent.id.to_string()));
            return;
        }
    };
    errors.insert("parentId".to_owned(), message.to_owned());
}

/// Puts the `properties` of a body on.
///
/// # Errors
/// 400 for keys or values Jira would not store.
pub(super) fn properties(into: &mut BTreeMap<String, Value>, body: &Value) -> Result<(), Refusal> {
    for entry in body["properties"].as_array().into_iter().flatten() {
        let key = entry["key"].as_str().unwrap_or_default();
        let value = property::check(key, entry["value"].to_string().as_bytes())?;
        into.insert(key.to_owned(), value);
    }
    Ok(())
}

/// Adds "X is required." for every required field left empty.
pub(super) fn required(call: &Call<'_>, issue: &Issue, errors: &mut Errors) {
    for (id, required) in call.jira.screen(issue.project, issue.issue_type, call.caller.account) {
        let Some(field) = call.jira.field(id) else { continue };
        let filled =
            issue.values.contains_key(id) || matches!(field.kind, Kind::Project | Kind::IssueType | Kind::Parent);
        if required && !filled && !errors.contains_key(id) {
            let message = match id {
                "summary" => "You must specify a summary of the issue.".to_owned(),
                _ => format!("{} is required.", field.name),
            };
            errors.insert(id.to_owned(), message);
        }
    }
}
