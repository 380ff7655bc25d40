//! The manifest, built from the auth methods and cards themselves, and what may be chosen in their forms.

pub(crate) mod shape;

use crate::action;
use crate::connection;
use crate::contract::{
    Call, CardSchema, ChoiceQuery, Choices, Connection, Description, Error, Failure, FailureClass, Lack,
};
use crate::event;
use crate::host::Host;
use crate::jira::client::Client;
use serde_json::{Value, json};

/// Says what the connector can do, and what the deployment of a connection lacks. Pure.
pub fn describe(connection: Option<&Connection>) -> Description {
    Description { manifest: manifest(), lacking: connection.map(lacking).unwrap_or_default() }
}

fn manifest() -> Value {
    let cards: Vec<Value> =
        action::CARDS.iter().map(|card| (card.entry)()).chain(event::CARDS.iter().map(|card| (card.entry)())).collect();
    json!({
        "contract": "0.1.0",
        "connector": {
            "id": "jira",
            "name": "Jira",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Issues of Jira Cloud: actions, and events by webhook."
        },
        "auth-methods": connection::entries(),
        "cards": cards,
        "deliveries": event::deliveries()
    })
}

fn lacking(connection: &Connection) -> Vec<Lack> {
    let deployment = connection.settings.get("deployment").and_then(Value::as_str);
    if !matches!(deployment, None | Some("cloud")) {
        let reason = "This version of the connector speaks to Jira Cloud only.";
        return action::CARDS
            .iter()
            .map(|card| card.id)
            .chain(event::CARDS.iter().map(|card| card.id))
            .map(|card| Lack { card: card.to_owned(), reason: reason.to_owned() })
            .collect();
    }
    if connection.settings.get("administers") == Some(&Value::Bool(false)) {
        let reason = "The account may not administer Jira, which webhooks need.";
        return event::CARDS.iter().map(|card| Lack { card: card.id.to_owned(), reason: reason.to_owned() }).collect();
    }
    Vec::new()
}

/// Lists what a field of a card may hold.
pub fn options(host: &mut dyn Host, call: &Call, query: &ChoiceQuery) -> Result<Choices, Error> {
    let options = match (action::find(&query.card), event::find(&query.card)) {
        (Some(card), _) => card.options,
        (None, Some(card)) => card.options,
        (None, None) => return Err(unknown_card(&query.card)),
    };
    let mut client = Client::open(host, call)?;
    let (items, next) = options(&mut client, query)?;
    Ok(Choices { items, next, aside: client.into_aside() })
}

/// The schema of a card once some of its inputs are known.
pub fn schema(host: &mut dyn Host, call: &Call, card: &str, input: &Value) -> Result<CardSchema, Error> {
    let mut client = Client::open(host, call)?;
    let (input, output) = match (action::find(card), event::find(card)) {
        (Some(card), _) => (card.schema)(&mut client, input)?,
        (None, Some(card)) => ((card.filter)(), (card.output)()),
        (None, None) => return Err(unknown_card(card)),
    };
    Ok(CardSchema { input, output, aside: client.into_aside() })
}

/// The error for a card that does not exist.
pub(crate) fn unknown_card(card: &str) -> Error {
    let message = format!("There is no card {card:?}.");
    Failure::new(FailureClass::Input, "card-unknown", message, "Use a card that the manifest names.").permanent()
}

/// The error for a field that has no list of values.
pub(crate) fn no_options(query: &ChoiceQuery) -> Error {
    let message = format!("The field {} of {} has no list to choose from.", query.field, query.card);
    let remedy = "Ask for the fields that the card's `options` name.";
    Failure::input("no-options", &query.field, &query.field, message, remedy).permanent()
}

#[cfg(test)]
mod tests;
