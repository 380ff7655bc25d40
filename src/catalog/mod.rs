//! The manifest, built from the auth methods and cards themselves, and what may be chosen in their forms.
//!
//! What is built is kept in `manifest.json`, and the component holds that text: to make it anew on every call would
//! cost time, and the schemas of all types a fifth of the component. A test builds it from the types and compares;
//! after a change of a card, `cargo xtask manifest` writes it again.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod shape;

use crate::action;
use crate::connection;
use crate::contract::{
    Call, CardSchema, ChoiceQuery, Choices, Connection, Description, Error, Failure, FailureClass, Lack,
};
use crate::event;
use crate::host::Host;
use crate::jira::client::Client;
use crate::json;
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

/// One line for the connector and one for each auth method and card, so that a change of one is a change of one line.
const MANIFEST: &str = include_str!("manifest.json");

/// Says what the connector can do, and what the deployment of a connection lacks. Pure.
pub fn describe(connection: Option<&Connection>) -> Description {
    Description { manifest: MANIFEST, lacking: connection.map(lacking).unwrap_or_default() }
}

/// The text of `manifest.json`, made anew from the types.
#[cfg(not(target_arch = "wasm32"))]
pub fn manifest() -> String {
    let list = |entries: Vec<Value>| entries.iter().map(json::text).collect::<Vec<_>>().join(",\n");
    let cards = action::CARDS.iter().map(|card| (card.entry)()).chain(event::CARDS.iter().map(|card| (card.entry)()));
    let connector = json!({
        "id": "jira",
        "name": "Jira",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Issues of Jira Cloud, Data Center and Server: actions, and events by webhook."
    });
    format!(
        "{{\"contract\":\"0.1.0\",\n\"connector\":{connector},\n\"auth-methods\":[\n{}],\n\"cards\":[\n{}],\n\"deliveries\":{}}}\n",
        list(connection::entries()),
        list(cards.collect()),
        event::deliveries()
    )
}

/// What the manifest says of a card: its input, or filter, and its output.
fn schemas(card: &str) -> Option<(Value, Value)> {
    let mut manifest = json::value(MANIFEST);
    let cards = manifest.get_mut("cards")?.as_array_mut()?;
    let card = cards.iter_mut().find(|known| known["id"] == card)?;
    let input = if card.get("filter").is_some() { "filter" } else { "input" };
    Some((card[input].take(), card["output"].take()))
}

/// The card that reaches what no other does.
const RAW: &str = "call-api";
const NOT_OF_JIRA: &str = "Customer Service Management has an API of its own, which raw calls reach.";

/// Refuses a card that can never work on a connection: its requests would go to another API than they are for.
pub(crate) fn refuse_lacking(settings: &Value, card: &str) -> Result<(), Error> {
    if card == RAW || !connection::is_customer_service(settings) {
        return Ok(());
    }
    let message = format!("The card {card} does not work on this connection. {NOT_OF_JIRA}");
    let remedy = "Use the card call-api, or make a connection to Jira itself.";
    Err(Failure::new(FailureClass::Input, "card-lacking", message, remedy).permanent())
}

fn lacking(connection: &Connection) -> Vec<Lack> {
    let (actions, events) = (action::CARDS.iter().map(|card| card.id), event::CARDS.iter().map(|card| card.id));
    let lack = |card: &str, reason: &str| Lack { card: card.to_owned(), reason: reason.to_owned() };
    if connection::is_customer_service(&connection.settings) {
        return actions.chain(events).filter(|card| *card != RAW).map(|card| lack(card, NOT_OF_JIRA)).collect();
    }
    if connection.settings.get("administers") == Some(&Value::Bool(false)) {
        let reason = "The account may not administer Jira, which webhooks need.";
        return events.map(|card| lack(card, reason)).collect();
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
    refuse_lacking(&call.connection.settings, &query.card)?;
    let mut client = Client::open(host, call)?;
    let (items, next) = options(&mut client, query)?;
    Ok(Choices { items, next, aside: client.into_aside() })
}

/// The schema of a card once some of its inputs are known.
pub fn schema(host: &mut dyn Host, call: &Call, card: &str, input: &Value) -> Result<CardSchema, Error> {
    let mut client = Client::open(host, call)?;
    let (mut input_schema, output) = schemas(card).ok_or_else(|| unknown_card(card))?;
    refuse_lacking(&call.connection.settings, card)?;
    if let Some(card) = action::find(card) {
        input_schema = (card.narrow)(&mut client, input, input_schema)?;
    }
    Ok(CardSchema { input: input_schema, output, aside: client.into_aside() })
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
