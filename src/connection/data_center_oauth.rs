//! Data Center with OAuth 2.0: an incoming application link.
//!
//! Source: Atlassian, "Jira OAuth 2.0 provider API", of Jira 8.22 and later. A higher scope holds the lower ones; a
//! refresh ends the earlier access token.

#[cfg(not(target_arch = "wasm32"))]
use super::entry::{self, Choice, scope};
use super::prepare::Draft;
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Prepared};
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "data-center-oauth",
    name: "OAuth 2.0 incoming link",
    home: Home::Center(8, 22),
    route: Route::Site,
    reach: None,
    app: false,
    expiry: Expiry::None,
    refused: (
        "Jira did not accept the authorization.",
        "Authorize the connection again; somebody may have revoked it, or removed the incoming link.",
    ),
    widened: "Have the permission of the incoming link raised, ask for the scope with the OAuth client, and authorize again.",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    let place = "From Jira, Administration, Applications, Application links, your incoming link.";
    let mut entry = entry::of(
        &METHOD,
        "OAuth 2.0 (Data Center)",
        "Jira Data Center 8.22 or later, as the person who authorizes it in the browser.",
        &[entry::own_site()],
        &json!({
            "type": "oauth2",
            "grant": "authorization-code",
            "authorization-url": "{site}rest/oauth2/latest/authorize",
            "token-url": "{site}rest/oauth2/latest/token",
            "client-id": { "app": "client-id" },
            "client-secret": { "app": "client-secret" },
            "pkce": true,
            "scopes": [
                scope("READ", "Read all that the account may see.", Choice::Wish),
                scope("WRITE", "Read, and create and change issues.", Choice::Usual),
                scope("ADMIN", "The same, and administer Jira, as the webhooks of event cards need.", Choice::Wish)
            ],
            "refresh-ends-access": true
        }),
    );
    entry["app"] = entry::app(place, place);
    entry
}

/// Understands the form: `site`.
fn prepare(form: &Value) -> Result<Prepared, Error> {
    let (mut draft, site) = Draft::with_site(&METHOD, form)?;
    draft.pin_site(&site);
    draft.pin(format!("{}rest/oauth2/", site.base()), false, "Where Jira gives tokens");
    Ok(draft.done())
}
