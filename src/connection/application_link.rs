//! Data Center and Server with OAuth 1.0a: an application link with a key pair.
//!
//! Source: Atlassian, "OAuth for REST APIs" of Jira Server: RSA-SHA1, and three servlets.

#[cfg(not(target_arch = "wasm32"))]
use super::entry;
use super::prepare::Draft;
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Prepared};
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "application-link",
    name: "application link",
    home: Home::Center(7, 13),
    route: Route::Site,
    reach: None,
    app: false,
    expiry: Expiry::None,
    refused: (
        "Jira did not accept the authorization.",
        "Authorize the connection again; somebody may have revoked it, or removed the application link.",
    ),
    widened: "",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    let key = "The name by which Jira knows this client: choose one, and enter the same in the application link.";
    let mut entry = entry::of(
        &METHOD,
        "Application link (OAuth 1.0a)",
        "Jira Server or Data Center 7.13 or later, as the person who authorizes it in the browser.",
        &[entry::own_site()],
        &json!({
            "type": "oauth1",
            "signature-method": "RSA-SHA1",
            "request-token-url": "{site}plugins/servlet/oauth/request-token",
            "authorization-url": "{site}plugins/servlet/oauth/authorize",
            "access-token-url": "{site}plugins/servlet/oauth/access-token",
            "consumer-key": { "app": "consumer-key" }
        }),
    );
    entry["app"] = entry::form(&[("consumer-key", entry::plain("Consumer key", key, "workflow-connector"))]);
    entry
}

/// Understands the form: `site`.
fn prepare(form: &Value) -> Result<Prepared, Error> {
    let (mut draft, site) = Draft::with_site(&METHOD, form)?;
    draft.pin_site(&site);
    draft.pin(format!("{}plugins/servlet/oauth/", site.base()), false, "Where Jira gives tokens");
    Ok(draft.done())
}
