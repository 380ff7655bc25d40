//! Whose the credential is, and by which route it is accepted.
//!
//! An API token of Jira Cloud is of one of two kinds, which look alike: a classic one works at the site alone, one with
//! scopes at the gateway alone, and at the site its owner is a stranger. So one that is not accepted at the site is
//! tried once at the gateway. What was accepted is kept: later checks go there alone, until the credential is replaced,
//! perhaps by one of the other kind. A host that says when that was has both ways tried, the known one first; with
//! another, a refusal has the other way tried first at the next check.

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
/// The generation of the credential that the known route was found with.
const FOUND_WITH: &str = "api-generation";

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
                    keep_route(client, report, route);
                }
                return Some(account);
            }
            Err(error) if error.failure().class == FailureClass::Credential => refused = Some(refused.unwrap_or(error)),
            Err(error) => {
                // The second way failed by itself: what the first said of the credential is all that is known of it.
                let unsent = at > 0 && error.failure().class == FailureClass::Unavailable;
                let error = if unsent { refused.unwrap_or(error) } else { error };
                if error.failure().class == FailureClass::Scope && method.route == Route::Either {
                    keep_route(client, report, route);
                }
                if error.failure().class == FailureClass::Scope {
                    scope_missing(client, report, method);
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
    if method.route == Route::Either && routes.len() == 1 && client.call.connection.generation.is_none() {
        report.keep(DOUBTED, json!(true));
    }
    match refused {
        Some(error) if error.failure().code != "jira.credential-refused" => report.fatal(&error, ""),
        _ => not_accepted(client, report, method, routes.len()),
    }
    None
}

/// Keeps where the credential was accepted.
fn keep_route(client: &Client<'_>, report: &mut Report, route: &str) {
    report.keep("api", json!(route));
    report.forget(DOUBTED);
    if let Some(generation) = client.call.connection.generation {
        report.keep(FOUND_WITH, json!(generation));
    }
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
            let mut routes: Vec<String> = std::iter::once(site).chain(gateway).collect();
            let Some(known) = report.text("api").filter(|known| routes.contains(known)) else { return routes };
            let doubted = report.settings.get(DOUBTED).is_some();
            let replaced =
                client.call.connection.generation.is_some_and(|generation| {
                    report.settings.get(FOUND_WITH).and_then(Value::as_u64) != Some(generation)
                });
            routes.retain(|route| *route == known || doubted || replaced);
            // Replaced, it is most likely of the same kind; doubted, of the other.
            if (routes.first() == Some(&known)) == (doubted && !replaced) {
                routes.reverse();
            }
            routes
        }
    }
}

/// Asks who it is. An answer that names no account was given to a stranger, whatever its status says.
fn ask(client: &mut Client<'_>) -> Result<Account, Error> {
    let answer = client.send(&Ask::api("GET", "myself", "myself"))?;
    let said = answer.value();
    if !said.is_object() {
        return Err(answer.invalid("What answers does not say whose the credential is, as a Jira would."));
    }
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

fn not_accepted(client: &Client<'_>, report: &mut Report, method: &Method, tried: usize) {
    let (mut message, mut remedy) = method.refused;
    if method.route == Route::Either && tried > 1 {
        message = "Jira did not accept the API token with this e-mail address, neither at the site nor at Atlassian's \
                   gateway.";
    } else if report.settings.get(DOUBTED).is_some() {
        message = "Jira did not accept the API token with this e-mail address, in the way that it was accepted before.";
        remedy = "One that expired or was revoked has to be made anew at id.atlassian.com. One that was replaced by one \
                  of the other kind, with scopes or without, is tried in the other way when the connection is checked \
                  again.";
    }
    let message = format!("{message} ({})", client.site.authority());
    report.failed(FailureClass::Credential, Responsible::User, "credential-refused", message, remedy);
}

/// The credential is good and may not even say whose it is.
fn scope_missing(client: &Client<'_>, report: &mut Report, method: &Method) {
    let scope = if client.deployment.is_cloud() { "read:jira-user" } else { "READ" };
    let message =
        format!("The credential was accepted, and lacks the scope {scope}, by which it is found out whose it is.");
    report.failed(FailureClass::Scope, Responsible::User, "scope-missing", message, method.widened);
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
