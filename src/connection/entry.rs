//! What the manifest's entries have in common.

use super::Method;
use serde_json::{Value, json};

/// Jira says in headers that it did not accept the credential, and answers as to a stranger. Source: Atlassian,
/// "Basic auth for REST APIs", section on CAPTCHA.
fn rejections() -> Value {
    json!([
        { "header": "X-Seraph-LoginReason", "contains": "AUTHENTICATED_FAILED" },
        { "header": "X-Seraph-LoginReason", "contains": "AUTHENTICATION_DENIED", "locks": true },
        { "header": "X-Authentication-Denied-Reason", "contains": "CAPTCHA", "locks": true }
    ])
}

/// An entry. `fields` are those of the form, each of them required unless its schema has a `default` of null.
pub(super) fn of(method: &Method, title: &str, description: &str, fields: &[(&str, Value)], scheme: &Value) -> Value {
    json!({
        "id": method.id,
        "title": title,
        "description": description,
        "form": form(fields),
        "scheme": scheme,
        "rejections": rejections()
    })
}

/// A form with these fields.
pub(super) fn form(fields: &[(&str, Value)]) -> Value {
    let required: Vec<&str> =
        fields.iter().filter(|(_, field)| field.get("default").is_none()).map(|(name, _)| *name).collect();
    let mut properties = json!({});
    for (name, field) in fields {
        properties[*name] = field.clone();
        if field.get("default") == Some(&Value::Null)
            && let Some(field) = properties[*name].as_object_mut()
        {
            field.remove("default");
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": properties
    })
}

/// A field that everybody may see.
pub(super) fn plain(title: &str, description: &str, example: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "title": title, "description": description, "examples": [example] })
}

/// A secret field.
pub(super) fn secret(title: &str, description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "writeOnly": true, "title": title, "description": description })
}

/// The field for the address of a site of Jira Cloud.
pub(super) fn cloud_site() -> (&'static str, Value) {
    let description = "The address of your Jira, in any form: demo, demo.atlassian.net, or any of its pages.";
    ("site", plain("Site", description, "demo.atlassian.net"))
}

/// The field for the address of a Jira of one's own.
pub(super) fn own_site() -> (&'static str, Value) {
    let description = "The address of your Jira as people open it, with port and context path where it has them.";
    ("site", plain("Base URL", description, "https://jira.example.com/jira"))
}

/// The app form of an OAuth 2.0 client.
pub(super) fn app(id: &str, secret_of: &str) -> Value {
    form(&[("client-id", plain("Client id", id, "aBcDeFgHiJk")), ("client-secret", secret("Secret", secret_of))])
}

/// A scope that a person may choose.
pub(super) fn scope(id: &str, description: &str, choice: Choice) -> Value {
    let mut scope = json!({ "id": id, "description": description });
    match choice {
        Choice::Always => scope["required"] = json!(true),
        Choice::Usual => scope["default"] = json!(true),
        Choice::Wish => {}
    }
    scope
}

/// How a scope comes to be asked for.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    /// Without it the connection would not live on.
    Always,
    /// Where a person chooses none.
    Usual,
    /// Where a person asks for it.
    Wish,
}
