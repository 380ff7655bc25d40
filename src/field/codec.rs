//! One value for one field, as Jira's create and edit take it.

use super::meta::Field;
use super::user;
use crate::contract::{Error, Failure};
use crate::document::RichText;
use crate::jira::client::Client;
use crate::json;
use serde_json::{Value, json};

/// Encodes a value as a person writes it. What is already an object of Jira's shape is passed on.
pub(super) fn encode(client: &mut Client<'_>, field: &Field, value: &Value, pointer: &str) -> Result<Value, Error> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if is_rich(field) {
        return RichText::of(value.clone()).encode(client.deployment, pointer, &field.name);
    }
    if field.kind == "array" {
        return list(client, field, value, pointer);
    }
    one(client, field, &field.kind, value, pointer)
}

/// Whether a field holds rich text.
pub(super) fn is_rich(field: &Field) -> bool {
    field.custom == "textarea" || (field.kind == "string" && matches!(field.id.as_str(), "description" | "environment"))
}

fn list(client: &mut Client<'_>, field: &Field, value: &Value, pointer: &str) -> Result<Value, Error> {
    match value {
        Value::Array(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(at, item)| one(client, field, &field.items, item, &format!("{pointer}/{at}")));
            items.collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        // A sprint field says it is a list and takes one number.
        one if field.custom == "gh-sprint" => number(field, one, pointer),
        single => Ok(Value::Array(vec![one(client, field, &field.items, single, pointer)?])),
    }
}

fn one(client: &mut Client<'_>, field: &Field, kind: &str, value: &Value, pointer: &str) -> Result<Value, Error> {
    if value.is_object() && kind != "option-with-child" {
        return Ok(value.clone());
    }
    match (kind, value) {
        ("number", _) => number(field, value, pointer),
        ("date", Value::String(text)) => date(field, text, pointer),
        ("user", Value::String(text)) => user::reference(client, text, pointer, &field.name),
        ("option-with-child", _) => cascade(field, value, pointer),
        (
            "option" | "priority" | "resolution" | "securitylevel" | "version" | "component" | "status" | "issuetype",
            _,
        )
        | ("project" | "group", _) => pick(field, kind, value, pointer),
        ("issuelink", Value::String(text)) => {
            let by_id = text.bytes().all(|byte| byte.is_ascii_digit());
            Ok(if by_id { json!({ "id": text }) } else { json!({ "key": text }) })
        }
        ("string", Value::Number(number)) => Ok(json!(number.to_string())),
        ("string", Value::String(_)) | ("datetime", Value::String(_)) => Ok(value.clone()),
        ("string" | "date" | "datetime" | "user" | "issuelink", _) => {
            Err(wrong(field, pointer, "is written as a string"))
        }
        _ => Ok(value.clone()),
    }
}

fn number(field: &Field, value: &Value, pointer: &str) -> Result<Value, Error> {
    let parsed = match value {
        Value::Number(_) => return Ok(value.clone()),
        Value::String(text) => {
            let text = text.trim();
            text.parse::<i64>().map(Value::from).ok().or_else(|| Some(json::value(text)).filter(Value::is_number))
        }
        _ => None,
    };
    parsed.ok_or_else(|| wrong(field, pointer, "is a number"))
}

fn date(field: &Field, text: &str, pointer: &str) -> Result<Value, Error> {
    let day = text.trim().get(..10).unwrap_or_default();
    let whole = text.trim().len() == 10 || text.trim().as_bytes().get(10) == Some(&b'T');
    match crate::jira::timestamp::parse(&format!("{day}T00:00Z")) {
        Some(_) if whole => Ok(json!(day)),
        _ => Err(wrong(field, pointer, "is a date such as 2026-11-22")),
    }
}

/// One of the values a field allows, by its id, its value, name or key, in any case.
fn pick(field: &Field, kind: &str, value: &Value, pointer: &str) -> Result<Value, Error> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err(wrong(field, pointer, "is the name of one of its values")),
    };
    if field.allowed.is_empty() {
        return Ok(match kind {
            "option" => json!({ "value": text }),
            "project" => json!({ "key": text }),
            _ => json!({ "name": text }),
        });
    }
    match matching(&field.allowed, &text) {
        Some(found) => Ok(reference(found)),
        None => Err(not_allowed(field, &field.allowed, &text, pointer)),
    }
}

fn matching<'v>(allowed: &'v [Value], text: &str) -> Option<&'v Value> {
    let of = |value: &'v Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let exact = |name: &'static str| allowed.iter().find(move |value| of(value, name) == text);
    // The name a person reads comes before an id that happens to look the same.
    exact("value").or_else(|| exact("name")).or_else(|| exact("key")).or_else(|| exact("id")).or_else(|| {
        let lower = text.to_lowercase();
        allowed.iter().find(|value| {
            ["value", "name", "key"].iter().any(|name| of(value, name).to_lowercase() == lower && !lower.is_empty())
        })
    })
}

fn reference(found: &Value) -> Value {
    for name in ["id", "value", "name", "key"] {
        if let Some(member) = found.get(name) {
            return json!({ name: member });
        }
    }
    found.clone()
}

/// A cascading choice: `Parent / Child`, `["Parent", "Child"]`, or an object of Jira's shape.
fn cascade(field: &Field, value: &Value, pointer: &str) -> Result<Value, Error> {
    let (parent, child) = match value {
        Value::Object(_) => return Ok(value.clone()),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(parent)] => (parent.clone(), None),
            [Value::String(parent), Value::String(child)] => (parent.clone(), Some(child.clone())),
            _ => return Err(wrong(field, pointer, "is a list of one or two names")),
        },
        Value::String(text) if matching(&field.allowed, text.trim()).is_some() => (text.trim().to_owned(), None),
        Value::String(text) => match text.split_once(" / ") {
            Some((parent, child)) => (parent.trim().to_owned(), Some(child.trim().to_owned())),
            None => (text.trim().to_owned(), None),
        },
        _ => return Err(wrong(field, pointer, "is written as `Parent / Child`")),
    };
    if field.allowed.is_empty() {
        return Ok(match child {
            Some(child) => json!({ "value": parent, "child": { "value": child } }),
            None => json!({ "value": parent }),
        });
    }
    let found =
        matching(&field.allowed, &parent).ok_or_else(|| not_allowed(field, &field.allowed, &parent, pointer))?;
    let mut encoded = reference(found);
    if let Some(child) = child {
        let children = found.get("children").and_then(Value::as_array).cloned().unwrap_or_default();
        let chosen = matching(&children, &child).ok_or_else(|| not_allowed(field, &children, &child, pointer))?;
        encoded["child"] = reference(chosen);
    }
    Ok(encoded)
}

/// The name by which a person knows an allowed value.
pub(super) fn label(value: &Value) -> Option<&str> {
    ["value", "name", "key", "id"].iter().find_map(|name| value.get(*name)?.as_str())
}

fn not_allowed(field: &Field, allowed: &[Value], text: &str, pointer: &str) -> Error {
    let names: Vec<&str> = allowed.iter().filter_map(label).take(30).collect();
    let message = format!("{} has no value {text:?}.", field.name);
    let remedy = format!("Use one of: {}.", names.join(", "));
    Failure::input("value-unknown", pointer, &field.name, message, remedy).permanent()
}

fn wrong(field: &Field, pointer: &str, what: &str) -> Error {
    let message = format!("{} {what}.", field.name);
    Failure::input("value-invalid", pointer, &field.name, message, format!("Correct {}.", field.name)).permanent()
}
