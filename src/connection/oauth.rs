//! Jira Cloud with OAuth 2.0 (3LO): a person authorizes an app in the browser.
//!
//! Source: Atlassian, "OAuth 2.0 (3LO) apps", and "Jira scopes for OAuth 2.0 (3LO) and Forge apps". PKCE is not
//! documented there; it is sent all the same and nothing relies on it.

use super::discover::{CUSTOMER_SERVICE, RESOURCES};
#[cfg(not(target_arch = "wasm32"))]
use super::entry::{self, Choice, scope};
use super::prepare::Draft;
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Prepared};
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "oauth",
    name: "OAuth 2.0 app of Jira Cloud",
    home: Home::Cloud,
    route: Route::Gateway,
    reach: None,
    app: true,
    expiry: Expiry::None,
    refused: ("Atlassian did not accept the authorization.", "Authorize the connection again."),
    widened: "Add it to the permissions of the app in the developer console and to the OAuth client, and authorize again.",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    cloud(
        &METHOD,
        "OAuth 2.0",
        "Jira Cloud, as the person who authorizes it in the browser.",
        &[
            scope("read:jira-work", "Read projects and issues, search, comments and attachments.", Choice::Usual),
            scope("write:jira-work", "Create and change issues, comment, attach files.", Choice::Usual),
            scope("manage:jira-project", "Change the settings of projects.", Choice::Wish),
            scope("manage:jira-configuration", "Administer Jira, as the webhooks of event cards need.", Choice::Wish),
            scope("manage:jira-webhook", "Register webhooks of the app's own.", Choice::Wish),
            scope("read:servicedesk-request", "Read requests of Jira Service Management.", Choice::Wish),
            scope("write:servicedesk-request", "Create and change requests of Jira Service Management.", Choice::Wish),
            scope("manage:servicedesk-customer", "Manage customers of Jira Service Management.", Choice::Wish),
        ],
    )
}

/// An entry of an app of the developer console.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn cloud(method: &Method, title: &str, description: &str, scopes: &[Value]) -> Value {
    let mut all = vec![
        scope("offline_access", "Stay connected: without it the connection ends after an hour.", Choice::Always),
        scope("read:jira-user", "See who authorized, and look people up.", Choice::Always),
    ];
    all.extend_from_slice(scopes);
    let scheme = json!({
        "type": "oauth2",
        "grant": "authorization-code",
        "authorization-url": "https://auth.atlassian.com/authorize",
        "token-url": "https://auth.atlassian.com/oauth/token",
        "client-id": { "app": "client-id" },
        "client-secret": { "app": "client-secret" },
        "pkce": true,
        "parameters": { "audience": "api.atlassian.com", "prompt": "consent" },
        "scopes": all,
        "idle-days": 90
    });
    let place = "From developer.atlassian.com, console, your app, Settings.";
    let mut entry = entry::of(method, title, description, &[], &scheme);
    entry["app"] = entry::app(place, place);
    entry["discovers-sites"] = json!(true);
    entry
}

/// The form has no field: the site is one of those that the grant reaches.
fn prepare(_: &Value) -> Result<Prepared, Error> {
    Ok(undecided(&METHOD))
}

/// What a connection may come to reach: which site of the gateway's it is will be chosen among those of the grant.
pub(super) fn undecided(method: &Method) -> Prepared {
    let mut draft = undiscovered(method);
    draft.pin_gateway(None);
    if method.is_customer_service() {
        draft.pin(CUSTOMER_SERVICE, true, "Customer Service Management");
    }
    draft.done()
}

/// What a connection reaches whichever site is chosen.
pub(super) fn undiscovered(method: &Method) -> Draft {
    let mut draft = Draft::new(method);
    draft.pin_sign_in();
    draft.pin(RESOURCES, true, "Which sites the grant reaches");
    draft
}
