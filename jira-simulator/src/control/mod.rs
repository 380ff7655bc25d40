//! The control API: what a person or the weather would change, on a listener of its own.
//!
//! | route | body → answer |
//! | --- | --- |
//! | `GET /` | → this list |
//! | `GET /wire?since=N` | → `{next, entries: [{seq, at_ms, method, path, query, headers, account, login, request_body, status, response_headers, response_body, committed, fault, missing_route}]}`; `login` is `ok`, `anonymous`, `failed` or `denied`; `status` 0 is a cut connection |
//! | `DELETE /wire` | forgets the entries; numbers go on |
//! | `GET /faults`, `DELETE /faults`, `DELETE /faults/{id}` | the faults that wait |
//! | `POST /faults` | `{match: {method?, path? (prefix), path_contains?}, times? (1; 0 = until removed), delay_ms?, status?, headers?, body?, commit?, cut?: before-commit \| after-commit \| mid-body, slow_ms_per_chunk?, truncate_body_to?}` → `{id}` |
//! | `GET /time` | → `{now_ms, offset_ms}` |
//! | `POST /time/advance` | `{ms}`: moves virtual time; due retries and the index follow at once |
//! | `GET /settings`, `PATCH /settings` | see `state::settings` |
//! | `GET /accounts` | → `[{name, email, admin, token_revoked, locked, failures}]`, and `auth_failures` in all |
//! | `POST /accounts/{name}/revoke-token`, `/restore-token`, `/lock`, `/unlock` | `lock` is CAPTCHA |
//! | `POST /webhooks/seed` | `{count, enabled?}`: webhooks of others → `{ids}` |
//! | `GET /webhooks/deliveries` | → `[{identifier, webhook_id, event, url, state, attempts: [{at_ms, status \| error}], next_attempt_ms}]` |
//! | `GET /webhooks/deliveries/{identifier}/request` | → `{method, url, headers, body}`, exactly as sent |
//! | `POST /webhooks/deliveries/{identifier}/redeliver` | sends it again now → the delivery |
//! | `POST /reset` | everything as at the start; tokens stay the same |

pub(crate) mod fault;

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

use crate::server::Site;
use crate::webhook::Webhook;
use fault::Fault;

type Shared = State<Arc<Site>>;

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
    "GET /accounts",
    "POST /accounts/{name}/revoke-token",
    "POST /accounts/{name}/restore-token",
    "POST /accounts/{name}/lock",
    "POST /accounts/{name}/unlock",
    "POST /webhooks/seed {count, enabled?}",
    "GET /webhooks/deliveries",
    "GET /webhooks/deliveries/{identifier}/request",
    "POST /webhooks/deliveries/{identifier}/redeliver",
    "POST /reset",
];

pub(crate) async fn serve(site: Arc<Site>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/", get(list_routes))
        .route("/wire", get(read_wire).delete(clear_wire))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/time", get(time))
        .route("/time/advance", post(advance))
        .route("/settings", get(settings).patch(change_settings))
        .route("/accounts", get(accounts))
        .route("/accounts/{name}/{change}", post(change_account))
        .route("/webhooks/seed", post(seed))
        .route("/webhooks/deliveries", get(deliveries))
        .route("/webhooks/deliveries/{identifier}/request", get(delivery_request))
        .route("/webhooks/deliveries/{identifier}/redeliver", post(redeliver))
        .route("/reset", post(reset))
        .fallback(unknown)
        .with_state(site);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.changed().await;
    });
    if let Err(error) = server.await {
        eprintln!("the control listener ended: {error}");
    }
}

async fn list_routes() -> Json<Value> {
    Json(json!({"routes": ROUTES}))
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

async fn read_wire(State(site): Shared, Query(query): Query<Since>) -> Json<Value> {
    let (next, entries) = site.wire().since(query.since);
    Json(json!({"next": next, "entries": entries}))
}

async fn clear_wire(State(site): Shared) -> StatusCode {
    site.wire().clear();
    StatusCode::NO_CONTENT
}

async fn list_faults(State(site): Shared) -> Json<Value> {
    Json(json!(site.faults().list()))
}

async fn add_fault(State(site): Shared, Json(fault): Json<Fault>) -> Response {
    if fault.status.is_some_and(|status| !(200..=599).contains(&status)) {
        return refuse(StatusCode::BAD_REQUEST, "a status is a number from 200 to 599");
    }
    let id = site.faults().add(fault);
    Json(json!({"id": id})).into_response()
}

async fn clear_faults(State(site): Shared) -> StatusCode {
    site.faults().clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(site): Shared, Path(id): Path<u64>) -> StatusCode {
    if site.faults().remove(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn time(State(site): Shared) -> Json<Value> {
    Json(json!({"now_ms": site.clock.now_ms(), "offset_ms": site.clock.offset_ms()}))
}

#[derive(Deserialize)]
struct Advance {
    ms: u64,
}

async fn advance(State(site): Shared, Json(advance): Json<Advance>) -> Json<Value> {
    site.clock.advance(advance.ms);
    time(State(site)).await
}

async fn settings(State(site): Shared) -> Json<Value> {
    Json(json!(site.jira().settings))
}

async fn change_settings(State(site): Shared, Json(changes): Json<serde_json::Map<String, Value>>) -> Response {
    let mut jira = site.jira();
    let mut merged = json!(jira.settings);
    for (name, value) in changes {
        merged[name] = value;
    }
    match serde_json::from_value(merged) {
        Ok(settings) => {
            jira.settings = settings;
            Json(json!(jira.settings)).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn accounts(State(site): Shared) -> Json<Value> {
    let jira = site.jira();
    let accounts: Vec<Value> = jira
        .accounts
        .iter()
        .map(|account| {
            json!({
                "name": account.name, "email": account.email, "account_id": account.account_id,
                "admin": account.admin, "token_revoked": account.token_revoked, "locked": account.locked,
                "failures": account.failures,
            })
        })
        .collect();
    Json(json!({"accounts": accounts, "auth_failures": jira.auth_failures}))
}

async fn change_account(State(site): Shared, Path((name, change)): Path<(String, String)>) -> Response {
    let mut jira = site.jira();
    let Some(account) = jira.accounts.iter_mut().find(|account| account.name == name) else {
        return refuse(StatusCode::NOT_FOUND, "the accounts are admin and user");
    };
    match change.as_str() {
        "revoke-token" => account.token_revoked = true,
        "restore-token" => account.token_revoked = false,
        "lock" => account.locked = true,
        "unlock" => {
            account.locked = false;
            account.failures = 0;
        }
        _ => return refuse(StatusCode::NOT_FOUND, "an account takes revoke-token, restore-token, lock and unlock"),
    }
    StatusCode::NO_CONTENT.into_response()
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

async fn seed(State(site): Shared, Json(seed): Json<Seed>) -> Json<Value> {
    let mut jira = site.jira();
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

async fn deliveries(State(site): Shared) -> Json<Value> {
    Json(json!(site.deliveries.list()))
}

async fn delivery_request(State(site): Shared, Path(identifier): Path<String>) -> Response {
    match site.deliveries.request(&identifier) {
        Some(request) => Json(json!(request)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no such delivery: GET /webhooks/deliveries lists them"),
    }
}

async fn redeliver(State(site): Shared, Path(identifier): Path<String>) -> Response {
    let private = site.jira().settings.allow_private_delivery;
    match site.deliveries.redeliver(&identifier, private).await {
        Some(delivery) => Json(json!(delivery)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no such delivery: GET /webhooks/deliveries lists them"),
    }
}

async fn reset(State(site): Shared) -> StatusCode {
    site.jira().reset();
    site.faults().clear();
    site.wire().clear();
    site.deliveries.clear();
    site.clock.reset();
    StatusCode::NO_CONTENT
}
