//! Customer Service Management, with OAuth 2.0 (3LO): an API of its own beside that of Jira.
//!
//! Source: Atlassian, "Customer Service Management REST API", which has its own base path behind the gateway and
//! names a scope for each operation.

#[cfg(not(target_arch = "wasm32"))]
use super::entry::{Choice, scope};
use super::oauth;
use super::{Expiry, Home, Method, Route};
use crate::contract::{Error, Prepared};
use serde_json::Value;

pub(super) const METHOD: Method = Method {
    id: "customer-service",
    name: "OAuth 2.0 app for Customer Service Management",
    home: Home::Cloud,
    route: Route::CustomerService,
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
    oauth::cloud(
        &METHOD,
        "Customer Service Management",
        "Customers, organizations, products and entitlements of Customer Service Management, by raw calls of its API.",
        &[
            scope("read:customer:jira-service-management", "Read customers.", Choice::Usual),
            scope(
                "read:customer.detail:jira-service-management",
                "Read customers' details, without which none is shown.",
                Choice::Usual,
            ),
            scope("read:organization:jira-service-management", "Read organizations.", Choice::Usual),
            scope(
                "read:organization.detail:jira-service-management",
                "Read organizations' details, without which none is shown.",
                Choice::Usual,
            ),
            scope(
                "read:product:jira-service-management",
                "Read products; the health report asks for them to see that the API answers.",
                Choice::Usual,
            ),
            scope("write:customer:jira-service-management", "Create and change customers.", Choice::Wish),
            scope("write:organization:jira-service-management", "Create and change organizations.", Choice::Wish),
        ],
    )
}

/// The form has no field: the site is one of those that the grant reaches.
fn prepare(_: &Value) -> Result<Prepared, Error> {
    Ok(oauth::undecided(&METHOD))
}
