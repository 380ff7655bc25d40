//! Controls for accounts, sites and tokens: what a person does in a profile, an administrator with people.
//!
//! | route | body → answer |
//! | --- | --- |
//! | `GET /accounts` | → `{accounts: [{name, email, account_id, admin, service, time_zone, members, locked, failures, token_revoked}], auth_failures}` |
//! | `POST /accounts` | `{name, display_name?, sites?, service?}`: a person, or a service account → the account |
//! | `PATCH /accounts/{name}` | `{time_zone?: text or null, password?, sites?: [name], admin?: [name]}`; on Cloud a new password ends the account's refresh tokens |
//! | `POST /accounts/{name}/revoke-token`, `/restore-token`, `/lock`, `/unlock` | its first token; `lock` is CAPTCHA |
//! | `POST /accounts/{name}/tokens` | `{kind?: classic \| scoped \| personal, label?, scopes?, days?}` → `{id, token, …}` |
//! | `GET /tokens` | → `[{id, account, kind, label, scopes, created_ms, expires_ms, revoked, last_used_ms}]` |
//! | `PATCH /tokens/{id}` | `{label?, scopes?, expires_in_s?: number or null, revoked?}` |
//! | `DELETE /tokens/{id}` | revokes it |
//! | `GET /sites`, `PATCH /sites/{name}` | `{display_name}` |

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, refuse};
use crate::login::token::{Kind, Token};
use crate::server::Hub;
use crate::world::World;

pub(super) const ROUTES: &[&str] = &[
    "GET /accounts",
    "POST /accounts {name, display_name?, sites?, service?}",
    "PATCH /accounts/{name} {time_zone?, password?, sites?, admin?}",
    "POST /accounts/{name}/revoke-token",
    "POST /accounts/{name}/restore-token",
    "POST /accounts/{name}/lock",
    "POST /accounts/{name}/unlock",
    "POST /accounts/{name}/tokens {kind?, label?, scopes?, days?}",
    "GET /tokens",
    "PATCH /tokens/{id} {label?, scopes?, expires_in_s?, revoked?}",
    "DELETE /tokens/{id}",
    "GET /sites",
    "PATCH /sites/{name} {display_name}",
];

pub(super) fn router() -> Router<Arc<Hub>> {
    Router::new()
        .route("/accounts", get(accounts).post(add_account))
        .route("/accounts/{name}", patch(edit_account))
        .route("/accounts/{name}/tokens", post(add_token))
        .route("/accounts/{name}/{change}", post(change_account))
        .route("/tokens", get(tokens))
        .route("/tokens/{id}", patch(edit_token).delete(revoke_token))
        .route("/sites", get(sites))
        .route("/sites/{name}", patch(edit_site))
}

fn no_account() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such account: GET /accounts lists them")
}

fn no_site() -> Response {
    refuse(StatusCode::BAD_REQUEST, "there is no such site: GET /sites lists them")
}

fn shown(world: &World, place: usize) -> Value {
    let account = &world.sites[0].accounts[place];
    let person = &world.login.people[place];
    let on = |wanted: fn(&crate::state::account::Account) -> bool| -> Vec<&str> {
        let sites = world.sites.iter().filter(|site| wanted(&site.accounts[place]));
        sites.map(|site| site.name.as_str()).collect()
    };
    let first = world.login.tokens.iter().find(|token| token.account == place);
    json!({
        "name": account.name, "email": account.email, "account_id": account.account_id,
        "admin": account.admin, "service": account.service, "time_zone": account.time_zone,
        "members": on(|account| account.member), "admin_of": on(|account| account.admin),
        "locked": person.locked, "failures": person.failures,
        "token_revoked": first.is_some_and(|token| token.revoked),
    })
}

async fn accounts(State(hub): Shared) -> Json<Value> {
    let world = hub.world();
    let accounts: Vec<Value> = (0..world.login.people.len()).map(|place| shown(&world, place)).collect();
    Json(json!({"accounts": accounts, "auth_failures": world.login.failures}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    name: String,
    display_name: Option<String>,
    sites: Option<Vec<String>>,
    #[serde(default)]
    service: bool,
}

/// The places of sites by name; none where one is unknown.
fn places(world: &World, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| world.site(name)).collect()
}

async fn add_account(State(hub): Shared, Json(new): Json<NewAccount>) -> Response {
    let mut world = hub.world();
    let sane = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if new.name.is_empty() || !new.name.chars().all(sane) || world.account(&new.name).is_some() {
        return refuse(StatusCode::BAD_REQUEST, "a name has small letters, digits and hyphens, and is not taken");
    }
    let members = match &new.sites {
        None => (0..world.sites.len()).collect(),
        Some(names) => match places(&world, names) {
            Some(places) => places,
            None => return no_site(),
        },
    };
    let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
    let place = world.add_account(&new.name, &display_name, new.service, &members);
    Json(shown(&world, place)).into_response()
}

/// Tells a member that is null from one that is missing.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(input).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    #[serde(default, deserialize_with = "present")]
    time_zone: Option<Option<String>>,
    password: Option<String>,
    sites: Option<Vec<String>>,
    admin: Option<Vec<String>>,
}

async fn edit_account(State(hub): Shared, Path(name): Path<String>, Json(change): Json<AccountChange>) -> Response {
    let mut world = hub.world();
    let Some(place) = world.account(&name) else { return no_account() };
    let lists = [&change.sites, &change.admin].map(|names| names.as_ref().map(|names| places(&world, names)));
    if lists.iter().any(|places| matches!(places, Some(None))) {
        return no_site();
    }
    let [members, admins] = lists.map(Option::flatten);
    for site in &mut world.sites {
        let account = &mut site.accounts[place];
        if let Some(zone) = &change.time_zone {
            account.time_zone.clone_from(zone);
        }
        if let Some(members) = &members {
            account.member = members.contains(&site.place);
        }
        if let Some(admins) = &admins {
            account.admin = admins.contains(&site.place);
        }
    }
    if let Some(password) = change.password {
        world.login.people[place].password = password;
        // Atlassian's refresh tokens end with the password.
        if world.login.cloud() {
            let of_account = world.login.grants.iter_mut().filter(|grant| grant.account == place);
            of_account.for_each(|grant| grant.expire(false, true));
        }
    }
    Json(shown(&world, place)).into_response()
}

async fn change_account(State(hub): Shared, Path((name, change)): Path<(String, String)>) -> Response {
    let mut world = hub.world();
    let Some(place) = world.account(&name) else { return no_account() };
    let login = &mut world.login;
    match change.as_str() {
        "revoke-token" | "restore-token" => {
            let Some(token) = login.tokens.iter_mut().find(|token| token.account == place) else {
                return refuse(StatusCode::NOT_FOUND, "the account has no token");
            };
            token.revoked = change == "revoke-token";
        }
        "lock" => login.people[place].locked = true,
        "unlock" => {
            login.people[place].locked = false;
            login.people[place].failures = 0;
        }
        _ => return refuse(StatusCode::NOT_FOUND, "an account takes revoke-token, restore-token, lock and unlock"),
    }
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    kind: Option<Kind>,
    #[serde(default)]
    label: String,
    #[serde(default)]
    scopes: Vec<String>,
    days: Option<i64>,
}

fn token(world: &World, token: &Token) -> Value {
    json!({
        "id": token.id, "account": world.sites[0].accounts[token.account].name, "kind": token.kind,
        "label": token.label, "scopes": token.scopes, "created_ms": token.created, "expires_ms": token.expires,
        "revoked": token.revoked, "last_used_ms": token.last_used,
    })
}

async fn add_token(State(hub): Shared, Path(name): Path<String>, Json(new): Json<NewToken>) -> Response {
    let mut world = hub.world();
    let Some(place) = world.account(&name) else { return no_account() };
    let (cloud, service) = (world.login.cloud(), world.sites[0].accounts[place].service);
    let usual = match (cloud, service) {
        (false, _) => Kind::Personal,
        (true, true) => Kind::Scoped,
        (true, false) => Kind::Classic,
    };
    let kind = new.kind.unwrap_or(usual);
    if (kind == Kind::Personal) == cloud || (service && kind == Kind::Classic) {
        return refuse(StatusCode::BAD_REQUEST, "this account makes no tokens of this kind");
    }
    // Cloud knows no token that never expires; a year is the usual time.
    let days = if cloud { Some(new.days.unwrap_or(365)) } else { new.days };
    if days.is_some_and(|days| !(1..=365).contains(&days)) {
        return refuse(StatusCode::BAD_REQUEST, "a token expires after 1 to 365 days");
    }
    let made = world.login.add_token(place, &name, kind, &new.label, new.scopes, days);
    let (id, secret) = (made.id, made.secret.clone());
    let made = world.login.tokens.iter().find(|token| token.id == id);
    let mut body = made.map(|made| token(&world, made)).unwrap_or_default();
    body["token"] = json!(secret);
    Json(body).into_response()
}

async fn tokens(State(hub): Shared) -> Json<Value> {
    let world = hub.world();
    Json(world.login.tokens.iter().map(|kept| token(&world, kept)).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenChange {
    label: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    expires_in_s: Option<Option<i64>>,
    revoked: Option<bool>,
}

async fn edit_token(State(hub): Shared, Path(id): Path<u64>, Json(change): Json<TokenChange>) -> Response {
    let mut world = hub.world();
    let now = world.login.now();
    let Some(place) = world.login.tokens.iter().position(|token| token.id == id) else { return no_token() };
    let kept = &mut world.login.tokens[place];
    if let Some(label) = change.label {
        kept.label = label;
    }
    if let Some(scopes) = change.scopes {
        kept.scopes = scopes;
    }
    if let Some(seconds) = change.expires_in_s {
        kept.expires = seconds.map(|seconds| now.saturating_add(seconds.saturating_mul(1_000)));
    }
    if let Some(revoked) = change.revoked {
        kept.revoked = revoked;
    }
    Json(token(&world, &world.login.tokens[place])).into_response()
}

fn no_token() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such token: GET /tokens lists them")
}

async fn revoke_token(State(hub): Shared, Path(id): Path<u64>) -> Response {
    match hub.world().login.tokens.iter_mut().find(|token| token.id == id) {
        Some(token) => {
            token.revoked = true;
            StatusCode::NO_CONTENT.into_response()
        }
        None => no_token(),
    }
}

async fn sites(State(hub): Shared) -> Json<Value> {
    let world = hub.world();
    let shown = world
        .sites
        .iter()
        .map(|site| json!({"name": site.name, "display_name": site.display_name, "cloud_id": site.cloud_id}));
    Json(shown.collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteChange {
    display_name: String,
}

async fn edit_site(State(hub): Shared, Path(name): Path<String>, Json(change): Json<SiteChange>) -> Response {
    let mut world = hub.world();
    let Some(place) = world.site(&name) else { return no_site() };
    world.sites[place].display_name = change.display_name;
    StatusCode::NO_CONTENT.into_response()
}
