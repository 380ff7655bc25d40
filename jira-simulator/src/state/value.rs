//! Field values: what Jira accepts, and in which words it refuses.

use serde_json::{Value, json};
use time::Date;
use time::macros::format_description;

use super::Jira;
use super::field::{Field, Kind};
use super::rich_text;
use crate::routes::Api;

/// The refusal that names no field: a document against its schema.
pub(crate) const INVALID_INPUT: &str = "INVALID_INPUT";

/// A value as a request writes it → the raw value, or nothing where the field is cleared.
///
/// The error is Jira's sentence for the field.
pub(crate) fn accept(jira: &Jira, field: &Field, value: &Value, api: Api) -> Result<Option<Value>, String> {
    if value.is_null() {
        return match field.kind {
            Kind::Summary => Err("You must specify a summary of the issue.".to_owned()),
            _ => Ok(None),
        };
    }
    match field.kind {
        Kind::Summary => summary(value, jira.cloud()).map(Some),
        Kind::Text => text(value).map(Some),
        Kind::RichText => rich(value, api),
        Kind::Number => match value {
            Value::Number(number) => Ok(Some(Value::Number(number.clone()))),
            _ => Err("Operation value must be a number".to_owned()),
        },
        Kind::Date => date(field, value).map(Some),
        Kind::Select => choice(field, value).map(Some),
        Kind::MultiSelect => {
            let Value::Array(values) = value else { return Err("data was not an array".to_owned()) };
            let mut ids = Vec::new();
            for value in values {
                let id = choice(field, value)?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Ok((!ids.is_empty()).then_some(Value::Array(ids)))
        }
        Kind::Labels => labels(value),
        Kind::User => user(jira, field, value),
        Kind::Priority => priority(jira, value).map(Some),
        Kind::Parent | Kind::Project | Kind::IssueType | Kind::Computed(..) => Err(not_on_screen(field.id)),
    }
}

/// Jira's sentence for a field that the screen lacks.
pub(crate) fn not_on_screen(field: &str) -> String {
    format!("Field '{field}' cannot be set. It is not on the appropriate screen, or unknown.")
}

fn summary(value: &Value, cloud: bool) -> Result<Value, String> {
    let text = value.as_str().ok_or("Operation value must be a string")?;
    if text.trim().is_empty() {
        return Err("You must specify a summary of the issue.".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("The summary is invalid because it contains newline characters.".to_owned());
    }
    match text.chars().count() {
        0..=255 if cloud => Ok(json!(text.trim())),
        0..=254 => Ok(json!(text.trim())),
        _ if cloud => Err("Summary can't exceed 255 characters.".to_owned()),
        _ => Err("Summary must be less than 255 characters.".to_owned()),
    }
}

fn text(value: &Value) -> Result<Value, String> {
    let text = value.as_str().ok_or("Operation value must be a string")?;
    if text.chars().count() > 255 {
        return Err("The entered text is too long. It exceeds the allowed limit of 255 characters.".to_owned());
    }
    Ok(json!(text))
}

/// Rich text of a request: a document in v3, a string in v2. Empty clears.
pub(crate) fn rich(value: &Value, api: Api) -> Result<Option<Value>, String> {
    let length = match (api, value) {
        (Api::V2, Value::String(text)) => text.chars().count(),
        (Api::V2, _) => return Err("Operation value must be a string".to_owned()),
        (Api::V3, Value::Object(_)) if rich_text::is_document(value) => rich_text::to_text(value).chars().count(),
        (Api::V3, Value::Object(object)) if object.contains_key("type") => return Err(INVALID_INPUT.to_owned()),
        (Api::V3, _) => {
            return Err("Operation value must be an Atlassian Document (see the Atlassian Document Format)".to_owned());
        }
    };
    if length > rich_text::LIMIT {
        return Err("The entered text is too long. It exceeds the allowed limit of 32,767 characters.".to_owned());
    }
    Ok((length > 0).then(|| value.clone()))
}

fn date(field: &Field, value: &Value) -> Result<Value, String> {
    let wrong = || match field.custom_number() {
        Some(_) => "Operation value must be a string in the format 'yyyy-MM-dd'".to_owned(),
        None => format!("Error parsing date string: {}", value.as_str().unwrap_or_default()),
    };
    let text = value.as_str().ok_or_else(wrong)?;
    Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| wrong())?;
    Ok(json!(text))
}

fn choice(field: &Field, value: &Value) -> Result<Value, String> {
    let part = |name: &str| match &value[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match (part("id"), part("value")) {
        (Some(id), _) => match field.choices.iter().find(|choice| choice.id == id) {
            Some(choice) => Ok(json!(choice.id)),
            None => Err(format!("Option id '{id}' is not valid")),
        },
        (None, Some(value)) => match field.choices.iter().find(|choice| choice.value == value) {
            Some(choice) => Ok(json!(choice.id)),
            None => Err(format!("Option value '{value}' is not valid")),
        },
        (None, None) => Err(format!("Specify a valid 'id' or 'name' for {}", field.name)),
    }
}

fn labels(value: &Value) -> Result<Option<Value>, String> {
    let Value::Array(values) = value else { return Err("data was not an array".to_owned()) };
    let mut labels = Vec::new();
    for value in values {
        labels.push(label(value)?);
    }
    labels.sort();
    labels.dedup();
    Ok((!labels.is_empty()).then(|| json!(labels)))
}

fn label(value: &Value) -> Result<String, String> {
    match value.as_str() {
        None => Err("string expected at index 0".to_owned()),
        Some(label) if label.contains(char::is_whitespace) => {
            Err(format!("The label '{label}' contains spaces which is invalid."))
        }
        Some(label) if label.chars().count() > 255 => {
            Err(format!("The label '{label}' exceeds the maximum length of 255 characters."))
        }
        Some(label) => Ok(label.to_owned()),
    }
}

fn user(jira: &Jira, field: &Field, value: &Value) -> Result<Option<Value>, String> {
    let member = if jira.cloud() { "accountId" } else { "name" };
    let id = match &value[member] {
        Value::String(id) => id,
        Value::Null if value.get(member).is_some() => return Ok(None),
        _ if jira.cloud() && value.get("id").is_some_and(Value::is_string) => value["id"].as_str().unwrap_or_default(),
        _ if field.id == "assignee" || field.id == "reporter" => {
            return Err(format!("{} is required", if jira.cloud() { "accountId" } else { "name" }));
        }
        _ => return Err("expected Object containing a user id".to_owned()),
    };
    match jira.account_by_id(id) {
        Some(account) => Ok(Some(json!(jira.accounts[account].account_id))),
        None if field.id == "assignee" => Err(format!("User '{id}' cannot be assigned issues.")),
        None if field.id == "reporter" => Err("The reporter specified is not a user.".to_owned()),
        None => Err(format!("User '{id}' was not found in the system.")),
    }
}

fn priority(jira: &Jira, value: &Value) -> Result<Value, String> {
    if !value.is_object() {
        return Err("Could not find valid 'id' or 'name' in priority object.".to_owned());
    }
    let found = jira.priorities.iter().find(|priority| match (&value["id"], &value["name"]) {
        (Value::String(id), _) => priority.id == id,
        (Value::Number(id), _) => priority.id == id.to_string(),
        (_, Value::String(name)) => priority.name == name,
        _ => false,
    });
    found.map(|priority| json!(priority.id)).ok_or_else(|| match value["name"].as_str() {
        Some(name) => format!("Priority name '{name}' is not valid"),
        None => "The priority selected is invalid.".to_owned(),
    })
}

/// One `update` operation on a list field: the new raw value.
pub(crate) fn operate(
    jira: &Jira,
    field: &Field,
    current: Option<&Value>,
    operation: &str,
    value: &Value,
    api: Api,
) -> Result<Option<Value>, String> {
    if operation == "set" {
        return accept(jira, field, value, api);
    }
    if !field.operations().contains(&operation) {
        return Err(format!(
            "Field with id '{}' and name '{}' does not support operation '{operation}'.",
            field.id, field.name
        ));
    }
    let one = if field.kind == Kind::Labels { json!(label(value)?) } else { choice(field, value)? };
    let mut values: Vec<Value> = current.and_then(Value::as_array).cloned().unwrap_or_default();
    values.retain(|present| *present != one);
    if operation == "add" {
        values.push(one);
    }
    if field.kind == Kind::Labels {
        values.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    Ok((!values.is_empty()).then_some(Value::Array(values)))
}

/// The text of a raw value in changelogs and JQL.
pub(crate) fn display(jira: &Jira, field: &Field, raw: &Value) -> Option<String> {
    let named = |raw: &Value| -> Option<String> {
        let id = raw.as_str()?;
        match field.kind {
            Kind::Select | Kind::MultiSelect => {
                field.choices.iter().find(|choice| choice.id == id).map(|choice| choice.value.clone())
            }
            Kind::User => jira
                .accounts
                .iter()
                .find(|account| account.account_id == id)
                .map(|account| account.display_name.clone()),
            Kind::Priority => {
                jira.priorities.iter().find(|priority| priority.id == id).map(|priority| priority.name.to_owned())
            }
            Kind::Parent => jira.issue(id).map(|parent| jira.key(parent)),
            _ => Some(id.to_owned()),
        }
    };
    match (field.kind, raw) {
        (_, Value::Null) => None,
        (Kind::RichText, raw) => Some(rich_text::to_text(raw)),
        (Kind::Number, raw) => Some(raw.to_string()),
        (Kind::Labels, Value::Array(values)) => Some(values.iter().filter_map(named).collect::<Vec<_>>().join(" ")),
        (_, Value::Array(values)) => Some(values.iter().filter_map(named).collect::<Vec<_>>().join(",")),
        (_, raw) => named(raw),
    }
}

/// The id half of a change: ids where the field has ids, nothing for plain text.
pub(super) fn change_id(jira: &Jira, field: &Field, raw: &Value) -> Option<String> {
    match (field.kind, raw) {
        (Kind::User, Value::String(id)) if !jira.cloud() => {
            jira.accounts.iter().find(|account| account.account_id == *id).map(|account| account.name.clone())
        }
        (Kind::Select | Kind::User | Kind::Priority | Kind::Parent | Kind::Date, Value::String(id)) => Some(id.clone()),
        (Kind::MultiSelect, Value::Array(ids)) => {
            Some(format!("[{}]", ids.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Personality, Version};

    fn jira() -> Jira {
        Jira::new(Personality::Cloud, Version::DEFAULT, "http://jira.test".to_owned(), Default::default())
    }

    fn try_value(field: &str, value: Value, api: Api) -> Result<Option<Value>, String> {
        let jira = jira();
        accept(&jira, jira.field(field).expect("a known field"), &value, api)
    }

    #[test]
    fn a_summary_is_one_short_line() {
        assert!(try_value("summary", json!("a\nb"), Api::V3).unwrap_err().contains("newline"));
        assert!(try_value("summary", json!("x".repeat(256)), Api::V3).unwrap_err().contains("255"));
        assert!(try_value("summary", json!("x".repeat(255)), Api::V3).is_ok());
        assert!(try_value("summary", json!("  "), Api::V3).is_err());
    }

    #[test]
    fn a_description_is_a_document_in_v3_and_text_in_v2() {
        assert!(try_value("description", json!("text"), Api::V3).unwrap_err().contains("Atlassian Document"));
        assert!(try_value("description", json!({"type": "doc"}), Api::V2).unwrap_err().contains("string"));
        assert_eq!(
            try_value("description", json!({"type": "doc", "version": 2}), Api::V3),
            Err(INVALID_INPUT.to_owned())
        );
        assert!(try_value("description", json!("x".repeat(32_768)), Api::V2).unwrap_err().contains("32,767"));
    }

    #[test]
    fn a_choice_is_named_by_id_or_value() {
        assert_eq!(try_value("customfield_10030", json!({"value": "Major"}), Api::V3), Ok(Some(json!("10101"))));
        assert_eq!(
            try_value("customfield_10030", json!({"value": "Huge"}), Api::V3),
            Err("Option value 'Huge' is not valid".to_owned())
        );
        assert!(try_value("customfield_10030", json!("Major"), Api::V3).is_err());
    }

    #[test]
    fn labels_have_no_spaces_and_are_kept_sorted() {
        assert_eq!(try_value("labels", json!(["b", "a", "b"]), Api::V3), Ok(Some(json!(["a", "b"]))));
        assert!(try_value("labels", json!(["a b"]), Api::V3).unwrap_err().contains("spaces"));
    }
}
