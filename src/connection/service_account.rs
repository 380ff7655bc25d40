//! Jira Cloud as a service account, with its OAuth 2.0 credential.
//!
//! Source: Atlassian, "Create OAuth 2.0 credential for service accounts": client credentials at the same token
//! endpoint as 3LO, tokens of 60 minutes, and the gateway.

#[cfg(not(target_arch = "wasm32"))]
use super::entry;
use super::prepare::Draft;
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Failure, Prepared};
use crate::jira::site::Site;
use serde_json::Value;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::json;

pub(super) const METHOD: Method = Method {
    id: "service-account",
    name: "credential of a service account",
    home: Home::Cloud,
    route: Route::Gateway,
    reach: Some(reach),
    app: false,
    expiry: Expiry::None,
    refused: (
        "Atlassian did not accept the credential of the service account.",
        "Make a new one at admin.atlassian.com, and replace the credential by its client id and secret.",
    ),
    widened: "Make a credential of the service account that has it as well, and replace this one by it.",
    #[cfg(not(target_arch = "wasm32"))]
    entry: manifest,
    prepare,
};

#[cfg(not(target_arch = "wasm32"))]
fn manifest() -> Value {
    let id = "Shown when the OAuth 2.0 credential of the service account was made.";
    let secret = "Shown once, when the credential was made at admin.atlassian.com under Directory, Service accounts.";
    let of = "the client secret";
    let token = "A token of a service account goes with the method `api-token` and the account's e-mail address.";
    let mistakes = [entry::api_token(token), entry::address(of), entry::header(), entry::blank(of), entry::jwt(of)];
    entry::of(
        &METHOD,
        "Service account",
        "Jira Cloud, as an account that belongs to no person, with its OAuth 2.0 credential.",
        &[
            entry::cloud_site(),
            ("client-id", entry::plain("Client id", id, "aBcDeFgHiJk")),
            ("client-secret", entry::secret_but("Client secret", secret, &mistakes)),
        ],
        &json!({
            "type": "oauth2",
            "grant": "client-credentials",
            "token-url": "https://auth.atlassian.com/oauth/token",
            "client-id": { "field": "client-id" },
            "client-secret": { "secret": "client-secret" }
        }),
    )
}

/// Understands the form: `site`.
fn prepare(form: &Value) -> Result<Prepared, Error> {
    let (mut draft, site) = Draft::with_site(&METHOD, form)?;
    // The id by which the gateway knows a site is the site's own word: only one of Atlassian's is believed.
    if !site.is_cloud() {
        let message = format!("{} is no address of Jira Cloud, where service accounts are.", site.authority());
        let remedy = "Give the address that Atlassian gave the site: demo.atlassian.net.";
        return Err(Failure::input("site-not-cloud", "/site", "Site", message, remedy).permanent());
    }
    reach(&mut draft, &site, None);
    Ok(draft.done())
}

fn reach(draft: &mut Draft, _: &Site, cloud_id: Option<&str>) {
    draft.pin_gateway(cloud_id);
    draft.pin_sign_in();
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use serde_json::json;

    #[test]
    fn only_the_gateway_gets_the_credential() {
        let prepared = prepare(&json!({ "site": "demo", "client-id": "fake-client" })).expect("a good form");
        let credentialed: Vec<_> = prepared.origins.iter().filter(|origin| origin.credential).collect();
        assert_eq!(credentialed.len(), 1);
        assert_eq!(credentialed[0].url, "https://api.atlassian.com/ex/jira/");
        assert!(prepared.origins.iter().any(|origin| origin.url == "https://auth.atlassian.com/"));
        let error = prepare(&json!({ "site": "jira.example.test" })).expect_err("no site of Jira Cloud");
        assert_eq!(error.failure().code, "jira.site-not-cloud");
    }
}
