//! Connections: the ways in, what a form means, which sites a grant reaches, and whether the result works.
//!
//! A way in is one file with a `METHOD`; adding one adds the file and a line in [`METHODS`].

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

/// A way in: one entry of the manifest, how its form is understood, and where it leads.
struct Method {
    id: &'static str,
    /// What people call it, within a sentence.
    name: &'static str,
    home: Home,
    route: Route,
    #[cfg(not(target_arch = "wasm32"))]
    entry: fn() -> Value,
    prepare: fn(&Value) -> Result<Prepared, Error>,
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
    /// The way in of a connection. One that is older than its settings has the first there was.
    fn of(settings: &Value) -> &'static Self {
        let id = settings.get("method").and_then(Value::as_str).unwrap_or_default();
        METHODS.iter().find(|method| method.id == id).unwrap_or(&METHODS[0])
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
    Method::of(settings).is_customer_service()
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
        None => {
            let known: Vec<&str> = METHODS.iter().map(|method| method.id).collect();
            let message = format!("There is no auth method {method:?}.");
            let remedy = format!("Use one of: {}.", known.join(", "));
            Err(Failure::new(FailureClass::Input, "method-unknown", message, remedy).permanent())
        }
    }
}

/// The health report: first what anybody may ask, then the identity alone; where it is refused nothing else is asked.
pub fn check(host: &mut dyn Host, call: &Call) -> Result<Health, Error> {
    health::check(host, call)
}

#[cfg(test)]
mod tests;
