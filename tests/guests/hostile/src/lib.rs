//! A connector that means harm. Each card is one attack on the host; what a card, a filter, a form
//! or a delivery asks for is done without a second look. Tests load it to see that the host holds.
//!
//! It also searches: `patterns` in a form, in settings, in a filter or in the input of the card
//! `search` are looked for in all memory that the guest can read, and hits are reported.

#![cfg(target_arch = "wasm32")]

mod bindings;
mod harm;
mod memory;
mod wire;

use bindings::exports::workflow::connector as contract;
use contract::action::{Guest as Action, Invoked};
use contract::catalog::{CardSchema, Choice, ChoiceQuery, Choices, Description, Guest as Catalog};
use contract::connection::{Finding, Guest as Connect, Health, Identity, Origin, Outcome, Prepared, Sites};
use contract::event::{
    Change, Delivery, EnsureRequest, Ensured, Guest as Event, Header, Occurrence, PlannedChange, Polled, Proof,
    Received, Registration, Reply, SecretRef, Subscription, Token, TokenPlace, Verdict,
};
use contract::types::{Aside, Call, Connection, Error, Failure, FailureClass, Responsible};
use serde_json::{Value, json};
use wire::Shot;

/// The implementation of the five interfaces.
struct Hostile;

fn aside() -> Aside {
    Aside { notices: Vec::new(), memo: None, extra: "{}".to_owned() }
}

fn failure(message: &str) -> Failure {
    Failure {
        class: FailureClass::Input,
        code: "hostile.refused".to_owned(),
        message: message.to_owned(),
        remedy: String::new(),
        who: Responsible::Developer,
        repeatable: false,
        fields: Vec::new(),
        status: None,
        request_id: None,
        extra: "{}".to_owned(),
    }
}

fn refused(message: &str) -> Error {
    Error::Permanent(failure(message))
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn base_url(call: &Call) -> String {
    parse(&call.connection.settings)["base-url"].as_str().unwrap_or_default().to_owned()
}

/// What a search for the `patterns` of this object finds, with all that the guest was given.
fn search(wish: &Value, given: &str) -> Value {
    let patterns: Vec<String> = serde_json::from_value(wish["patterns"].clone()).unwrap_or_default();
    json!({"found": memory::search(&patterns), "given": given})
}

fn manifest(id: &str) -> Value {
    let mut cards: Vec<_> = harm::CARDS.iter().map(|(id, read_only, description)| {
        let output = if *id == "bad-output" { json!({"type": "string"}) } else { json!({}) };
        json!({
            "id": id, "kind": "action", "title": id, "description": description,
            "input": {"type": "object"}, "output": output, "sample": {"input": {}, "output": ""},
            "behaviour": {"read-only": read_only, "destructive": false, "idempotent": *read_only, "idempotency-key": "ignored"},
        })
    })
    .collect();
    cards.push(json!({
        "id": "rumour", "kind": "event", "title": "rumour",
        "description": "What a delivery or a poll says, true or not. The filter says what the guest does on the way.",
        "filter": {"type": "object"}, "output": {}, "sources": ["delivery", "poll"], "sample": {"output": {}},
    }));
    json!({
        "contract": "0.1.0",
        "connector": {"id": id, "name": "Hostile", "version": "0.1.0"},
        "auth-methods": [{
            "id": "token", "title": "Token",
            "form": {
                "type": "object", "required": ["base-url", "token"],
                "properties": {
                    "base-url": {"type": "string"}, "plain-url": {"type": "string"},
                    "patterns": {"type": "array", "items": {"type": "string"}},
                    "token": {"type": "string", "writeOnly": true},
                },
            },
            "scheme": {"type": "bearer", "token": {"secret": "token"}},
        }],
        "cards": cards,
        "deliveries": {"proofs": ["token", "authenticate", "none"], "id-header": "x-delivery", "handshake": true, "secret-pointer": "/secret"},
    })
}

impl Catalog for Hostile {
    /// For a connection it tells another tale than without one.
    fn describe(connection: Option<Connection>) -> Result<Description, Error> {
        let manifest = manifest(if connection.is_some() { "impostor" } else { "hostile" }).to_string();
        Ok(Description { manifest, lacking: Vec::new(), extra: "{}".to_owned() })
    }

    /// Pages without an end.
    fn options(call: Call, query: ChoiceQuery) -> Result<Choices, Error> {
        let found = search(&parse(&query.input), &format!("{call:?} {query:?}")).to_string();
        let item = Choice { value: found, label: "again".to_owned(), detail: String::new() };
        Ok(Choices { items: vec![item], next: Some("again".to_owned()), aside: aside() })
    }

    fn schema(_: Call, _: String, _: String) -> Result<CardSchema, Error> {
        Ok(CardSchema { input: "{\"$ref\": \"#\"}".to_owned(), output: "not JSON".to_owned(), aside: aside() })
    }
}

impl Connect for Hostile {
    fn prepare(method: String, form: String) -> Result<Prepared, Error> {
        let typed = parse(&form);
        harm::act(&typed);
        let origin = |name: &str, credential| {
            let url = typed[name].as_str()?.to_owned();
            Some(Origin { url, credential, purpose: "harm".to_owned() })
        };
        let origins = [origin("base-url", true), origin("plain-url", false)].into_iter().flatten().collect();
        let corrections = vec![search(&typed, &format!("{method} {form}")).to_string()];
        Ok(Prepared { settings: form.clone(), origins, form, corrections, extra: "{}".to_owned() })
    }

    fn discover(_: Call) -> Result<Sites, Error> {
        Err(refused("there is nothing to discover"))
    }

    /// Claims to be whoever the settings say.
    fn check(call: Call) -> Result<Health, Error> {
        let settings = parse(&call.connection.settings);
        harm::act(&settings);
        let answer = Shot { path: "/whoami".to_owned(), ..Shot::default() }.fire(&base_url(&call));
        let found = search(&settings, &format!("{call:?}"));
        let finding = Finding {
            outcome: Outcome::Passed,
            code: "hostile.search".to_owned(),
            message: json!({"search": found, "answer": answer}).to_string(),
            remedy: String::new(),
            who: Responsible::Developer,
            class: None,
        };
        let claim = |name: &str| settings[name].as_str().unwrap_or("anyone").to_owned();
        let identity = Identity { tenant: claim("tenant"), account: claim("account"), label: "anyone".to_owned() };
        let (findings, settings) = (vec![finding], call.connection.settings);
        Ok(Health { findings, identity: Some(identity), settings, origins: None, aside: aside() })
    }
}

impl Action for Hostile {
    fn invoke(call: Call, card: String, input: String, state: Option<String>) -> Result<Invoked, Error> {
        let (step, aside) = harm::run(&call, &card, &input, state.as_deref())?;
        Ok(Invoked { step, aside })
    }
}

impl Event for Hostile {
    /// Sends the `requests` of every filter, with `{{secret}}` in them replaced by what the host gave
    /// for the signing secret; each change tells one answer. The registration's proof is what the
    /// first filter names: `token`, `authenticate` or `none`.
    fn ensure(call: Call, wish: EnsureRequest) -> Result<Ensured, Error> {
        let change = |reason: Value| PlannedChange {
            change: Change::Kept,
            registration: "hostile-1".to_owned(),
            reason: reason.to_string(),
        };
        let mut changes = Vec::new();
        let mut proof = Proof::None;
        for subscription in &wish.wanted {
            let filter = parse(&subscription.filter);
            harm::act(&filter);
            let shots: Vec<Shot> = serde_json::from_value(filter["requests"].clone()).unwrap_or_default();
            for shot in shots {
                changes.push(change(shot.with_secret(&wish.signing_secret).fire(&base_url(&call))));
            }
            changes.push(change(search(&filter, &format!("{call:?} {wish:?}"))));
            proof = match filter["proof"].as_str() {
                Some("authenticate") => Proof::Authenticate,
                Some("token") => {
                    let place = TokenPlace::Header("x-token".to_owned());
                    Proof::Token(Token { place, secret: SecretRef::Connection("token".to_owned()) })
                }
                _ => Proof::None,
            };
        }
        let covers: Vec<_> = wish.wanted.iter().map(|subscription| subscription.id.clone()).collect();
        let registration = Registration {
            id: "hostile-1".to_owned(),
            callback: wish.callback,
            covers,
            proof,
            expires_at_ms: None,
            state: "{}".to_owned(),
            extra: "{}".to_owned(),
        };
        let registrations = if wish.wanted.is_empty() { vec![] } else { vec![registration] };
        Ok(Ensured { registrations, changes, foreign: vec![], allowances: vec![], aside: aside() })
    }

    /// Finds genuine whatever claims to be.
    fn authenticate(delivery: Delivery, _: Registration) -> Result<Verdict, Error> {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        harm::act(&body);
        Ok(if body["genuine"] == true { Verdict::Genuine } else { Verdict::Forged("\r\nforged log line".to_owned()) })
    }

    /// Replies what the delivery's `handshake` says, whatever that does to the host's answer.
    fn answer(delivery: Delivery) -> Result<Option<Reply>, Error> {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        let Some(wish) = body.get("handshake") else { return Ok(None) };
        harm::act(wish);
        let headers: Vec<(String, String)> = serde_json::from_value(wish["headers"].clone()).unwrap_or_default();
        Ok(Some(Reply {
            status: wish["status"].as_u64().unwrap_or(200) as u16,
            headers: headers.into_iter().map(|(name, value)| Header { name, value }).collect(),
            body: vec![b'x'; wish["bytes"].as_u64().unwrap_or(0) as usize],
            extra: "{}".to_owned(),
        }))
    }

    fn receive(call: Option<Call>, delivery: Delivery, subscriptions: Vec<Subscription>) -> Result<Received, Error> {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        harm::act(&body);
        let given = format!("{call:?} {delivery:?} {subscriptions:?}");
        Ok(Received { occurrences: rumours(&body, &given, &subscriptions), aside: aside() })
    }

    /// Always has more, and never moves its cursor.
    fn poll(call: Call, subscriptions: Vec<Subscription>, cursor: Option<String>) -> Result<Polled, Error> {
        let wish = subscriptions.first().map(|first| parse(&first.filter)).unwrap_or_default();
        harm::act(&wish);
        let given = format!("{call:?} {subscriptions:?} {cursor:?}");
        let occurrences = rumours(&wish, &given, &subscriptions);
        Ok(Polled { occurrences, cursor: "\"stuck\"".to_owned(), more: true, after_ms: 0, aside: aside() })
    }
}

/// `times` occurrences that share one id; with `strangers` they also name subscriptions that were
/// not given, and a card that does not exist.
fn rumours(wish: &Value, given: &str, subscriptions: &[Subscription]) -> Vec<Occurrence> {
    let strangers = wish["strangers"] == true;
    let mut names: Vec<_> = subscriptions.iter().map(|subscription| subscription.id.clone()).collect();
    if strangers {
        names.push("someone-else".to_owned());
    }
    let rumour = Occurrence {
        id: wish["id"].as_str().unwrap_or("rumour-1").to_owned(),
        card: if strangers { "no-such-card" } else { "rumour" }.to_owned(),
        subscriptions: names,
        time_ms: Some(u64::MAX),
        payload: search(wish, given).to_string(),
        extra: "{}".to_owned(),
    };
    vec![rumour; wish["times"].as_u64().unwrap_or(1) as usize]
}
