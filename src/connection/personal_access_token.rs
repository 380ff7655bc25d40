//! Data Center with a personal access token.
//!
//! Source: Atlassian, "Using personal access tokens": a bearer token, of Jira 8.14 and later.

#[cfg(not(target_arch = "wasm32"))]
use super::entry;
use super::prepare::Draft;
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Prepared};
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "personal-access-token",
    name: "personal access token",
    home: Home::Center(8, 14),
    route: Route::Site,
    reach: None,
    app: false,
    expiry: Expiry::Listed,
    refused: (
        "Jira did not accept the token.",
        "Check that the whole token was given; one that expired or was revoked has to be made anew in Jira under your profile.",
    ),
    widened: "",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    let token = "Made in Jira under your profile, Personal Access Tokens. It may expire.";
    let of = "a personal access token";
    let cloud = "Those are for Jira Cloud; Data Center takes a token that was made in your own Jira.";
    let mistakes = [entry::api_token(cloud), entry::address(of), entry::header(), entry::blank(of), entry::jwt(of)];
    entry::of(
        &METHOD,
        "Personal access token",
        "Jira Data Center 8.14 or later, as one account, with a token of that account.",
        &[entry::own_site(), ("token", entry::secret_but("Token", token, &mistakes))],
        &json!({ "type": "bearer", "token": { "secret": "token" } }),
    )
}

/// Understands the form: `site`.
fn prepare(form: &Value) -> Result<Prepared, Error> {
    let (mut draft, site) = Draft::with_site(&METHOD, form)?;
    draft.pin_site(&site);
    Ok(draft.done())
}
