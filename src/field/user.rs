//! Users: from what a person writes to an account id, or on Data Center to a user name.

use crate::contract::{Error, Failure};
use crate::jira::client::{Ask, Client};
use serde_json::{Value, json};

/// The reference to a user given as `me`, an e-mail address, or an account id; on Data Center the user name.
pub(super) fn reference(client: &mut Client<'_>, text: &str, pointer: &str, name: &str) -> Result<Value, Error> {
    let text = text.trim();
    let member = if client.deployment.is_cloud() { "accountId" } else { "name" };
    if text.eq_ignore_ascii_case("me") {
        return Ok(json!({ member: myself(client, member)? }));
    }
    if !text.contains('@') {
        return Ok(json!({ member: text }));
    }
    let searched = if client.deployment.is_cloud() { "query" } else { "username" };
    let ask = Ask::api("GET", "user/search", "user/search").query(searched, text).query("maxResults", 10);
    let found = client.send(&ask)?.value();
    let people: Vec<&Value> = found.as_array().into_iter().flatten().collect();
    let mail = |person: &&&Value| {
        person.get("emailAddress").and_then(Value::as_str).is_some_and(|mail| mail.eq_ignore_ascii_case(text))
    };
    // Most profiles hide their address: then the one person Jira finds by it is the one.
    let person = match people.iter().find(mail) {
        Some(person) => Some(*person),
        None if people.len() == 1 => people.first().copied(),
        None => None,
    };
    match person.and_then(|person| person.get(member)?.as_str()) {
        Some(id) => Ok(json!({ member: id })),
        None => {
            let message = match people.len() {
                0 => format!("Jira knows no user with the address given for {name}."),
                _ => format!("Jira finds more than one user for the address given for {name}."),
            };
            let remedy = "Give the user's account id, or on Data Center the user name.";
            Err(Failure::input("user-unknown", pointer, name, message, remedy).permanent())
        }
    }
}

fn myself(client: &mut Client<'_>, member: &str) -> Result<String, Error> {
    let known = if client.deployment.is_cloud() { "account-id" } else { "account-name" };
    if let Some(id) = client.call.connection.settings.get(known).and_then(Value::as_str) {
        return Ok(id.to_owned());
    }
    let body = client.send(&Ask::api("GET", "myself", "myself"))?.value();
    Ok(body.get(member).and_then(Value::as_str).unwrap_or_default().to_owned())
}
