//! The Beacon service, as its connector in `tests/guests/beacon` expects it: on loopback, with
//! webhooks that it signs and a challenge for whoever registers one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::runtime::Runtime;

use super::sign_in::SignIn;
use crate::http;

/// The one key that it accepts.
pub(crate) const KEY: &str = "beacon-key-not-a-real-secret";

/// How many beacons are on a page.
const PAGE: usize = 2;

/// A running Beacon. Dropping it ends it.
pub(crate) struct Beacon {
    url: String,
    world: Shared,
    sign_in: SignIn,
    _runtime: Runtime,
}

/// What tells those who may ask from others.
#[derive(Clone)]
struct Known {
    world: Shared,
    sign_in: SignIn,
}

type Shared = Arc<Mutex<World>>;

#[derive(Default)]
struct World {
    beacons: Vec<Value>,
    signals: Vec<Value>,
    hooks: Vec<Value>,
    /// What a `POST /beacons` with an idempotency key made.
    made: HashMap<String, Value>,
    /// Method and path of every request that had the right key.
    calls: Vec<String>,
    per_page: Duration,
    refused: usize,
    /// The key, where it is not the first one any more.
    key: Option<String>,
    /// The workspace, where it is not the first one any more.
    workspace: Option<String>,
    /// Whose the key is, where it is not the first one's any more.
    holder: Option<&'static str>,
}

impl Beacon {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let world = Shared::default();
        let sign_in = SignIn::default();
        let known = Known { world: Arc::clone(&world), sign_in: sign_in.clone() };
        let api = |workspace: &'static str| {
            Router::new()
                .route("/account", get(async move |State(world): State<Shared>| account(&world, workspace)))
                .route("/colours", get(async || json!({"colours": ["red", "green"]}).to_string()))
                .route("/beacons", get(beacons).post(light))
                .route("/signals", get(signals))
                .route("/hooks", get(hooks).post(add_hook))
                .route("/hooks/{id}", patch(change_hook).delete(remove_hook))
                .with_state(Arc::clone(&world))
        };
        // What a person who signed in chooses from; a key is for the first of them.
        let routes = api("workspace-1")
            .nest("/north", api("workspace-north"))
            .nest("/south", api("workspace-south"))
            .nest("/moved", api("workspace-1"))
            .merge(sign_in.harbours())
            .layer(from_fn_with_state(known, with_key))
            .merge(sign_in.pages());
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("there is a free port on loopback");
        let url = format!("http://{}/", listener.local_addr().expect("it has an address"));
        runtime.spawn(async { axum::serve(listener, routes).await });
        Self { url, world, sign_in, _runtime: runtime }
    }

    /// Where people sign in.
    pub(crate) fn sign_in(&self) -> &SignIn {
        &self.sign_in
    }

    /// From now on another workspace answers where the first one did.
    pub(crate) fn become_another(&self, workspace: &str) {
        look(&self.world).workspace = Some(workspace.to_owned());
    }

    /// From now on the key is somebody else's.
    pub(crate) fn belongs_to(&self, holder: &'static str) {
        look(&self.world).holder = Some(holder);
    }

    /// The key that it accepts from now on.
    pub(crate) fn change_key(&self, key: &str) {
        look(&self.world).key = Some(key.to_owned());
    }

    /// Where it is, with a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Method and path of every request that had the right key.
    pub(crate) fn calls(&self) -> Vec<String> {
        look(&self.world).calls.clone()
    }

    /// How many requests came without the right key.
    pub(crate) fn refused(&self) -> usize {
        look(&self.world).refused
    }

    /// The lit beacons.
    pub(crate) fn beacons(&self) -> Vec<Value> {
        look(&self.world).beacons.clone()
    }

    /// The registered webhooks, with their secrets.
    pub(crate) fn hooks(&self) -> Vec<Value> {
        look(&self.world).hooks.clone()
    }

    /// So many more beacons that no webhook told of.
    pub(crate) fn light_silently(&self, count: usize) {
        let mut world = look(&self.world);
        for _ in 0..count {
            let id = format!("b{}", world.beacons.len() + 1);
            world.beacons.push(json!({"id": id, "name": "silent", "colour": "green"}));
        }
    }

    /// Lights one more, and tells of it.
    pub(crate) fn light_one(&self) {
        self.light_silently(1);
        let mut world = look(&self.world);
        let signal = signal(&mut world, "lit", "b0", "red");
        for hook in world.hooks.clone() {
            let signal = signal.clone();
            std::thread::spawn(move || send(&hook, &signal));
        }
    }

    /// How long it takes to list a page of beacons.
    pub(crate) fn take_its_time(&self, per_page: Duration) {
        look(&self.world).per_page = per_page;
    }

    /// Lets a beacon fade: a signal that no webhook brings.
    pub(crate) fn fade(&self, beacon: &str, colour: &str) {
        signal(&mut look(&self.world), "faded", beacon, colour);
    }
}

/// What `Beacon-Signature` holds for a body that was signed at this time (seconds since 1970).
pub(crate) fn signature(secret: &str, time: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

fn look(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().expect("no request panicked in it")
}

async fn with_key(State(known): State<Known>, request: Request, next: Next) -> Response {
    let Known { world, sign_in } = known;
    let right = look(&world).key.clone().unwrap_or_else(|| KEY.to_owned());
    let has_key = request.headers().get("x-beacon-key").is_some_and(|key| *key == *right);
    if !has_key && !sign_in.knows(request.headers()) {
        look(&world).refused += 1;
        return (StatusCode::UNAUTHORIZED, json!({"message": "The key is not known."}).to_string()).into_response();
    }
    let path = request.uri().path_and_query().map_or(String::new(), ToString::to_string);
    look(&world).calls.push(format!("{} {path}", request.method()));
    next.run(request).await
}

fn account(world: &Shared, workspace: &str) -> String {
    let world = look(world);
    let workspace = world.workspace.as_deref().unwrap_or(workspace);
    let (account, name) = world.holder.map_or(("account-1", "Harbour master"), |holder| (holder, holder));
    json!({"workspace": workspace, "account": account, "name": name}).to_string()
}

async fn beacons(State(world): State<Shared>, Query(query): Query<HashMap<String, String>>) -> String {
    let per_page = look(&world).per_page;
    tokio::time::sleep(per_page).await;
    let world = look(&world);
    let start = query.get("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    let page: Vec<_> = world.beacons.iter().skip(start).take(PAGE).collect();
    let end = start + page.len();
    let next = (end < world.beacons.len()).then(|| end.to_string());
    json!({"beacons": page, "next": next}).to_string()
}

async fn light(State(world): State<Shared>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let mut wish: Value = serde_json::from_slice(&body).unwrap_or_default();
    let known = ["red", "green"].iter().any(|colour| wish["colour"] == *colour);
    if !known {
        let why = json!({"message": "This Beacon has no such colour.", "field": "colour"});
        return (StatusCode::UNPROCESSABLE_ENTITY, why.to_string());
    }
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let mut world = look(&world);
    if let Some(made) = key.as_ref().and_then(|key| world.made.get(key)) {
        return (StatusCode::OK, made.to_string());
    }
    let id = format!("b{}", world.beacons.len() + 1);
    wish["id"] = json!(id);
    world.beacons.push(wish.clone());
    world.made.extend(key.map(|key| (key, wish.clone())));
    let colour = wish["colour"].as_str().unwrap_or_default().to_owned();
    let signal = signal(&mut world, "lit", &id, &colour);
    for hook in world.hooks.clone() {
        let signal = signal.clone();
        std::thread::spawn(move || send(&hook, &signal));
    }
    (StatusCode::CREATED, wish.to_string())
}

async fn signals(State(world): State<Shared>, Query(query): Query<HashMap<String, String>>) -> String {
    let world = look(&world);
    let last = world.signals.len();
    let since = query.get("since").and_then(|since| since.parse().ok()).unwrap_or(last);
    let found: Vec<_> = world.signals.iter().skip(since).collect();
    json!({"signals": found, "next": last, "more": false, "after-ms": 200}).to_string()
}

async fn hooks(State(world): State<Shared>) -> String {
    let shown = |hook: &Value| json!({"id": hook["id"], "url": hook["url"], "label": hook["label"]});
    json!({"hooks": look(&world).hooks.iter().map(shown).collect::<Vec<_>>()}).to_string()
}

/// Registers a webhook, once its URL has answered the challenge.
async fn add_hook(State(world): State<Shared>, body: Bytes) -> (StatusCode, String) {
    let mut hook: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = hook.clone();
    let challenge = json!({"type": "challenge", "challenge": "light the lamp"});
    let answer = tokio::task::spawn_blocking(move || send(&asked, &challenge)).await.ok().flatten();
    if answer.is_none_or(|answer| answer["challenge"] != "light the lamp") {
        let why = json!({"message": "The address did not answer the challenge.", "field": "url"});
        return (StatusCode::UNPROCESSABLE_ENTITY, why.to_string());
    }
    let mut world = look(&world);
    hook["id"] = json!(format!("h{}", world.hooks.len() + 1));
    world.hooks.push(hook.clone());
    (StatusCode::CREATED, json!({"id": hook["id"]}).to_string())
}

async fn change_hook(State(world): State<Shared>, Path(id): Path<String>, body: Bytes) -> String {
    let mut change: Value = serde_json::from_slice(&body).unwrap_or_default();
    change["id"] = json!(id);
    for hook in look(&world).hooks.iter_mut().filter(|hook| hook["id"] == *id) {
        *hook = change.clone();
    }
    json!({"id": id}).to_string()
}

async fn remove_hook(State(world): State<Shared>, Path(id): Path<String>) -> String {
    look(&world).hooks.retain(|hook| hook["id"] != *id);
    "{}".to_owned()
}

fn signal(world: &mut World, kind: &str, beacon: &str, colour: &str) -> Value {
    let seq = world.signals.len() + 1;
    let signal = json!({"seq": seq, "kind": kind, "beacon": beacon, "colour": colour, "at-ms": now() * 1000});
    world.signals.push(signal.clone());
    signal
}

/// Sends a signed delivery, and answers with the JSON that came back with a success.
fn send(hook: &Value, content: &Value) -> Option<Value> {
    let body = content.to_string();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("beacon-delivery", format!("delivery-{}", content["seq"])),
        ("beacon-signature", signature(hook["secret"].as_str()?, now(), &body)),
    ];
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let answer = http::try_send("POST", hook["url"].as_str()?, &headers, body.as_bytes()).ok()?;
    (answer.status == 200).then(|| serde_json::from_str(&answer.body).unwrap_or_default())
}
