//! Connections: the ways in, what a form means, which sites a grant reaches, and whether the result works.
//!
//! A way in is one file with a `METHOD`, which says all that is its own; adding one adds the file and a line in
//! [`METHODS`].

mod api_token;
mod application_link;
mod customer_service;
mod data_center_oauth;
mod discover;
#[cfg(not(target_arch = "wasm32"))]
mod entry;
mod health;
mod oauth;
mod password;
mod personal_access_token;
mod prepare;
mod service_account;

pub use discover::discover;

use crate::contract::{Call, Error, Failure, FailureClass, Health, Prepared};
use crate::host::Host;
use crate::jira::deployment::Deployment;
use serde_json::Value;

type Reach = fn(&mut prepare::Draft, &crate::jira::site::Site, Option<&str>);

/// A way in: one entry of the manifest, how its form is understood, and where it leads.
struct Method {
    id: &'static str,
    /// What people call it, within a sentence.
    name: &'static str,
    home: Home,
    route: Route,
    /// Pins what it reaches at its site, and once the site's id is known: fewer origins are then enough. None where the
    /// id changes nothing.
    reach: Option<Reach>,
    /// Whether an app of Atlassian's developer console is authorized, for one of the sites that it then reaches.
    app: bool,
    expiry: Expiry,
    /// What is said where the credential is not accepted, and what to do.
    refused: (&'static str, &'static str),
    /// How a credential with more scopes is got; empty where it has none.
    widened: &'static str,
    #[cfg(not(target_arch = "wasm32"))]
    entry: fn() -> Value,
    prepare: fn(&Value) -> Result<Prepared, Error>,
}

/// How the day on which its credential expires is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// It has none that a person would have to know of.
    None,
    /// The person enters it.
    Given,
    /// Jira lists the account's tokens, with the day of each.
    Listed,
}

/// Which deployments a way in fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Cloud,
    /// Data Center and Server from a release on.
    Center(u32, u32),
}

/// Where its requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// To the site.
    Site,
    /// To Atlassian's gateway.
    Gateway,
    /// To one of both; which one is found out.
    Either,
    /// To the API of Customer Service Management.
    CustomerService,
}

/// Every way in, in the order in which people choose.
const METHODS: &[Method] = &[
    api_token::METHOD,
    oauth::METHOD,
    service_account::METHOD,
    personal_access_token::METHOD,
    data_center_oauth::METHOD,
    application_link::METHOD,
    password::METHOD,
    customer_service::METHOD,
];

impl Method {
    /// The way in of a connection. One that is older than this setting has the first there was.
    fn of(settings: &Value) -> Result<&'static Self, Error> {
        let id = match settings.get("method") {
            None => api_token::METHOD.id,
            Some(id) => id.as_str().unwrap_or_default(),
        };
        METHODS.iter().find(|method| method.id == id).ok_or_else(|| unknown(id))
    }

    fn fits(&self, deployment: Deployment) -> bool {
        match self.home {
            Home::Cloud => deployment.is_cloud(),
            Home::Center(major, minor) => !deployment.is_cloud() && deployment.since(major, minor),
        }
    }

    /// Whether only some of Jira's API is behind it, and none of what the cards need.
    fn is_customer_service(&self) -> bool {
        self.route == Route::CustomerService
    }
}

fn unknown(method: &str) -> Error {
    let known: Vec<&str> = METHODS.iter().map(|method| method.id).collect();
    let message = format!("There is no auth method {method:?}.");
    let remedy = format!("Use one of: {}.", known.join(", "));
    Failure::new(FailureClass::Input, "method-unknown", message, remedy).permanent()
}

/// What to use in place of a way in that does not fit.
fn fitting(deployment: Deployment) -> &'static str {
    if deployment.is_cloud() {
        "use an API token, or OAuth 2.0"
    } else if deployment.since(8, 14) {
        "use a personal access token"
    } else {
        "use an application link, or user name and password"
    }
}

/// Whether a connection is one to Customer Service Management, whose API has nothing that the cards use.
pub(crate) fn is_customer_service(settings: &Value) -> bool {
    Method::of(settings).is_ok_and(Method::is_customer_service)
}

/// How a connection's credential gets more scopes.
pub(crate) fn widened(settings: &Value) -> &'static str {
    Method::of(settings).map_or("", |method| method.widened)
}

/// The manifest's `auth-methods`.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn entries() -> Vec<Value> {
    METHODS.iter().map(|method| (method.entry)()).collect()
}

/// Understands a filled-in form, offline. An error names the field as a JSON Pointer into the form.
pub fn prepare(method: &str, form: &Value) -> Result<Prepared, Error> {
    match METHODS.iter().find(|known| known.id == method) {
        Some(known) => (known.prepare)(form),
        None => Err(unknown(method)),
    }
}

/// The health report: first what anybody may ask, then the identity alone; where it is refused nothing else is asked.
pub fn check(host: &mut dyn Host, call: &Call) -> Result<Health, Error> {
    health::check(host, call)
}

#[cfg(test)]
mod tests;
