//! Fields of an issue: names to ids, values as people write them to values as Jira takes them.

mod codec;
pub(crate) mod meta;
pub(crate) mod schema;
mod user;

use crate::contract::{Error, Failure};
use crate::document::RichText;
use crate::jira::client::{Client, FieldPlace, Places};
use crate::jira::refusal;
use meta::Field;
use serde_json::{Map, Value, json};

/// Whether a field's metadata has to be fetched before its value can be sent. A field given by its id with a value
/// that is already of Jira's shape needs none, nor do the system fields whose shape never varies.
pub(crate) fn needs_meta(name: &str, value: &Value) -> bool {
    if plain(name, value).is_some() {
        return false;
    }
    let by_id = name.starts_with("customfield_");
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => !by_id,
        Value::Object(members) => !by_id || RichText::is_formatted(members) || members.is_empty(),
        Value::Array(items) => !(by_id && items.iter().all(Value::is_object)),
        Value::String(_) => true,
    }
}

/// A system field whose shape is the same in every project.
fn plain(name: &str, value: &Value) -> Option<Value> {
    let named = |value: &Value| match value {
        Value::String(text) => Some(json!({ "name": text })),
        Value::Object(_) => Some(value.clone()),
        _ => None,
    };
    match (name, value) {
        ("labels", Value::Array(items)) => items.iter().all(Value::is_string).then(|| value.clone()),
        ("duedate", Value::String(_)) | ("timetracking", Value::Object(_)) => Some(value.clone()),
        ("priority" | "resolution", _) => named(value),
        ("components" | "fixVersions" | "versions", Value::Array(items)) => {
            items.iter().map(named).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        ("assignee" | "reporter", Value::Object(_) | Value::Null) => Some(value.clone()),
        ("labels" | "duedate" | "components" | "fixVersions" | "versions" | "environment", Value::Null) => {
            Some(Value::Null)
        }
        _ => None,
    }
}

/// Encodes fields given by id or by display name. `known` is their metadata, where it was needed. `places` learns
/// where in the input each stands, so that a refusal can say so.
pub(crate) fn encode_all(
    client: &mut Client<'_>,
    given: &Map<String, Value>,
    known: Option<&[Field]>,
    places: &mut Places,
) -> Result<Map<String, Value>, Error> {
    let mut encoded = Map::new();
    for (name, value) in given {
        let pointer = pointer("/fields", name);
        let (id, shown, value) = match resolve(name, known, &pointer)? {
            Some(field) => (field.id.clone(), field.name.clone(), codec::encode(client, field, value, &pointer)?),
            None => {
                let value = plain(name, value).unwrap_or_else(|| value.clone());
                (name.clone(), name.clone(), value)
            }
        };
        places.insert(id.clone(), FieldPlace { pointer: pointer.clone(), name: shown.clone() });
        if encoded.insert(id, value).is_some() {
            let message = format!("The field {shown} is given twice, by its id and by its name.");
            return Err(Failure::input("field-twice", &pointer, &shown, message, "Give it once.").permanent());
        }
    }
    Ok(encoded)
}

/// Encodes one value for one field: for changes by add and remove.
pub(crate) fn encode_one(
    client: &mut Client<'_>,
    name: &str,
    value: &Value,
    known: Option<&[Field]>,
    pointer: &str,
) -> Result<(String, String, Vec<Value>), Error> {
    let listed = match value {
        Value::Array(_) => value.clone(),
        one => Value::Array(vec![one.clone()]),
    };
    let (id, shown, encoded) = match resolve(name, known, pointer)? {
        Some(field) => (field.id.clone(), field.name.clone(), codec::encode(client, field, &listed, pointer)?),
        None => (name.to_owned(), name.to_owned(), plain(name, &listed).unwrap_or(listed)),
    };
    match encoded {
        Value::Array(items) => Ok((id, shown, items)),
        _ => {
            let message = format!("The field {shown} holds one value; nothing can be added to it or removed from it.");
            Err(Failure::input("field-single", pointer, &shown, message, "Set it in `fields`.").permanent())
        }
    }
}

/// Whether Jira refused a field that the input did not name, such as a required one that is missing: then only its id
/// is known, and metadata tells its name.
pub(crate) fn is_unnamed(error: &Error) -> bool {
    let unnamed = |failure: &crate::contract::FieldFailure| failure.name.starts_with("customfield_");
    matches!(error, Error::Permanent(failure) if failure.fields.iter().any(unnamed))
}

/// The same refusal with fields by the names people see.
pub(crate) fn named(mut error: Error, known: &[Field]) -> Error {
    if let Error::Permanent(failure) = &mut error {
        refusal::rename(failure, |id| known.iter().find(|field| field.id == id).map(|field| field.name.clone()));
        let required = failure.code == "jira.field-required";
        let first = failure.fields.first().and_then(|first| known.iter().find(|field| field.name == first.name));
        if let Some(field) = first.filter(|field| required && !field.allowed.is_empty()) {
            let names: Vec<&str> = field.allowed.iter().filter_map(codec::label).take(30).collect();
            failure.remedy = format!("Fill in {} in `fields`, with one of: {}.", field.name, names.join(", "));
        }
    }
    error
}

/// Adds a field that has an input of its own, and refuses it where `fields` holds it too.
pub(crate) fn set(fields: &mut Map<String, Value>, id: &str, value: Value, places: &Places) -> Result<(), Error> {
    if fields.insert(id.to_owned(), value).is_none() {
        return Ok(());
    }
    let (pointer, name) = places.get(id).map_or(("/fields", id), |place| (&place.pointer, &place.name));
    let message = format!("{name} is given twice: by itself and in `fields`.");
    Err(Failure::input("field-twice", pointer, name, message, "Give it once.").permanent())
}

/// The id of a field given by id or name.
pub(crate) fn id_of(name: &str, known: Option<&[Field]>, pointer: &str) -> Result<String, Error> {
    Ok(resolve(name, known, pointer)?.map_or_else(|| name.to_owned(), |field| field.id.clone()))
}

/// Whether a text is the id of a field, as far as can be seen without asking.
pub(crate) fn is_id(name: &str) -> bool {
    const SYSTEM: &[&str] = &[
        "assignee",
        "components",
        "description",
        "duedate",
        "environment",
        "fixVersions",
        "issuetype",
        "labels",
        "parent",
        "priority",
        "project",
        "reporter",
        "resolution",
        "security",
        "summary",
        "timetracking",
        "versions",
    ];
    SYSTEM.contains(&name)
        || name.strip_prefix("customfield_").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The JSON Pointer of a member.
pub(crate) fn pointer(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn resolve<'f>(name: &str, known: Option<&'f [Field]>, pointer: &str) -> Result<Option<&'f Field>, Error> {
    let Some(known) = known else { return Ok(None) };
    if let Some(field) = known.iter().find(|field| field.id == name || field.key.as_deref() == Some(name)) {
        return Ok(Some(field));
    }
    let named: Vec<&Field> = known.iter().filter(|field| field.name.eq_ignore_ascii_case(name.trim())).collect();
    match named.as_slice() {
        [field] => Ok(Some(field)),
        [] if is_id(name) => Ok(None),
        [] => {
            let near: Vec<&str> = known.iter().map(|field| field.name.as_str()).take(30).collect();
            let message = format!("There is no field {name:?} here.");
            let remedy = format!("Use one of: {}.", near.join(", "));
            Err(Failure::input("field-unknown", pointer, name, message, remedy).permanent())
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|field| field.id.as_str()).collect();
            let message = format!("There are {} fields named {name:?}.", several.len());
            let remedy = format!("Give the id: {}.", ids.join(" or "));
            Err(Failure::input("field-ambiguous", pointer, name, message, remedy).permanent())
        }
    }
}

#[cfg(test)]
mod tests;
