//! Issue properties.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed, issue};
use crate::state::issue::Issue;

/// Bytes of a property's JSON.
const LIMIT: usize = 32_768;

/// Whether a key and a value may be stored.
///
/// # Errors
/// Jira's 400.
pub(super) fn check(key: &str, value: &[u8]) -> Result<Value, Refusal> {
    if key.is_empty() || key.chars().count() > 255 {
        return Err(Refusal::new(400, "The property key cannot be longer than 255 characters."));
    }
    if value.len() > LIMIT {
        return Err(Refusal::new(400, "The property value cannot be longer than 32768 characters."));
    }
    serde_json::from_slice(value).map_err(|_| Refusal::new(400, "The property value is not valid JSON."))
}

pub(super) fn keys(call: &Call<'_>, id: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let keys: Vec<Value> = issue
        .properties
        .keys()
        .map(|key| json!({"self": call.link(&format!("issue/{}/properties/{key}", issue.id)), "key": key}))
        .collect();
    Ok(Answer::ok(json!({"keys": keys})))
}

fn missing(key: &str) -> Refusal {
    Refusal::new(404, format!("The property with key: '{key}' does not exist."))
}

pub(super) fn get(call: &Call<'_>, id: &str, key: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let value = issue.properties.get(key).ok_or_else(|| missing(key))?;
    Ok(Answer::ok(json!({"key": key, "value": value})))
}

fn editable(call: &Call<'_>, id: &str) -> Result<Issue, Refusal> {
    let issue = issue::find(call, id)?;
    call.account()?;
    Ok(Issue::clone(&issue))
}

pub(super) fn set(call: &mut Call<'_>, id: &str, key: &str) -> Routed {
    let mut issue = editable(call, id)?;
    let value = check(key, &call.request.body)?;
    let replaced = issue.properties.insert(key.to_owned(), value).is_some();
    call.jira.store(issue);
    let status = if replaced { 200 } else { 201 };
    Ok(Answer::json(status, &json!({"self": call.link(&format!("issue/{id}/properties/{key}"))})))
}

pub(super) fn delete(call: &mut Call<'_>, id: &str, key: &str) -> Routed {
    let mut issue = editable(call, id)?;
    issue.properties.remove(key).ok_or_else(|| missing(key))?;
    call.jira.store(issue);
    Ok(Answer::empty(204))
}
