//! What a project and issue type, or an issue, says of its fields: create and edit metadata.

mod old;

use crate::contract::{Error, Failure};
use crate::jira::answer::named;
use crate::jira::client::{Ask, Client};
use crate::jira::path;
use crate::json::{self, Members};
use serde_json::{Map, Value, json};

/// How long noted metadata is used.
const FRESH_MS: u64 = 10 * 60 * 1000;
/// A larger note is not left: a host may refuse it.
const NOTE_LIMIT: usize = 64 * 1024;
/// How many fields or types are asked for at once.
const PAGE: usize = 200;
/// No project has more; a server that goes on for ever is stopped.
const MOST: usize = 2000;

/// One field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Field {
    pub(crate) id: String,
    pub(crate) key: Option<String>,
    pub(crate) name: String,
    pub(crate) required: bool,
    /// Jira fills it in where it is left out.
    pub(crate) has_default: bool,
    /// `schema.type`: string, number, option, array, user …
    pub(crate) kind: String,
    /// `schema.items`, for arrays.
    pub(crate) items: String,
    /// The part of `schema.custom` behind the colon: `textarea`, `select`, `gh-sprint` …
    pub(crate) custom: String,
    /// The values it may hold, cut to what tells them apart.
    pub(crate) allowed: Vec<Value>,
}

impl Field {
    fn read(id: Option<&str>, value: &Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let id = text("/fieldId").or(id).or_else(|| text("/key"))?;
        let custom = text("/schema/custom").unwrap_or_default();
        Some(Self {
            id: id.to_owned(),
            key: text("/key").map(str::to_owned),
            name: text("/name").unwrap_or(id).to_owned(),
            required: value.get("required").and_then(Value::as_bool).unwrap_or(false),
            has_default: value.get("hasDefaultValue").and_then(Value::as_bool).unwrap_or(false),
            kind: text("/schema/type").unwrap_or("any").to_owned(),
            items: text("/schema/items").unwrap_or_default().to_owned(),
            custom: custom.rsplit(':').next().unwrap_or_default().to_owned(),
            allowed: value.get("allowedValues").and_then(Value::as_array).into_iter().flatten().map(trim).collect(),
        })
    }
}

impl Field {
    /// As a note keeps it: what is empty or false is left out.
    fn note(&self) -> Value {
        let mut note = json!({ "id": self.id, "name": self.name, "kind": self.kind });
        let texts =
            [("key", self.key.as_deref().unwrap_or_default()), ("items", &self.items), ("custom", &self.custom)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            note[name] = json!(text);
        }
        for (name, flag) in [("required", self.required), ("has-default", self.has_default)] {
            if flag {
                note[name] = json!(true);
            }
        }
        if !self.allowed.is_empty() {
            note["allowed"] = Value::Array(self.allowed.clone());
        }
        note
    }

    /// Reads what [`Self::note`] wrote.
    fn noted(note: &Value) -> Option<Self> {
        let text = |name: &str| note.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str| note.get(name) == Some(&Value::Bool(true));
        Some(Self {
            id: text("id")?,
            key: text("key"),
            name: text("name")?,
            required: flag("required"),
            has_default: flag("has-default"),
            kind: text("kind")?,
            items: text("items").unwrap_or_default(),
            custom: text("custom").unwrap_or_default(),
            allowed: note.get("allowed").and_then(Value::as_array).cloned().unwrap_or_default(),
        })
    }
}

/// Keeps of an allowed value what tells it from others.
fn trim(value: &Value) -> Value {
    let Some(members) = value.as_object() else { return value.clone() };
    let mut kept = Map::new();
    for name in ["id", "key", "name", "value"] {
        if let Some(member) = members.get(name) {
            kept.insert(name.to_owned(), member.clone());
        }
    }
    if let Some(children) = members.get("children").and_then(Value::as_array) {
        kept.insert("children".to_owned(), children.iter().map(trim).collect());
    }
    Value::Object(kept)
}

/// The fields with which an issue of a type can be created in a project. Taken from the note of an earlier call where
/// that is younger than ten minutes.
pub(crate) fn for_create(client: &mut Client<'_>, project: &str, issue_type: &str) -> Result<Vec<Field>, Error> {
    let name = format!("{project}/{issue_type}").to_lowercase();
    if let Some(fields) = noted(client, &name) {
        return Ok(fields);
    }
    if !client.deployment.since(8, 4) {
        let fields = old::fields(client, project, issue_type)?;
        note(client, &name, &fields);
        return Ok(fields);
    }
    let type_id = type_id(client, project, issue_type)?;
    let base = format!("{}/{}", types_path(project)?, path::segment(&type_id, "/issue-type", "Issue type")?);
    let found =
        pages(client, &base, "createmeta/{project}/issuetypes/{type}", &["fields", "values", "results"], is_field);
    let found = found.map_err(|error| {
        let message = format!("There is no project {project:?} with the issue type {issue_type:?}.");
        let remedy = "Give a project and the name or id of one of its issue types.";
        missing(error, Failure::input("issue-type-unknown", "/issue-type", "Issue type", message, remedy))
    })?;
    let fields: Vec<Field> = found.iter().filter_map(|field| Field::read(None, field)).collect();
    note(client, &name, &fields);
    Ok(fields)
}

/// The fields that can be changed in an issue. `issue` is an encoded path segment.
pub(crate) fn for_edit(client: &mut Client<'_>, issue: &str) -> Result<Vec<Field>, Error> {
    let answer = client.send(&Ask::api("GET", format!("issue/{issue}/editmeta"), "issue/{issue}/editmeta"))?;
    let body = answer.value();
    let fields = body.get("fields").and_then(Value::as_object);
    let fields = fields.filter(|fields| fields.values().all(Value::is_object));
    let fields = fields.ok_or_else(|| answer.invalid("Jira's list of the issue's fields is not what was due."))?;
    Ok(fields.iter().filter_map(|(id, field)| Field::read(Some(id), field)).collect())
}

/// The issue types with which issues can be created in a project.
pub(crate) fn types(client: &mut Client<'_>, project: &str) -> Result<Vec<Value>, Error> {
    if !client.deployment.since(8, 4) {
        return old::types(client, project);
    }
    let names = ["issueTypes", "values", "results"];
    let found = pages(client, &types_path(project)?, "createmeta/{project}/issuetypes", &names, is_type);
    let message = format!("There is no project {project:?}, or the account may not create issues in it.");
    let remedy = crate::jira::refusal::project_remedy();
    found.map_err(|error| missing(error, Failure::input("project-unknown", "/project", "Project", message, remedy)))
}

/// Jira's word that something is not there, as a failure of the input that named it.
fn missing(error: Error, mut unknown: Failure) -> Error {
    match error {
        Error::Permanent(failure) if matches!(failure.status, Some(400 | 404)) => {
            (unknown.status, unknown.request_id) = (failure.status, failure.request_id);
            unknown.permanent()
        }
        other => other,
    }
}

fn types_path(project: &str) -> Result<String, Error> {
    Ok(format!("issue/createmeta/{}/issuetypes", path::segment(project, "/project", "Project")?))
}

fn type_id(client: &mut Client<'_>, project: &str, issue_type: &str) -> Result<String, Error> {
    if issue_type.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(issue_type.to_owned());
    }
    let types = types(client, project)?;
    let name = |value: &Value| value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = types.iter().find(|value| name(value).eq_ignore_ascii_case(issue_type));
    match found.and_then(|value| value.get("id")?.as_str()) {
        Some(id) => Ok(id.to_owned()),
        None => {
            let known: Vec<String> = types.iter().map(name).collect();
            let message = format!("The project {project} has no issue type {issue_type:?}.");
            let remedy = format!("Use one of: {}.", known.join(", "));
            Err(Failure::input("issue-type-unknown", "/issue-type", "Issue type", message, remedy).permanent())
        }
    }
}

/// Whether it is an issue type: one without an id or a name can't be chosen.
pub(crate) fn is_type(value: &Value) -> bool {
    named(value, "id").is_some() && named(value, "name").is_some()
}

fn is_field(value: &Value) -> bool {
    named(value, "fieldId").or_else(|| named(value, "key")).is_some()
}

/// Every page of a list that counts by `startAt`; `fits` says whether an entry is what was asked for.
fn pages(
    client: &mut Client<'_>,
    path: &str,
    route: &str,
    names: &[&str],
    fits: fn(&Value) -> bool,
) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    loop {
        let ask = Ask::api("GET", path, route).query("startAt", all.len()).query("maxResults", PAGE);
        let answer = client.send(&ask)?;
        let body = answer.value();
        let page = names.iter().find_map(|name| body.get(*name)?.as_array());
        let Some(page) = page.filter(|page| page.iter().all(fits)) else {
            return Err(answer.invalid("Jira's list of fields or issue types is not what was due."));
        };
        all.extend(page.iter().cloned());
        let total = body.get("total").and_then(Value::as_u64).and_then(|total| usize::try_from(total).ok());
        let last = body.get("isLast").and_then(Value::as_bool);
        let more = total.map_or(last == Some(false), |total| all.len() < total);
        if page.is_empty() || !more || all.len() >= MOST {
            return Ok(all);
        }
    }
}

fn noted(client: &Client<'_>, name: &str) -> Option<Vec<Field>> {
    let memo = client.call.memo.as_ref().filter(|memo| memo.age_ms < FRESH_MS)?;
    // A note that can't be read is as good as none: it is only ever a shortcut.
    json::check(&memo.data).ok()?;
    let members = Members::of(&memo.data)?.object("create")?;
    json::items(members.get(name)?)?.into_iter().map(|field| Field::noted(&json::value(field))).collect()
}

/// Leaves the metadata of the last project and type: with one entry, the note's age is the entry's.
fn note(client: &mut Client<'_>, name: &str, fields: &[Field]) {
    let fields: Vec<Value> = fields.iter().map(Field::note).collect();
    let memo = json::text(&json!({ "create": { name: fields } }));
    if memo.len() <= NOTE_LIMIT {
        client.remember(memo);
    }
}
