//! Whose the credential is, and by which route it is accepted.
//!
//! An API token of Jira Cloud is of one of two kinds, which look alike: a classic one works at the site alone, one with
//! scopes at the gateway alone, and at the site its owner is a stranger. So one that is not accepted at the site is
//! tried once at the gateway. What was accepted is kept: later checks go there alone, until the credential is refused
//! there, for it may have been replaced by one of the other kind.

use super::super::{Method, Route};
use super::gateway_only;
use super::report::Report;
use crate::contract::{Error, FailureClass, Responsible};
use crate::jira::answer::named;
use crate::jira::client::{Ask, Client};
use crate::jira::site;
use serde_json::{Value, json};

/// Set where the known route refused the credential.
const DOUBTED: &str = "route-doubted";

/// An account that was proved.
pub(super) struct Account {
    /// Lasting: the account id of Cloud, the key of Data Center.
    pub(super) id: String,
    /// What people see.
    pub(super) name: String,
    said: Value,
}

/// Proves the account, with at most two logins; the report says why it could not.
pub(super) fn prove(client: &mut Client<'_>, report: &mut Report, method: &Method) -> Option<Account> {
    let routes = routes(client, report, method);
    let mut refused = None;
    for (at, route) in routes.iter().enumerate() {
        client.api.clone_from(route);
        match ask(client) {
            Ok(account) => {
                if matches!(method.route, Route::Either | Route::Gateway) {
                    report.keep("api", json!(route));
                    report.forget(DOUBTED);
                }
                return Some(account);
            }
            Err(error) if error.failure().class == FailureClass::Credential => refused = Some(refused.unwrap_or(error)),
            Err(error) => {
                // The second way failed by itself: what the first said of the credential is all that is known of it.
                let unsent = at > 0 && error.failure().class == FailureClass::Unavailable;
                let error = if unsent { refused.unwrap_or(error) } else { error };
                if error.failure().class == FailureClass::Scope && method.route == Route::Either {
                    report.keep("api", json!(route));
                }
                if error.failure().class == FailureClass::Scope {
                    scope_missing(client, report);
                } else {
                    report.fatal(&error, "");
                }
                return None;
            }
        }
        if refused.as_ref().is_some_and(|error| error.failure().code != "jira.credential-refused") {
            break;
        }
    }
    if method.route == Route::Either && report.text("api").is_some() {
        report.keep(DOUBTED, json!(true));
    }
    match refused {
        Some(error) if error.failure().code != "jira.credential-refused" => report.fatal(&error, ""),
        _ => not_accepted(client, report, method, routes.len()),
    }
    None
}

/// Where the credential may be accepted, in the order to try.
fn routes(client: &Client<'_>, report: &Report, method: &Method) -> Vec<String> {
    let site = client.site.base().to_owned();
    let gateway = report.text("cloud-id").and_then(|id| site::gateway(&id));
    match method.route {
        Route::Site => vec![site],
        _ if gateway_only(method) => gateway.into_iter().collect(),
        _ => {
            let gateway = gateway.filter(|_| client.site.is_cloud());
            let known = report.text("api");
            let doubted = report.settings.get(DOUBTED).is_some();
            let mut routes: Vec<String> = std::iter::once(site).chain(gateway).collect();
            if let Some(known) = known.filter(|known| routes.contains(known)) {
                routes.retain(|route| *route == known || doubted);
                if routes.first() != Some(&known) {
                    routes.reverse();
                }
            }
            routes
        }
    }
}

/// Asks who it is. An answer that names no account was given to a stranger, whatever its status says.
fn ask(client: &mut Client<'_>) -> Result<Account, Error> {
    let answer = client.send(&Ask::api("GET", "myself", "myself")).map_err(|error| match is_page(&error) {
        true => stranger(),
        false => error,
    })?;
    let said = answer.value();
    let id = if client.deployment.is_cloud() { "accountId" } else { "key" };
    let id = named(&said, id).or_else(|| named(&said, "name").filter(|_| !client.deployment.is_cloud()));
    let Some(id) = id.map(str::to_owned) else { return Err(stranger()) };
    let name = named(&said, "displayName").unwrap_or(&id).to_owned();
    Ok(Account { id, name, said })
}

fn stranger() -> Error {
    let message = "Jira answered without saying who we are: the credential was not accepted.";
    let remedy = "Check the credential, or make a new one and enter it.";
    crate::contract::Failure::new(FailureClass::Credential, "credential-refused", message, remedy).permanent()
}

/// Whether what should have been an account is something else: a page, as a stranger gets it.
fn is_page(error: &Error) -> bool {
    let failure = error.failure();
    failure.class == FailureClass::Protocol && failure.status.is_some_and(|status| (200..300).contains(&status))
}

fn not_accepted(client: &Client<'_>, report: &mut Report, method: &Method, tried: usize) {
    let (message, remedy) = match method.route {
        Route::Either if tried > 1 => (
            "Jira did not accept the API token with this e-mail address, neither at the site nor at Atlassian's gateway.",
            "Check that the e-mail address is that of the account the token was made with, and that the whole token was \
             given; a token that expired or was revoked has to be made anew at id.atlassian.com.",
        ),
        Route::Either if report.settings.get(DOUBTED).is_some() => (
            "Jira did not accept the API token with this e-mail address, in the way that it was accepted before.",
            "One that expired or was revoked has to be made anew at id.atlassian.com. One that was replaced by one of the \
             other kind, with scopes or without, is tried in the other way when the connection is checked again.",
        ),
        Route::Either => (
            "Jira did not accept the API token with this e-mail address.",
            "Check site, e-mail address and token, and that the whole token was given; one that expired or was revoked \
             has to be made anew at id.atlassian.com.",
        ),
        Route::Gateway | Route::CustomerService => (
            "Atlassian did not accept the authorization.",
            "Authorize the connection again, or check the client id and secret of the service account.",
        ),
        Route::Site if method.id == "password" => (
            "Jira did not accept the user name and password.",
            "Check both by logging in to Jira in a browser. From Jira 11 on an administrator has to allow passwords for \
             the API: a personal access token needs no leave.",
        ),
        Route::Site => (
            "Jira did not accept the token.",
            "Check that the whole token was given; one that expired or was revoked has to be made, or authorized, anew.",
        ),
    };
    report.failed(
        FailureClass::Credential,
        "credential-refused",
        format!("{message} ({})", client.site.authority()),
        remedy,
    );
}

/// The credential is good and may not even say whose it is.
fn scope_missing(client: &Client<'_>, report: &mut Report) {
    let scope = if client.deployment.is_cloud() { "read:jira-user" } else { "READ" };
    let message =
        format!("The credential was accepted, and lacks the scope {scope}, by which it is found out whose it is.");
    let remedy = format!("Make a token, or authorize again, with {scope} and the scopes that the cards name.");
    report.failed(FailureClass::Scope, "scope-missing", message, &remedy);
}

/// Says who it is, and whether it is who the person gave.
pub(super) fn say(account: &Account, report: &mut Report) {
    report.keep("account-id", json!(account.id));
    let text = |name: &str| named(&account.said, name).unwrap_or_default();
    if !text("name").is_empty() {
        report.keep("account-name", json!(text("name")));
    }
    let typed = |name: &str| report.text(name).unwrap_or_default();
    let differs = |typed: &str, seen: &str| !typed.is_empty() && !seen.is_empty() && !typed.eq_ignore_ascii_case(seen);
    // An account may log in with its e-mail address in place of its name.
    let name = typed("username");
    let renamed = differs(&name, text("name")) && differs(&name, text("emailAddress"));
    if renamed || differs(&typed("email"), text("emailAddress")) {
        let message = format!(
            "The credential works, but it belongs to {}, whose name or e-mail address is another than the given one.",
            account.name
        );
        report.warning("identity-differs", message, "Check that this is the account you mean.", Responsible::User);
    } else {
        report.passed("identity", format!("Connected as {}.", account.name));
    }
}

/// Dates in searches are read in this zone.
pub(super) fn time_zone(account: &Account, report: &mut Report) {
    match named(&account.said, "timeZone") {
        Some(zone) => {
            report.keep("time-zone", json!(zone));
            report.passed("time-zone", format!("The account's time zone is {zone}."));
        }
        None => {
            report.keep("time-zone", json!("UTC"));
            let remedy = "Set a time zone in the account's profile, if dates are to be read in another.";
            report.warning(
                "time-zone-unknown",
                "The profile has no time zone: UTC is taken.",
                remedy,
                Responsible::User,
            );
        }
    }
}
