//! Users: from what a person writes to an account id.

use crate::contract::{Error, Failure};
use crate::jira::client::{Ask, Client};
use serde_json::{Value, json};

/// The reference to a user given as `me`, an e-mail address, or an account id.
pub(super) fn reference(client: &mut Client<'_>, text: &str, pointer: &str, name: &str) -> Result<Value, Error> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("me") {
        return Ok(json!({ "accountId": myself(client)? }));
    }
    if !text.contains('@') {
        return Ok(json!({ "accountId": text }));
    }
    let ask = Ask::new("GET", "rest/api/3/user/search", "user/search").query("query", text).query("maxResults", 10);
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
    match person.and_then(|person| person.get("accountId")?.as_str()) {
        Some(id) => Ok(json!({ "accountId": id })),
        None => {
            let message = match people.len() {
                0 => format!("Jira knows no user with the address given for {name}."),
                _ => format!("Jira finds more than one user for the address given for {name}."),
            };
            let remedy = "Give the user's account id.";
            Err(Failure::input("user-unknown", pointer, name, message, remedy).permanent())
        }
    }
}

fn myself(client: &mut Client<'_>) -> Result<String, Error> {
    if let Some(id) = client.call.connection.settings.get("account-id").and_then(Value::as_str) {
        return Ok(id.to_owned());
    }
    let body = client.send(&Ask::new("GET", "rest/api/3/myself", "myself"))?.value();
    Ok(body.get("accountId").and_then(Value::as_str).unwrap_or_default().to_owned())
}
