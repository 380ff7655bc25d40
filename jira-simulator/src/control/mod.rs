//! The control API: what a person or the weather would change, on a listener of its own.
//!
//! | route | body → answer |
//! | --- | --- |
//! | `GET /` | → this list |
//! | `GET /wire?since=N` | → `{next, entries: [{seq, at_ms, method, path, route, site, door, query, headers, account, login, request_body, status, response_headers, response_body, committed, fault, missing_route}]}`; `login` is `ok`, `anonymous`, `failed` or `denied`; `status` 0 is a cut connection; `route` is the path within the site, `door` is `site`, `gateway` or `csm`, `site` and `door` are null where a server of logins answered |
//! | `DELETE /wire` | forgets the entries; numbers go on |
//! | `GET /faults`, `DELETE /faults`, `DELETE /faults/{id}` | the faults that wait |
//! | `POST /faults` | `{match: {method?, path? (prefix), path_contains?, host?}, times? (1; 0 = until removed), delay_ms?, status?, headers?, body?, base64?, repeat?, commit?, cut?: before-commit \| after-commit \| mid-body, slow_ms_per_chunk?, truncate_body_to?}` → `{id}` |
//! | `GET /time` | → `{now_ms, offset_ms}` |
//! | `POST /time/advance` | `{ms}`: moves virtual time; due retries and the index follow at once |
//! | `GET /settings`, `PATCH /settings` | see `state::settings` |
//! | see `login`, `people` | accounts, sites, tokens, apps, grants, links, the token endpoints |
//! | `POST /webhooks/seed` | `{count, enabled?}`: webhooks of others → `{ids}` |
//! | `GET /webhooks/deliveries` | → `[{identifier, webhook_id, event, url, state, attempts: [{at_ms, status \| error}], next_attempt_ms}]` |
//! | `GET /webhooks/deliveries/{identifier}/request` | → `{method, url, headers, body}`, exactly as sent |
//! | `POST /webhooks/deliveries/{identifier}/redeliver` | sends it again now → the delivery |
//! | `POST /reset` | everything as at the start; tokens stay the same |

pub(crate) mod fault;
pub(crate) mod hold;
mod login;
mod people;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::server::Hub;
use crate::state::settings::Settings;
use crate::webhook::Webhook;
use crate::world::World;
use fault::Fault;

type Shared = State<Arc<Hub>>;

/// The routes as `GET /` lists them.
const ROUTES: &[&str] = &[
    "GET /wire?since=N",
    "DELETE /wire",
    "GET /faults",
    "POST /faults",
    "DELETE /faults",
    "DELETE /faults/{id}",
    "GET /time",
    "POST /time/advance {ms}",
    "GET /settings",
    "PATCH /settings",
    "POST /webhooks/seed {count, enabled?}",
    "GET /webhooks/deliveries",
    "GET /webhooks/deliveries/{identifier}/request",
    "POST /webhooks/deliveries/{identifier}/redeliver",
    "POST /reset",
];

pub(crate) async fn serve(hub: Arc<Hub>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/", get(list_routes))
        .route("/wire", get(read_wire).delete(clear_wire))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/time", get(time))
        .route("/time/advance", post(advance))
        .route("/settings", get(settings).patch(change_settings))
        .route("/webhooks/seed", post(seed))
        .route("/webhooks/deliveries", get(deliveries))
        .route("/webhooks/deliveries/{identifier}/request", get(delivery_request))
        .route("/webhooks/deliveries/{identifier}/redeliver", post(redeliver))
        .route("/reset", post(reset))
        .merge(people::router())
        .merge(login::router())
        .fallback(unknown)
        .with_state(hub);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.changed().await;
    });
    if let Err(error) = server.await {
        eprintln!("the control listener ended: {error}");
    }
}

async fn list_routes() -> Json<Value> {
    let routes: Vec<&str> = [ROUTES, people::ROUTES, login::ROUTES].concat();
    Json(json!({"routes": routes}))
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}

async fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "no such control route: GET / lists them")
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn read_wire(State(hub): Shared, Query(query): Query<Since>) -> Json<Value> {
    let (next, entries) = hub.wire().since(query.since);
    Json(json!({"next": next, "entries": entries}))
}

async fn clear_wire(State(hub): Shared) -> StatusCode {
    hub.wire().clear();
    StatusCode::NO_CONTENT
}

async fn list_faults(State(hub): Shared) -> Json<Value> {
    Json(json!(hub.faults().list()))
}

async fn add_fault(State(hub): Shared, Json(fault): Json<Fault>) -> Response {
    if fault.status.is_some_and(|status| !(200..=599).contains(&status)) {
        return refuse(StatusCode::BAD_REQUEST, "a status is a number from 200 to 599");
    }
    if !fault.is_sane() {
        return refuse(StatusCode::BAD_REQUEST, "with base64, the body is a text in base64");
    }
    let id = hub.faults().add(fault);
    Json(json!({"id": id})).into_response()
}

async fn clear_faults(State(hub): Shared) -> StatusCode {
    hub.faults().clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(hub): Shared, Path(id): Path<u64>) -> StatusCode {
    if hub.faults().remove(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn time(State(hub): Shared) -> Json<Value> {
    Json(json!({"now_ms": hub.clock.now_ms(), "offset_ms": hub.clock.offset_ms()}))
}

#[derive(Deserialize)]
struct Advance {
    ms: u64,
}

async fn advance(State(hub): Shared, Json(advance): Json<Advance>) -> Json<Value> {
    hub.clock.advance(advance.ms);
    time(State(hub)).await
}

/// The settings of the sites and of the logins, as one object.
fn merged(world: &World) -> serde_json::Map<String, Value> {
    let mut all = serde_json::Map::new();
    for part in [json!(world.sites[0].settings), json!(world.login.settings)] {
        all.extend(part.as_object().cloned().unwrap_or_default());
    }
    all
}

async fn settings(State(hub): Shared) -> Json<Value> {
    Json(Value::Object(merged(&hub.world())))
}

async fn change_settings(State(hub): Shared, Json(changes): Json<serde_json::Map<String, Value>>) -> Response {
    let mut world = hub.world();
    let (mut sites, mut login) = (json!(world.sites[0].settings), json!(world.login.settings));
    for (name, value) in changes {
        // A name that neither has is refused with the first.
        let part = if login.get(&name).is_some() { &mut login } else { &mut sites };
        part[name] = value;
    }
    match (serde_json::from_value::<Settings>(sites), serde_json::from_value(login)) {
        (Ok(sites), Ok(login)) => {
            world.sites.iter_mut().for_each(|site| site.settings = sites.clone());
            world.login.settings = login;
            Json(Value::Object(merged(&world))).into_response()
        }
        (Err(error), _) | (_, Err(error)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

#[derive(Deserialize)]
struct Seed {
    count: u32,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

async fn seed(State(hub): Shared, Json(seed): Json<Seed>) -> Json<Value> {
    let mut world = hub.world();
    let jira = &mut world.sites[0];
    let now = jira.now();
    let ids: Vec<u64> = (0..seed.count.min(10_000))
        .map(|_| {
            let id = jira.next_id("webhook", 1);
            let mut webhook = Webhook::new(0, now);
            webhook.id = id;
            webhook.name = format!("Webhook of another tool {id}");
            webhook.url = format!("https://other-tool.example.test/hooks/{id}");
            webhook.events = vec!["jira:version_released".to_owned()];
            webhook.enabled = seed.enabled;
            jira.webhooks.push(webhook);
            id
        })
        .collect();
    Json(json!({"ids": ids}))
}

async fn deliveries(State(hub): Shared) -> Json<Value> {
    Json(json!(hub.deliveries.list()))
}

async fn delivery_request(State(hub): Shared, Path(identifier): Path<String>) -> Response {
    match hub.deliveries.request(&identifier) {
        Some(request) => Json(json!(request)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no such delivery: GET /webhooks/deliveries lists them"),
    }
}

async fn redeliver(State(hub): Shared, Path(identifier): Path<String>) -> Response {
    let private = hub.world().sites[0].settings.allow_private_delivery;
    match hub.deliveries.redeliver(&identifier, private).await {
        Some(delivery) => Json(json!(delivery)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no such delivery: GET /webhooks/deliveries lists them"),
    }
}

async fn reset(State(hub): Shared) -> StatusCode {
    hub.world().reset();
    hub.hold.set(None);
    hub.faults().clear();
    hub.wire().clear();
    hub.deliveries.clear();
    hub.clock.reset();
    StatusCode::NO_CONTENT
}
