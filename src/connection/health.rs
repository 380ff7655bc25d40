//! The health report of a connection, in the order in which things have to work.

mod address;
mod expiry;
mod identity;
mod permissions;
mod projects;
mod report;
mod scopes;
mod webhooks;

use super::prepare::Draft;
use super::{Expiry, Home, Method, Route, discover};
use crate::contract::{Call, Error, Health, Identity, Origin, Responsible};
use crate::host::Host;
use crate::jira::answer::Answer;
use crate::jira::client::{Ask, Client};
use crate::jira::site::GATEWAY;
use report::Report;
use serde_json::json;

/// First what anybody may ask, without the credential; then the identity, alone: a refused credential must cost one
/// failed login, not five. Only then everything else, side by side.
pub(super) fn check(host: &mut dyn Host, call: &Call) -> Result<Health, Error> {
    let mut client = Client::open(host, call)?;
    let mut report = Report::new(&call.connection.settings);
    let method = Method::of(&call.connection.settings)?;
    if !address::look(&mut client, &mut report, method) {
        return Ok(report.done(client, None, None));
    }
    let Some(account) = identity::prove(&mut client, &mut report, method) else {
        return Ok(report.done(client, None, None));
    };
    identity::say(&account, &mut report);
    identity::time_zone(&account, &mut report);
    if method.is_customer_service() {
        customer_service(&mut client, &mut report, method);
    } else {
        rest(&mut client, &mut report, method);
    }
    let identity = match tenant(&client, &report) {
        Some(tenant) => {
            let label = format!("{} at {}", account.name, client.site.authority());
            Some(Identity { tenant, account: account.id, label })
        }
        None => {
            report.no_cloud_id();
            None
        }
    };
    let origins = identity.as_ref().and_then(|_| origins(&client, &report, method));
    Ok(report.done(client, identity, origins))
}

/// The origins that are enough now that the site's id is known: of the gateway, its own path alone.
fn origins(client: &Client<'_>, report: &Report, method: &Method) -> Option<Vec<Origin>> {
    let (reach, id) = (method.reach?, report.text("cloud-id")?);
    let mut draft = Draft::new(method);
    draft.look_at(&client.site, true);
    reach(&mut draft, &client.site, Some(&id));
    Some(draft.origins())
}

/// All that needs the identity first. What cannot be had is said and stops nothing else.
fn rest(client: &mut Client<'_>, report: &mut Report, method: &Method) {
    let mut asks = vec![permissions::ask()];
    asks.extend(method.app.then(discover::ask));
    asks.extend(projects::asks(client.deployment));
    let counted = scopes::may_see_webhooks(client.call);
    if counted {
        asks.push(webhooks::ask(client));
    }
    if method.expiry == Expiry::Listed {
        asks.push(expiry::ask());
    }
    let mut answers = client.send_all(&asks).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Ok(Answer::default()));
    let permitted = next();
    let reached = method.app.then(&mut next);
    let seen = projects::read(client.deployment, &mut next);
    let hooks = counted.then(&mut next);
    let tokens = (method.expiry == Expiry::Listed).then(&mut next);
    expiry::say(client.host.now_ms(), method.expiry, tokens, report);
    let granted = scopes::granted(client.call, reached, report);
    scopes::say(granted.as_deref(), method, report);
    permissions::say(permitted, report);
    projects::say(seen, report);
    webhooks::say(client, hooks, report);
    report.passed("not-locked", "The account is not locked: Jira asks for no CAPTCHA.");
    if method.app {
        report.private_app();
    }
}

/// Customer Service Management has none of what Jira's cards need; that it answers is all there is to see.
fn customer_service(client: &mut Client<'_>, report: &mut Report, method: &Method) {
    let reached = client.send(&discover::ask());
    let granted = scopes::granted(client.call, Some(reached), report);
    let listed = scopes::customer_service(granted.as_deref(), method, report);
    let message = "Of the cards, Call API alone works here. The others are of Jira's own API, for which another \
                   connection is needed.";
    report.passed("cards-lacking", message);
    if let Some(api) = report.text("api") {
        client.api = api;
    }
    // Customers and organizations are read by their ids alone: products are all that is listed.
    if listed {
        match client.send(&Ask::new("GET", "product", "product").query("limit", 1)) {
            Ok(_) => report.passed("customer-service", "Customer Service Management answers."),
            Err(error) => report.error(&error, "Customer Service Management did not answer as it should: "),
        }
    } else {
        let message = "Whether Customer Service Management answers was not tried: all that it lists is products, which \
                       the scopes do not allow.";
        report.unknown("customer-service-unknown", message, "", Responsible::User);
    }
    report.private_app();
}

/// What limits and locks are kept by, so it must be the same whatever fails today: on Cloud the id that Atlassian gave
/// the site, which is kept once it was found; elsewhere the address, which a connection never changes.
fn tenant(client: &Client<'_>, report: &Report) -> Option<String> {
    let Some(id) = report.text("cloud-id") else {
        return (!client.deployment.is_cloud()).then(|| client.site.place().to_owned());
    };
    // A site of another domain may show any id: only Atlassian's word says whose it is.
    let told_by_atlassian = client.site.is_cloud() || client.api.starts_with(GATEWAY);
    Some(if told_by_atlassian { id } else { format!("{id}@{}", client.site.place()) })
}

/// Whether a way in goes through the gateway whatever is found.
fn gateway_only(method: &Method) -> bool {
    matches!(method.route, Route::Gateway | Route::CustomerService)
}

/// Whether the id of a site of Jira Cloud is to be asked for.
fn wants_tenant(method: &Method, report: &Report) -> bool {
    method.home == Home::Cloud
        && report.text("cloud-id").is_none()
        && report.settings.get("deployment") != Some(&json!("data-center"))
}

#[cfg(test)]
mod tests;
