//! A connector for Beacon, an imaginary status-signal service: the smallest one that uses every
//! part of the contract, and the example that `docs/contract.md` walks through.
//!
//! `manifest.json` says what it can do, `http.rs` talks to the service, and this file is the
//! contract's five interfaces.

#![cfg(target_arch = "wasm32")]

mod bindings;
mod http;

use bindings::exports::workflow::connector as contract;
use contract::action::{Continuation, Guest as Action, Invoked, Progress, Step};
use contract::catalog::{CardSchema, Choice, ChoiceQuery, Choices, Description, Guest as Catalog};
use contract::connection::{Finding, Guest as Connect, Health, Identity, Origin, Outcome, Prepared, Site, Sites};
use contract::event::{
    Allowance, Change, Delivery, Digest, Encoding, EnsureRequest, Ensured, ForeignRegistration, Guest as Event, Header,
    HeaderElement, Mac, Occurrence, PlannedChange, Polled, Proof, Received, Registration, Reply, SecretRef, SignedPart,
    Subscription, Timestamp, Verdict,
};
use contract::types::{Aside, Call, Connection, Error, Failure, FailureClass, FieldFailure, Responsible};
use http::{failure, request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wasip2::http::types::Method;

const MANIFEST: &str = include_str!("manifest.json");
/// A Beacon takes five webhooks.
const HOOK_LIMIT: u32 = 5;

/// What `prepare` settles on.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// `https://beacon.example.test/`, always with the slash.
    pub(crate) base_url: String,
    /// Where people sign in, for those who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login_url: Option<String>,
    /// The harbour that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site_id: Option<String>,
}

pub(crate) fn settings(call: &Call) -> Result<Settings, Error> {
    serde_json::from_str(&call.connection.settings).map_err(|_| refused("", "The connection has no address."))
}

/// The error for a part of an input that makes no sense.
fn refused(pointer: &str, message: &str) -> Error {
    let field = FieldFailure {
        pointer: pointer.to_owned(),
        name: pointer.trim_start_matches('/').to_owned(),
        message: message.to_owned(),
    };
    let why = failure(FailureClass::Input, "beacon.input-refused", message, "Correct the named field.");
    Error::Permanent(Failure { fields: vec![field], ..why })
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| refused("", &format!("Not as the schema says: {error}.")))
}

fn aside() -> Aside {
    Aside { notices: Vec::new(), memo: None, extra: "{}".to_owned() }
}

/// The implementation of the five interfaces. It holds nothing: every call is a new instance.
struct Beacon;

impl Catalog for Beacon {
    fn describe(_: Option<Connection>) -> Result<Description, Error> {
        Ok(Description { manifest: MANIFEST.to_owned(), lacking: Vec::new(), extra: "{}".to_owned() })
    }

    fn options(call: Call, query: ChoiceQuery) -> Result<Choices, Error> {
        if (query.card.as_str(), query.field.as_str()) != ("light-beacon", "/colour") {
            return Err(refused("/field", "This field has no list."));
        }
        let found = request(&call, Method::Get, "colours", None)?;
        let names = found["colours"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let items = names.filter(|name| name.contains(query.text.as_str())).map(|name| Choice {
            value: Value::from(name).to_string(),
            label: name.to_owned(),
            detail: String::new(),
        });
        Ok(Choices { items: items.collect(), next: None, aside: aside() })
    }

    fn schema(_: Call, card: String, _: String) -> Result<CardSchema, Error> {
        let manifest: Value = parse(MANIFEST)?;
        let found = manifest["cards"].as_array().and_then(|cards| cards.iter().find(|entry| entry["id"] == *card));
        let entry = found.ok_or_else(|| refused("/card", "There is no such card."))?;
        let input = entry.get("input").unwrap_or(&entry["filter"]);
        Ok(CardSchema { input: input.to_string(), output: entry["output"].to_string(), aside: aside() })
    }
}

impl Connect for Beacon {
    fn prepare(method: String, form: String) -> Result<Prepared, Error> {
        let field = match method.as_str() {
            "api-key" | "link" => "base-url",
            "sign-in" => "login-url",
            _ => return Err(refused("/method", "There is no such method.")),
        };
        let form: Value = parse(&form)?;
        let typed = form[field].as_str().unwrap_or_default();
        let mut base_url = typed.trim().trim_end_matches('/').to_owned() + "/";
        if !base_url.contains("://") {
            base_url.insert_str(0, "https://");
        }
        let rest = base_url.strip_prefix("https://").or_else(|| base_url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.starts_with('/') || rest.contains(['?', '#', '@', ' ', '\\'])) {
            return Err(refused(&format!("/{field}"), "That is not the address of a Beacon."));
        }
        let mut kept = form.clone();
        kept[field] = Value::from(base_url.as_str());
        let corrections = if typed == base_url { vec![] } else { vec![format!("The address was read as {base_url}")] };
        let login_url = (method == "sign-in").then(|| base_url.clone());
        let prepared = prepared(Settings { base_url, login_url, site_id: None });
        Ok(Prepared { corrections, form: kept.to_string(), ..prepared })
    }

    fn discover(call: Call) -> Result<Sites, Error> {
        let login_url = settings(&call)?.login_url;
        let login_url =
            login_url.ok_or_else(|| refused("/method", "The form names the Beacon: there is no choice."))?;
        let found = request(&call, Method::Get, "harbours", None)?;
        let items = found["harbours"].as_array().into_iter().flatten().map(|harbour| {
            let id = text(&harbour["id"]);
            let url = format!("{login_url}{id}/");
            // What a connector must not believe: the host holds it to where the person signed in.
            let login_url = harbour["login-url"].as_str().unwrap_or(&login_url).to_owned();
            let settings = Settings { base_url: url.clone(), login_url: Some(login_url), site_id: Some(id.clone()) };
            Site { id, label: text(&harbour["name"]), url, prepared: prepared(settings) }
        });
        Ok(Sites { items: items.collect(), aside: aside() })
    }

    fn check(call: Call) -> Result<Health, Error> {
        let settings = call.connection.settings.clone();
        let mut finding = Finding {
            outcome: Outcome::Passed,
            code: "beacon.account".to_owned(),
            message: "Beacon knows the key.".to_owned(),
            remedy: String::new(),
            who: Responsible::User,
            class: None,
        };
        let mut more = None;
        let identity = match request(&call, Method::Get, "account", None) {
            Ok(account) => {
                more = account["key-expires-in-days"].as_u64().map(expiry);
                Some(Identity {
                    tenant: text(&account["workspace"]),
                    account: text(&account["account"]),
                    label: text(&account["name"]),
                })
            }
            Err(error) => {
                let (outcome, why) = match error {
                    Error::Transient(backoff) => (Outcome::Unknown, backoff.failure),
                    Error::Permanent(why) | Error::PermanentUncertain(why) => (Outcome::Failed, why),
                    Error::ExecutionFailed => return Err(error),
                };
                let Failure { class, code, message, remedy, who, .. } = why;
                finding = Finding { outcome, code, message, remedy, who, class: Some(class) };
                None
            }
        };
        let findings = [finding].into_iter().chain(more).collect();
        Ok(Health { findings, identity, settings, origins: None, aside: aside() })
    }
}

/// What is to be said about a key that lasts for so many days.
fn expiry(days: u64) -> Finding {
    let soon = days <= 30;
    Finding {
        outcome: if soon { Outcome::Warning } else { Outcome::Passed },
        code: "beacon.key-expiry".to_owned(),
        message: format!("The key expires in {days} days."),
        remedy: if soon { "Make a new key and replace this one.".to_owned() } else { String::new() },
        who: Responsible::User,
        class: None,
    }
}

/// What comes of settings: everything is at the Beacon, or where people sign in to it.
fn prepared(settings: Settings) -> Prepared {
    let url = settings.login_url.as_ref().unwrap_or(&settings.base_url);
    let origin = Origin { url: url.clone(), credential: true, purpose: "your Beacon".to_owned() };
    let settings = json!(settings).to_string();
    let form = "{}".to_owned();
    Prepared { settings, origins: vec![origin], form, corrections: vec![], extra: "{}".to_owned() }
}

/// What `light-beacon` takes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Light {
    name: String,
    colour: String,
}

/// How far `survey` has come, and in the end its output.
#[derive(Default, Serialize, Deserialize)]
struct Survey {
    total: u64,
    colours: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl Action for Beacon {
    fn invoke(call: Call, card: String, input: String, state: Option<String>) -> Result<Invoked, Error> {
        let step = match card.as_str() {
            "light-beacon" => {
                let light: Light = parse(&input)?;
                Step::Done(request(&call, Method::Post, "beacons", Some(&json!(light)))?.to_string())
            }
            "survey" => survey(&call, state.as_deref().map(parse).transpose()?.unwrap_or_default())?,
            _ => return Err(refused("/card", "There is no such card.")),
        };
        Ok(Invoked { step, aside: aside() })
    }
}

fn survey(call: &Call, mut survey: Survey) -> Result<Step, Error> {
    let path = survey.after.as_ref().map_or("beacons".to_owned(), |after| format!("beacons?after={after}"));
    let page = request(call, Method::Get, &path, None)?;
    for beacon in page["beacons"].as_array().into_iter().flatten() {
        let count = survey.colours.entry(text(&beacon["colour"])).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap_or(0) + 1);
        survey.total += 1;
    }
    survey.after = page["next"].as_str().map(str::to_owned);
    let state = json!(survey).to_string();
    if survey.after.is_none() {
        return Ok(Step::Done(state));
    }
    let progress = Progress { done: survey.total, total: None, message: format!("{} beacons counted", survey.total) };
    Ok(Step::More(Continuation { state, after_ms: 0, progress }))
}

impl Event for Beacon {
    fn ensure(call: Call, wish: EnsureRequest) -> Result<Ensured, Error> {
        let answer = request(&call, Method::Get, "hooks", None)?;
        let hooks = answer["hooks"].as_array().cloned().unwrap_or_default();
        let (ours, others): (Vec<_>, Vec<_>) = hooks.iter().partition(|hook| hook["label"] == *wish.owner);
        let mut changes = Vec::new();
        let mut change = |change, hook: &str, reason: &str| {
            changes.push(PlannedChange { change, registration: hook.to_owned(), reason: reason.to_owned() });
        };
        let keep = if wish.wanted.is_empty() { 0 } else { 1 };
        for hook in ours.iter().skip(keep) {
            change(Change::Removed, &text(&hook["id"]), "No subscription needs it.");
            if !wish.plan {
                request(&call, Method::Delete, &format!("hooks/{}", text(&hook["id"])), None)?;
            }
        }
        let body = json!({"url": wish.callback, "label": wish.owner, "secret": wish.signing_secret});
        let mut registrations = Vec::new();
        if let Some(hook) = ours.first().filter(|_| keep == 1) {
            let id = text(&hook["id"]);
            let known = wish.known.iter().any(|known| known.id == id);
            if known && hook["url"] == *wish.callback {
                change(Change::Kept, &id, "It is as it should be.");
            } else {
                change(
                    if known { Change::Updated } else { Change::Adopted },
                    &id,
                    "Its address and secret are set anew.",
                );
                if !wish.plan {
                    request(&call, Method::Patch, &format!("hooks/{id}"), Some(&body))?;
                }
            }
            registrations.push(registration(id, &wish));
        } else if keep == 1 {
            if !wish.plan && hooks.len() >= HOOK_LIMIT as usize {
                let why = "This Beacon has no room for another webhook.";
                let why = failure(FailureClass::Limit, "beacon.hooks-full", why, "Remove one that nobody needs.");
                return Err(Error::Permanent(Failure { who: Responsible::ServiceAdmin, ..why }));
            }
            change(Change::Created, "", "There was none.");
            if !wish.plan {
                let made = request(&call, Method::Post, "hooks", Some(&body))?;
                registrations.push(registration(text(&made["id"]), &wish));
            }
        }
        let foreign = others.iter().map(|hook| ForeignRegistration {
            id: text(&hook["id"]),
            name: text(&hook["label"]),
            host: text(&hook["url"]).split('/').nth(2).unwrap_or_default().to_owned(),
            active: true,
            updated_at_ms: None,
            hint: String::new(),
        });
        let allowance = Allowance {
            name: "webhooks of this Beacon".to_owned(),
            used: Some((others.len() + if wish.plan { ours.len() } else { registrations.len() }) as u32),
            ours: if wish.plan { ours.len() } else { registrations.len() } as u32,
            limit: HOOK_LIMIT,
            warn_from: HOOK_LIMIT - 1,
            reason: String::new(),
        };
        let foreign = foreign.collect();
        Ok(Ensured { registrations, changes, foreign, allowances: vec![allowance], aside: aside() })
    }

    fn authenticate(_: Delivery, _: Registration) -> Result<Verdict, Error> {
        Ok(Verdict::Forged("Beacon's deliveries are proved by their signature.".to_owned()))
    }

    fn answer(delivery: Delivery) -> Result<Option<Reply>, Error> {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        Ok((body["type"] == "challenge").then(|| Reply {
            status: 200,
            headers: vec![Header { name: "content-type".to_owned(), value: "application/json".to_owned() }],
            body: json!({"challenge": body["challenge"]}).to_string().into_bytes(),
            extra: "{}".to_owned(),
        }))
    }

    fn receive(_: Option<Call>, delivery: Delivery, subscriptions: Vec<Subscription>) -> Result<Received, Error> {
        let signal: Value = serde_json::from_slice(&delivery.body).map_err(|_| {
            Error::Permanent(failure(FailureClass::Protocol, "beacon.not-json", "Not JSON.", "Report it."))
        })?;
        let occurrences = occurrence("beacon-lit", "lit", &signal, &subscriptions)?.into_iter().collect();
        Ok(Received { occurrences, aside: aside() })
    }

    fn poll(call: Call, subscriptions: Vec<Subscription>, cursor: Option<String>) -> Result<Polled, Error> {
        let since: Option<u64> = cursor.as_deref().map(parse).transpose()?;
        let since = since.map_or("latest".to_owned(), |since| since.to_string());
        let page = request(&call, Method::Get, &format!("signals?since={since}"), None)?;
        let mut occurrences = Vec::new();
        for signal in page["signals"].as_array().into_iter().flatten() {
            occurrences.extend(occurrence("beacon-faded", "faded", signal, &subscriptions)?);
        }
        let more = page["more"] == true;
        let after_ms = page["after-ms"].as_u64().unwrap_or(60_000);
        Ok(Polled { occurrences, cursor: page["next"].to_string(), more, after_ms, aside: aside() })
    }
}

/// The webhook with this id, as the host keeps it: `Beacon-Signature: t=…,v1=…`, where `v1` signs
/// the time, a dot and the body.
fn registration(id: String, wish: &EnsureRequest) -> Registration {
    let header = "beacon-signature".to_owned();
    let time = SignedPart::HeaderElement(HeaderElement { header: header.clone(), element: "t".to_owned() });
    let proof = Proof::Mac(Mac {
        algorithm: Digest::Sha256,
        header,
        element: Some("v1".to_owned()),
        prefix: String::new(),
        encoding: Encoding::Hex,
        signed: vec![time.clone(), SignedPart::Literal(".".to_owned()), SignedPart::RawBody],
        timestamp: Some(Timestamp { part: time, tolerance_s: 300 }),
        secret: SecretRef::Registration,
    });
    Registration {
        id,
        callback: wish.callback.clone(),
        covers: wish.wanted.iter().map(|subscription| subscription.id.clone()).collect(),
        proof,
        expires_at_ms: None,
        state: "{}".to_owned(),
        extra: "{}".to_owned(),
    }
}

/// The event in a signal of this kind, where a subscription of this card wants it.
fn occurrence(card: &str, kind: &str, signal: &Value, all: &[Subscription]) -> Result<Option<Occurrence>, Error> {
    let mut wanting = Vec::new();
    for subscription in all.iter().filter(|subscription| signal["kind"] == kind && subscription.card == card) {
        let filter: Value = parse(&subscription.filter)?;
        if filter["colours"].as_array().is_none_or(|colours| colours.contains(&signal["colour"])) {
            wanting.push(subscription.id.clone());
        }
    }
    Ok((!wanting.is_empty()).then(|| Occurrence {
        id: format!("signal-{}", signal["seq"]),
        card: card.to_owned(),
        subscriptions: wanting,
        time_ms: signal["at-ms"].as_u64(),
        payload: json!({"beacon": signal["beacon"], "colour": signal["colour"]}).to_string(),
        extra: "{}".to_owned(),
    }))
}

/// An id or a name of the service, as text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
