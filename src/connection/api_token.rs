//! Jira Cloud with an e-mail address and an API token.
//!
//! Source: Atlassian, "Manage API tokens for your Atlassian account": Basic authorization of e-mail and token.

use crate::contract::{Error, Failure, Origin, Prepared};
use crate::jira::site;
use serde_json::{Value, json};

pub(super) const ID: &str = "api-token";

/// The manifest's entry.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn entry() -> Value {
    json!({
        "id": ID,
        "title": "API token",
        "description": "Jira Cloud, as one account, with an API token of that account.",
        "form": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["site", "email", "token"],
            "additionalProperties": false,
            "properties": {
                "site": {
                    "type": "string", "minLength": 1, "title": "Site",
                    "description": "The address of your Jira, in any form: demo, demo.atlassian.net, or any of its pages.",
                    "examples": ["demo.atlassian.net"]
                },
                "email": {
                    "type": "string", "minLength": 3, "title": "E-mail",
                    "description": "The e-mail address of the account that the token belongs to.",
                    "examples": ["administrator@example.test"]
                },
                "token": {
                    "type": "string", "minLength": 1, "writeOnly": true, "title": "API token",
                    "description": "Made at id.atlassian.com under Security, API tokens. It expires after at most a year."
                }
            }
        },
        "scheme": { "type": "basic", "username": { "field": "email" }, "password": { "secret": "token" } },
        "rejections": [
            { "header": "X-Seraph-LoginReason", "contains": "AUTHENTICATED_FAILED" },
            { "header": "X-Seraph-LoginReason", "contains": "AUTHENTICATION_DENIED" },
            { "header": "X-Authentication-Denied-Reason", "contains": "CAPTCHA" }
        ]
    })
}

/// Understands the form: `site` and `email`. The settings keep both.
pub(super) fn prepare(form: &Value) -> Result<Prepared, Error> {
    let text = |name: &str| form.get(name).and_then(Value::as_str).unwrap_or_default();
    let typed = site::understand(text("site")).map_err(|why| {
        Failure::input("site-invalid", "/site", "Site", why, "Give your Jira's address, such as demo.atlassian.net.")
            .permanent()
    })?;
    let mut corrections = typed.corrections;
    let email = email(text("email"))?;
    if email != text("email") {
        corrections.push("Blanks around the e-mail address were left out.".to_owned());
    }
    let base = typed.site.base();
    Ok(Prepared {
        settings: json!({ "method": ID, "site": base, "email": email }),
        origins: vec![Origin { url: base.to_owned(), credential: true, purpose: "The Jira site".to_owned() }],
        corrections,
    })
}

/// Basic authorization ends the user name at a colon, so an address with one could never work.
fn email(typed: &str) -> Result<String, Error> {
    let email = typed.trim_matches(|c: char| c.is_whitespace() || "\"'<>".contains(c));
    let whole = match email.split_once('@') {
        Some((name, domain)) => !name.is_empty() && !domain.is_empty() && !domain.contains('@'),
        None => false,
    };
    let plain = !email.chars().any(|c| c.is_control() || c.is_whitespace() || ":,;<>\"\\".contains(c));
    if whole && plain && email.len() <= 254 {
        return Ok(email.to_owned());
    }
    let message = "The e-mail address is not one.";
    let remedy = "Give the address that the Atlassian account has, such as name@example.com.";
    Err(Failure::input("email-invalid", "/email", "E-mail", message, remedy).permanent())
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use serde_json::json;

    #[test]
    fn a_form_becomes_settings_and_one_credentialed_origin() {
        let prepared =
            prepare(&json!({ "site": "Demo", "email": " administrator@example.test " })).expect("a good form");
        assert_eq!(prepared.settings["site"], "https://demo.atlassian.net/");
        assert_eq!(prepared.settings["email"], "administrator@example.test");
        assert_eq!(prepared.origins.len(), 1);
        assert!(prepared.origins[0].credential);
        assert_eq!(prepared.corrections.len(), 2);
    }

    #[test]
    fn a_bad_form_names_the_field() {
        let pointer = |form| prepare(&form).map_err(|error| error.failure().fields[0].pointer.clone()).err();
        assert_eq!(pointer(json!({ "email": "a@example.test" })).as_deref(), Some("/site"));
        assert_eq!(pointer(json!({ "site": "https://a@b.test", "email": "a@example.test" })).as_deref(), Some("/site"));
        for email in ["", "a", "@", "a@", "a b@example.test", "a:b@example.test", "a@b@c", "a@b\r\nx: y"] {
            assert_eq!(pointer(json!({ "site": "demo", "email": email })).as_deref(), Some("/email"), "{email:?}");
        }
    }
}
