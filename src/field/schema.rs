//! The schema of an issue's fields, for forms.

use super::codec;
use super::meta::Field;
use serde_json::{Map, Value, json};

/// Fields that a card has inputs of its own for.
const OWN: &[&str] = &["project", "issuetype", "summary", "description", "parent"];
/// No list longer than this is written into a schema.
const LONGEST: usize = 500;

/// Writes the fields into a card's input schema: `fields` gets one property per field, and says which are required.
pub(crate) fn narrow(schema: &mut Value, fields: &[Field]) {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields.iter().filter(|field| !OWN.contains(&field.id.as_str())) {
        properties.insert(field.id.clone(), of(field));
        // Jira fills in a default, and the reporter, by itself.
        if field.required && !field.has_default && field.id != "reporter" {
            required.push(field.id.clone());
        }
    }
    let demanded: Vec<&str> = fields
        .iter()
        .filter(|field| field.required && !field.has_default)
        .filter_map(|field| match field.id.as_str() {
            "description" => Some("description"),
            "parent" => Some("parent"),
            _ => None,
        })
        .collect();
    if let Some(inputs) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let title = inputs.get("fields").and_then(|fields| fields.get("description")).cloned();
        inputs.insert(
            "fields".to_owned(),
            json!({ "type": "object", "title": "Fields", "description": title, "properties": properties, "required": required }),
        );
    }
    if let Some(list) = schema.get_mut("required").and_then(Value::as_array_mut) {
        list.extend(demanded.into_iter().map(Value::from));
        if !required.is_empty() {
            list.push(json!("fields"));
        }
    }
}

fn of(field: &Field) -> Value {
    let mut schema = if field.kind == "array" {
        json!({ "type": "array", "items": kind(field, &field.items) })
    } else {
        kind(field, &field.kind)
    };
    schema["title"] = json!(field.name);
    schema["x-field"] = json!({ "id": field.id, "type": field.kind, "items": field.items, "custom": field.custom });
    schema
}

fn kind(field: &Field, kind: &str) -> Value {
    if codec::is_rich(field) {
        return json!({ "type": ["string", "object"], "description": "Markdown, or a document." });
    }
    let names: Vec<&str> = field.allowed.iter().filter_map(codec::label).take(LONGEST).collect();
    match kind {
        "number" => json!({ "type": "number" }),
        "date" => json!({ "type": "string", "format": "date" }),
        "datetime" => json!({ "type": "string", "format": "date-time" }),
        "string" => json!({ "type": "string" }),
        "user" => json!({ "type": "string", "description": "An account id, an e-mail address, or \"me\"." }),
        "option-with-child" => json!({ "type": ["string", "array", "object"], "examples": names }),
        _ if !names.is_empty() && names.len() < LONGEST => json!({ "type": "string", "enum": names }),
        _ => json!({}),
    }
}
