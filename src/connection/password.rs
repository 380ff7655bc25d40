//! Data Center and Server with user name and password.
//!
//! Source: Atlassian, "Basic authentication" of Jira Server. Cloud takes no passwords; from Jira 11 on an administrator
//! has to allow them.

#[cfg(not(target_arch = "wasm32"))]
use super::entry;
use super::prepare::{Draft, text};
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Failure, Prepared};
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "password",
    name: "password",
    home: Home::Center(7, 13),
    route: Route::Site,
    reach: None,
    app: false,
    expiry: Expiry::None,
    refused: (
        "Jira did not accept the user name and password.",
        "Check both by logging in to Jira in a browser. From Jira 11 on an administrator has to allow passwords for the API: a \
         personal access token needs no leave.",
    ),
    widened: "",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    let about = "The account's password. Three wrong ones can lock the account.";
    let cloud = "Those are for Jira Cloud; here the account's password is due.";
    entry::of(
        &METHOD,
        "User name and password",
        "Jira Server or Data Center 7.13 or later. A token is safer where Jira has one.",
        &[
            entry::own_site(),
            ("username", entry::plain("User name", "The name that the account logs in with.", "administrator")),
            ("password", entry::secret_but("Password", about, &[entry::api_token(cloud)])),
        ],
        &json!({ "type": "basic", "username": { "field": "username" }, "password": { "secret": "password" } }),
    )
}

/// Understands the form: `site` and `username`. The settings keep both.
fn prepare(form: &Value) -> Result<Prepared, Error> {
    let (mut draft, site) = Draft::with_site(&METHOD, form)?;
    let typed = text(form, "username");
    let name = typed.trim();
    if name.is_empty() || name.len() > 255 || name.contains(':') || name.chars().any(char::is_control) {
        let message = "The user name is none that Basic authorization can carry: it is empty or holds a colon.";
        let remedy = "Give the name that the account logs in with.";
        return Err(Failure::input("username-invalid", "/username", "User name", message, remedy).permanent());
    }
    if name != typed {
        draft.correct("Blanks around the user name were left out.");
    }
    draft.keep("username", name);
    draft.spell("username", name);
    draft.pin_site(&site);
    Ok(draft.done())
}
