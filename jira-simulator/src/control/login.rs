//! Controls for OAuth: apps, grants, application links, and the token endpoints.
//!
//! | route | body → answer |
//! | --- | --- |
//! | `POST /apps` | `{name, kind?: three-legged \| incoming-link \| service-account, callback_urls?, scopes?, distributed?, owner?}` → `{client_id, client_secret, …}`; `owner` is the service account of its credentials |
//! | `GET /apps`, `DELETE /apps/{client_id}` | without secrets; deleting ends its grants |
//! | `PATCH /apps/{client_id}` | `{callback_urls?, scopes?, distributed?, owner?}` |
//! | `POST /apps/{client_id}/rotate-secret` | → `{client_id, client_secret}` |
//! | `GET /grants` | → `[{id, client_id, account, sites: {name: [scope]}, access_tokens, refresh_tokens, last_used_ms}]` |
//! | `DELETE /grants/{id}` | revokes it |
//! | `POST /grants/{id}/expire` | `{access?: bool, refresh?: bool}`: as if their time had passed |
//! | `POST /links` | `{consumer_key, name?, public_key}`: an OAuth 1.0a application link |
//! | `GET /links`, `DELETE /links/{key}` | |
//! | `POST /links/{key}/revoke` | takes back every token of the link |
//! | `GET /token-endpoint` | → `{calls: {grant type: {outcome: count}}, held, waiting}` |
//! | `DELETE /token-endpoint/calls` | forgets the counts |
//! | `POST /token-endpoint/hold` | `{when?: before \| after}`: calls wait before anything, or with their answer |
//! | `POST /token-endpoint/release` | lets them go on |

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::hold::When;
use super::{Shared, refuse};
use crate::login::app::{App, AppKind};
use crate::login::oauth1::{Consumer, public_key};
use crate::server::Hub;
use crate::world::World;

pub(super) const ROUTES: &[&str] = &[
    "GET /apps",
    "POST /apps {name, kind?, callback_urls?, scopes?, distributed?, owner?}",
    "PATCH /apps/{client_id} {callback_urls?, scopes?, distributed?, owner?}",
    "DELETE /apps/{client_id}",
    "POST /apps/{client_id}/rotate-secret",
    "GET /grants",
    "DELETE /grants/{id}",
    "POST /grants/{id}/expire {access?, refresh?}",
    "GET /links",
    "POST /links {consumer_key, name?, public_key}",
    "DELETE /links/{consumer_key}",
    "POST /links/{consumer_key}/revoke",
    "GET /token-endpoint",
    "DELETE /token-endpoint/calls",
    "POST /token-endpoint/hold {when?}",
    "POST /token-endpoint/release",
];

pub(super) fn router() -> Router<Arc<Hub>> {
    Router::new()
        .route("/apps", get(apps).post(add_app))
        .route("/apps/{client_id}", delete(delete_app).patch(edit_app))
        .route("/apps/{client_id}/rotate-secret", post(rotate))
        .route("/grants", get(grants))
        .route("/grants/{id}", delete(revoke_grant))
        .route("/grants/{id}/expire", post(expire_grant))
        .route("/links", get(links).post(add_link))
        .route("/links/{key}", delete(delete_link))
        .route("/links/{key}/revoke", post(revoke_link))
        .route("/token-endpoint", get(token_endpoint))
        .route("/token-endpoint/calls", delete(forget_calls))
        .route("/token-endpoint/hold", post(hold))
        .route("/token-endpoint/release", post(release))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    name: String,
    kind: Option<AppKind>,
    #[serde(flatten)]
    rest: AppChange,
}

#[derive(Deserialize)]
struct AppChange {
    callback_urls: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    distributed: Option<bool>,
    owner: Option<String>,
}

/// Puts a change onto an app.
///
/// # Errors
/// What is wrong with it.
fn apply(world: &World, app: &mut App, change: AppChange) -> Result<(), &'static str> {
    if let Some(owner) = change.owner {
        app.owner = world.account(&owner).ok_or("there is no such owner: GET /accounts lists them")?;
    }
    let service = world.sites[0].accounts[app.owner].service;
    if service != (app.kind == AppKind::ServiceAccount) {
        return Err("a service account owns its credentials, a person every other app");
    }
    if let Some(callbacks) = change.callback_urls {
        if callbacks.iter().any(|callback| url::Url::parse(callback).is_err()) {
            return Err("a callback URL is an absolute address");
        }
        app.callbacks = callbacks;
    }
    app.scopes = change.scopes.unwrap_or_else(|| std::mem::take(&mut app.scopes));
    app.distributed = change.distributed.unwrap_or(app.distributed);
    Ok(())
}

fn app(world: &World, app: &App) -> Value {
    json!({
        "client_id": app.client_id, "name": app.name, "kind": app.kind, "callback_urls": app.callbacks,
        "scopes": app.scopes, "distributed": app.distributed,
        "owner": world.sites[0].accounts[app.owner].name,
    })
}

async fn apps(State(hub): Shared) -> Json<Value> {
    let world = hub.world();
    Json(world.login.apps.iter().map(|kept| app(&world, kept)).collect())
}

async fn add_app(State(hub): Shared, Json(new): Json<NewApp>) -> Response {
    let mut world = hub.world();
    let usual = if world.login.cloud() { AppKind::ThreeLegged } else { AppKind::IncomingLink };
    let kind = new.kind.unwrap_or(usual);
    if (kind == AppKind::IncomingLink) == world.login.cloud() {
        return refuse(StatusCode::BAD_REQUEST, "this Jira has no apps of this kind");
    }
    let mut made = App::new(&new.name, kind, 0);
    if let Err(why) = apply(&world, &mut made, new.rest) {
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    let mut body = app(&world, &made);
    body["client_secret"] = json!(made.secret);
    world.login.apps.push(made);
    Json(body).into_response()
}

fn no_app() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such app: GET /apps lists them")
}

fn place(world: &World, client_id: &str) -> Option<usize> {
    world.login.apps.iter().position(|app| app.client_id == client_id)
}

async fn edit_app(State(hub): Shared, Path(client_id): Path<String>, Json(change): Json<AppChange>) -> Response {
    let mut world = hub.world();
    let Some(place) = place(&world, &client_id) else { return no_app() };
    let mut changed = world.login.apps.remove(place);
    let applied = apply(&world, &mut changed, change);
    let body = app(&world, &changed);
    world.login.apps.insert(place, changed);
    match applied {
        Ok(()) => Json(body).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}

async fn delete_app(State(hub): Shared, Path(client_id): Path<String>) -> Response {
    let mut world = hub.world();
    let Some(place) = place(&world, &client_id) else { return no_app() };
    world.login.apps.remove(place);
    world.login.grants.retain(|grant| grant.client_id != client_id);
    StatusCode::NO_CONTENT.into_response()
}

async fn rotate(State(hub): Shared, Path(client_id): Path<String>) -> Response {
    let mut world = hub.world();
    let Some(place) = place(&world, &client_id) else { return no_app() };
    let app = &mut world.login.apps[place];
    app.secret = App::new_secret();
    Json(json!({"client_id": app.client_id, "client_secret": app.secret})).into_response()
}

async fn grants(State(hub): Shared) -> Json<Value> {
    let world = hub.world();
    let now = world.login.now();
    let shown = world.login.grants.iter().map(|grant| {
        let sites: BTreeMap<&str, &Vec<String>> =
            grant.sites.iter().map(|(place, scopes)| (world.sites[*place].name.as_str(), scopes)).collect();
        let (access, refresh) = grant.live(now);
        json!({
            "id": grant.id, "client_id": grant.client_id, "account": world.sites[0].accounts[grant.account].name,
            "sites": sites, "access_tokens": access, "refresh_tokens": refresh, "last_used_ms": grant.last_used,
        })
    });
    Json(shown.collect())
}

fn no_grant() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such grant: GET /grants lists them")
}

async fn revoke_grant(State(hub): Shared, Path(id): Path<u64>) -> Response {
    let mut world = hub.world();
    let before = world.login.grants.len();
    world.login.grants.retain(|grant| grant.id != id);
    if world.login.grants.len() < before { StatusCode::NO_CONTENT.into_response() } else { no_grant() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    #[serde(default)]
    access: bool,
    #[serde(default)]
    refresh: bool,
}

async fn expire_grant(State(hub): Shared, Path(id): Path<u64>, Json(expire): Json<Expire>) -> Response {
    match hub.world().login.grants.iter_mut().find(|grant| grant.id == id) {
        Some(grant) => {
            grant.expire(expire.access, expire.refresh);
            StatusCode::NO_CONTENT.into_response()
        }
        None => no_grant(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLink {
    consumer_key: String,
    name: Option<String>,
    public_key: String,
}

async fn add_link(State(hub): Shared, Json(new): Json<NewLink>) -> Response {
    let mut world = hub.world();
    if world.login.cloud() {
        return refuse(StatusCode::BAD_REQUEST, "a Cloud has no application links of OAuth 1.0a");
    }
    let taken = world.login.links.consumers.iter().any(|consumer| consumer.key == new.consumer_key);
    if taken || new.consumer_key.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "the consumer key is empty or taken");
    }
    let Some(public_key) = public_key(&new.public_key) else {
        return refuse(StatusCode::BAD_REQUEST, "the public key is no RSA key in PEM (BEGIN PUBLIC KEY)");
    };
    let name = new.name.unwrap_or_else(|| new.consumer_key.clone());
    world.login.links.consumers.push(Consumer { key: new.consumer_key, name, public_key });
    StatusCode::NO_CONTENT.into_response()
}

async fn links(State(hub): Shared) -> Json<Value> {
    let world = hub.world();
    let links = &world.login.links;
    let shown = links.consumers.iter().map(|consumer| {
        json!({"consumer_key": consumer.key, "name": consumer.name, "access_tokens": links.access_tokens(&consumer.key)})
    });
    Json(shown.collect())
}

async fn delete_link(State(hub): Shared, Path(key): Path<String>) -> StatusCode {
    let mut world = hub.world();
    let links = &mut world.login.links;
    let before = links.consumers.len();
    links.consumers.retain(|consumer| consumer.key != key);
    links.revoke(&key);
    if links.consumers.len() < before { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn revoke_link(State(hub): Shared, Path(key): Path<String>) -> StatusCode {
    hub.world().login.links.revoke(&key);
    StatusCode::NO_CONTENT
}

async fn token_endpoint(State(hub): Shared) -> Json<Value> {
    let calls = hub.world().login.token_calls.clone();
    Json(json!({"calls": calls, "held": hub.hold.held(), "waiting": hub.hold.waiting()}))
}

async fn forget_calls(State(hub): Shared) -> StatusCode {
    hub.world().login.token_calls.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldWhen {
    when: Option<When>,
}

async fn hold(State(hub): Shared, Json(hold): Json<HoldWhen>) -> StatusCode {
    hub.hold.set(Some(hold.when.unwrap_or(When::After)));
    StatusCode::NO_CONTENT
}

async fn release(State(hub): Shared) -> StatusCode {
    hub.hold.set(None);
    StatusCode::NO_CONTENT
}
