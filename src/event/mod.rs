//! Event cards: what happens at Jira, brought by webhooks that an administrator's account registers.
//!
//! A card is one type in one file; adding one adds the file and a line in [`CARDS`].

mod admin_webhook;
mod ensure;
mod issue;
mod issue_created;
mod issue_deleted;
mod issue_updated;

pub(crate) use admin_webhook::{list as list_webhooks, usage as webhook_usage};
pub use ensure::ensure;

use self::issue::IssueEvent;
use crate::action::Page;
#[cfg(not(target_arch = "wasm32"))]
use crate::catalog::shape;
use crate::contract::event::{Delivery, Occurrence, Received, Subscription};
use crate::contract::{Aside, ChoiceQuery, Error, Failure, FailureClass, Notice, Severity};
use crate::form::{self, Read};
use crate::jira::client::Client;
use crate::jira::scope::{self, Needs};
use crate::json::{self, Members, Part};
use schemars::JsonSchema;
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

/// The header that proves a delivery. Source: Atlassian, "Webhooks", section "Secure admin webhooks".
pub const PROOF_HEADER: &str = "x-hub-signature";
/// What stands before the hexadecimal digits of an HMAC with SHA-256 over the raw body.
pub const PROOF_PREFIX: &str = "sha256=";
/// The scopes that every event card needs of a credential that has some: to register its webhook.
pub(crate) const SCOPES: Needs = scope::WEBHOOKS;
/// Why `authenticate` never says that a delivery is genuine.
pub const NO_AUTHENTICATE: &str = "Jira's deliveries are proved by their signature; this connector proves none itself.";

/// An event card: its filter, its payload, its sample and how a webhook becomes one.
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the component holds the manifest made of it"))]
pub(crate) trait Event {
    const ID: &'static str;
    const TITLE: &'static str;
    const DESCRIPTION: &'static str;
    /// The name that Jira has for it.
    const WEBHOOK: &'static str;
    type Filter: Read + JsonSchema + Default;
    type Payload<'t>: json::Write + JsonSchema;

    /// A payload as it may arrive.
    fn sample() -> Value;
    /// Reads a webhook body whose `webhookEvent` is [`Event::WEBHOOK`]; none where it names no issue.
    fn read<'t>(body: &Members<'t>) -> Option<Self::Payload<'t>>;
    /// What a payload shares with those of the other issue events.
    fn event<'p, 't>(payload: &'p Self::Payload<'t>) -> &'p IssueEvent<'t>;
    /// Whether a filter lets it through.
    fn passes(filter: &Self::Filter, payload: &Self::Payload<'_>) -> bool;
    /// What a field of the filter may hold.
    fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error>;
}

type Decode = fn(&Members<'_>, &[Subscription], &mut Aside) -> Result<Option<Occurrence>, Error>;

/// A card as the catalog lists it.
pub(crate) struct Card {
    pub(crate) id: &'static str,
    pub(crate) webhook: &'static str,
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) entry: fn() -> Value,
    #[cfg(test)]
    pub(crate) read: fn(Value) -> Result<(), form::Misfit>,
    pub(crate) options: fn(&mut Client<'_>, &ChoiceQuery) -> Result<Page, Error>,
    decode: Decode,
}

/// Every event card.
pub(crate) const CARDS: &[Card] = &[
    card::<issue_created::IssueCreated>(),
    card::<issue_updated::IssueUpdated>(),
    card::<issue_deleted::IssueDeleted>(),
];

pub(crate) fn find(id: &str) -> Option<&'static Card> {
    CARDS.iter().find(|card| card.id == id)
}

const fn card<E: Event>() -> Card {
    Card {
        id: E::ID,
        webhook: E::WEBHOOK,
        #[cfg(not(target_arch = "wasm32"))]
        entry: entry::<E>,
        #[cfg(test)]
        read: |filter| form::read::<E::Filter>(filter).map(|_| ()),
        options: E::options,
        decode: decode::<E>,
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn entry<E: Event>() -> Value {
    let schemas = (shape::of::<E::Filter>(), shape::output::<E::Payload<'_>>());
    entry_of((E::ID, E::TITLE, E::DESCRIPTION), schemas, E::sample())
}

#[cfg(not(target_arch = "wasm32"))]
fn entry_of((id, title, description): (&str, &str, &str), (filter, output): (Value, Value), sample: Value) -> Value {
    json!({
        "id": id,
        "kind": "event",
        "title": title,
        "description": description,
        "filter": filter,
        "output": output,
        "options": ["/projects", "/issue-types"],
        "sample": { "input": { "projects": ["DEMO"] }, "output": sample },
        "sources": ["delivery"],
        "scopes": SCOPES
    })
}

/// The manifest's `deliveries`. Source: Atlassian, "Webhooks": headers and retries.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn deliveries() -> Value {
    json!({
        "proofs": ["mac"],
        "id-header": "x-atlassian-webhook-identifier",
        "attempt-header": "x-atlassian-webhook-retry",
        "handshake": false,
        "secret-pointer": ["/secret", "/configuration/SECRET"],
        "app-wide": false,
        "retries": { "attempts": 5, "window-s": 4500 }
    })
}

fn decode<E: Event>(
    body: &Members<'_>,
    subscriptions: &[Subscription],
    aside: &mut Aside,
) -> Result<Option<Occurrence>, Error> {
    let Some(payload) = E::read(body) else {
        aside.notices.push(Notice {
            severity: Severity::Warning,
            code: "jira.delivery-incomplete".to_owned(),
            message: format!("A delivery of {} names no issue and was left out.", E::WEBHOOK),
        });
        return Ok(None);
    };
    let mut matching = Vec::new();
    for subscription in subscriptions.iter().filter(|subscription| subscription.card == E::ID) {
        if E::passes(&filter_of::<E>(subscription)?, &payload) {
            matching.push(subscription.id.clone());
        }
    }
    if matching.is_empty() && !subscriptions.is_empty() {
        return Ok(None);
    }
    Ok(Some(Occurrence {
        id: E::event(&payload).id.clone(),
        card: E::ID.to_owned(),
        subscriptions: matching,
        time_ms: issue::time_ms(body),
        payload: json::Write::write(&payload),
        extra: E::event(&payload).origin(),
    }))
}

fn filter_of<E: Event>(subscription: &Subscription) -> Result<E::Filter, Error> {
    if subscription.filter.is_null() {
        return Ok(E::Filter::default());
    }
    form::read(subscription.filter.clone()).map_err(|misfit| {
        let message =
            format!("The filter of the subscription {} does not fit the card: {}.", subscription.id, misfit.why);
        let remedy = "Give a filter that obeys the card's filter schema.";
        Failure::new(FailureClass::Input, "filter-invalid", message, remedy).permanent()
    })
}

/// Reads one proved delivery. With subscriptions, only what one of them wants becomes an occurrence; with none, the
/// delivery is only looked at, and everything it holds is shown.
pub fn receive(delivery: &Delivery, subscriptions: &[Subscription]) -> Result<Received, Error> {
    let text = std::str::from_utf8(&delivery.body).map_err(|fault| invalid(&fault))?;
    let outline = json::outline(text).map_err(|fault| invalid(&fault))?;
    // What is JSON and no object is no event.
    let body = Part::of(text, &outline).members().unwrap_or_default();
    let mut aside = Aside::default();
    let name = body.string("webhookEvent").unwrap_or_default();
    let occurrence = match CARDS.iter().find(|card| card.webhook == name) {
        Some(card) => (card.decode)(&body, subscriptions, &mut aside)?,
        None => None,
    };
    Ok(Received { occurrences: occurrence.into_iter().collect(), aside })
}

fn invalid(fault: &dyn std::fmt::Display) -> Error {
    let message = format!("The delivery is not well-formed JSON: {fault}.");
    let remedy = "Look at the stored delivery; Jira sends JSON unless something between changed it.";
    Failure::new(FailureClass::Protocol, "delivery-invalid", message, remedy).permanent()
}

/// The answer to every poll: the cards name deliveries as their only source.
pub fn not_polled() -> Error {
    let message = "This connector's events are brought by webhooks and are not polled.";
    let remedy = "Subscribe with a public URL that Jira can deliver to.";
    Failure::new(FailureClass::Input, "not-polled", message, remedy).permanent()
}

#[cfg(test)]
mod tests;
