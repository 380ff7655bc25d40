//! What the manifest's entries have in common.

use super::Method;
use serde_json::{Value, json};

/// Jira says in headers that it did not accept the credential, and answers as to a stranger. Source: Atlassian,
/// "Basic auth for REST APIs", section on CAPTCHA. Atlassian's gateway says in one when a scope is missing for what was
/// called, with status 401 as for a token that is none.
fn rejections() -> Value {
    json!([
        { "header": "X-Seraph-LoginReason", "contains": "AUTHENTICATED_FAILED" },
        { "header": "X-Seraph-LoginReason", "contains": "AUTHENTICATION_DENIED", "locks": true },
        { "header": "X-Authentication-Denied-Reason", "contains": "CAPTCHA", "locks": true },
        { "status": 401, "header": "X-Failure-Category", "contains": "FAILURE_CLIENT_SCOPE_CHECK", "accepts": true }
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

/// A field that says something of the secret: it goes with that, and may be emptied.
pub(super) fn of_secret(title: &str, description: &str, example: &str) -> Value {
    json!({
        "type": "string",
        "title": title,
        "description": description,
        "examples": [example],
        "default": null,
        "x-of-secret": true
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

/// A secret field, with texts of other kinds that people paste into it.
pub(super) fn secret_but(title: &str, description: &str, mistakes: &[Value]) -> Value {
    let mut field = secret(title, description);
    field["x-mistakes"] = json!(mistakes);
    field
}

/// An API token of an Atlassian account, where none belongs. Source: Atlassian, Bamboo API,
/// `BitbucketCloudApiTokenUtils`: such a token is known by beginning with `ATAT`. Older ones have no such sign.
pub(super) fn api_token(remedy: &str) -> Value {
    json!({
        "pattern": "^ATATT",
        "message": "This looks like an API token of an Atlassian account.",
        "remedy": remedy
    })
}

/// An e-mail address, where a secret belongs. Nothing is said of a secret that merely holds an `@`.
pub(super) fn address(of: &str) -> Value {
    json!({
        "pattern": "^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*\\.[A-Za-z]{2,}$",
        "message": format!("This looks like an e-mail address, not like {of}."),
        "remedy": format!("Give {of} here instead."),
        "refused": true
    })
}

/// A token with a blank or a quotation mark in it: two that were pasted together, or words about it.
pub(super) fn blank(of: &str) -> Value {
    json!({
        "pattern": "[\\s\"'`]",
        "message": format!("There is white space or a quotation mark within it, and {of} has none."),
        "remedy": "Copy it again where it was made, whole and alone.",
        "refused": true
    })
}

/// A header's value: no token of Atlassian's holds a blank.
pub(super) fn header() -> Value {
    json!({
        "pattern": "^(Authorization: *)?([Bb]asic|[Bb]earer) ",
        "message": "This is what stands in a header, with Basic or Bearer before the token.",
        "remedy": "Give the token alone, as the page showed it where it was made.",
        "refused": true
    })
}

/// A short-lived access token. Source: RFC 7519, section 3: three parts of base64url, the first of which is an object.
pub(super) fn jwt(of: &str) -> Value {
    json!({
        "pattern": "^eyJ[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]*$",
        "message": "This looks like an access token of a signed-in app (a JWT), which lasts for an hour or so.",
        "remedy": format!("If it is one, give {of} here instead.")
    })
}

/// The field for the address of a site of Jira Cloud.
pub(super) fn cloud_site() -> (&'static str, Value) {
    let description = "The address of your Jira, in any form: demo, demo.atlassian.net, or any of its pages.";
    ("site", plain("Site", description, "demo.atlassian.net"))
}

/// The field for the address of a Jira of one's own.
pub(super) fn own_site() -> (&'static str, Value) {
    let description = "The address of your Jira as people open it, with port and context path where it has them.";
    let mut site = plain("Base URL", description, "https://jira.example.com/jira");
    // It is by its address alone that such a Jira is known again.
    site["x-fixed"] = json!(true);
    ("site", site)
}

/// The app form of an OAuth 2.0 client.
pub(super) fn app(id: &str, secret_of: &str) -> Value {
    let of = "the secret of the OAuth client";
    let mistakes = [api_token("An OAuth client has a secret of its own."), address(of), header(), blank(of), jwt(of)];
    let secret = secret_but("Secret", secret_of, &mistakes);
    form(&[("client-id", plain("Client id", id, "aBcDeFgHiJk")), ("client-secret", secret)])
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
