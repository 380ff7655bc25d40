//! The scopes that were granted, against those that each card needs.

use super::super::{Method, discover};
use super::report::Report;
use crate::action;
use crate::contract::{Call, Error, Responsible};
use crate::event;
use crate::jira::answer::Answer;
use crate::jira::scope::{self, Needs};

/// Whether the credential may list webhooks: unknown scopes may.
pub(super) fn may_see_webhooks(call: &Call) -> bool {
    call.granted_scopes.as_ref().is_none_or(|granted| scope::suffices(event::SCOPES, granted))
}

/// The scopes that hold at the connection's site: what the grant has there, where Atlassian lists that; else what was
/// granted in all, where the host knows it. A grant of several sites may have fewer at some.
pub(super) fn granted(call: &Call, reached: Option<Result<Answer, Error>>, report: &mut Report) -> Option<Vec<String>> {
    let (Some(reached), Some(id)) = (reached, report.text("cloud-id")) else { return call.granted_scopes.clone() };
    match reached.and_then(|answer| discover::scopes_at(&answer, &id)) {
        Ok(Some(scopes)) => return Some(scopes),
        Ok(None) => {
            let message = "Atlassian does not list the site among those that the authorization reaches.";
            let remedy = "Authorize the connection again, and choose this site.";
            report.unknown("site-unlisted", message, remedy, Responsible::User);
        }
        Err(error) => report.error(&error, "Which scopes were granted for the site is not known: "),
    }
    call.granted_scopes.clone()
}

/// Names each card that lacks scopes, and which.
pub(super) fn say(granted: Option<&[String]>, method: &Method, report: &mut Report) {
    let Some(granted) = granted else {
        if report.text("api").is_some_and(|api| api.starts_with(crate::jira::site::GATEWAY)) {
            let message = "Jira does not say which scopes the token has: a card that lacks one says so when it runs.";
            report.unknown("scopes-unknown", message, "", Responsible::User);
        }
        return;
    };
    let actions = action::CARDS.iter().map(|card| (card.id, card.scopes));
    let events = event::CARDS.iter().map(|card| (card.id, event::SCOPES));
    let lacking: Vec<String> = actions
        .chain(events)
        .filter_map(|(card, needs)| Some(format!("{card} ({})", scope::missing(needs, granted)?)))
        .collect();
    told(granted, &lacking, method, report);
}

/// What reading each thing of Customer Service Management takes.
const READS: &[(&str, Needs)] = &[
    ("customers", &[&["read:customer:jira-service-management", "read:customer.detail:jira-service-management"]]),
    (
        "organizations",
        &[&["read:organization:jira-service-management", "read:organization.detail:jira-service-management"]],
    ),
    ("products", PRODUCTS),
];
const PRODUCTS: Needs = &[&["read:product:jira-service-management"]];

/// The same for Customer Service Management, whose operations each have scopes. Whether products may be listed, as far
/// as is known.
pub(super) fn customer_service(granted: Option<&[String]>, method: &Method, report: &mut Report) -> bool {
    let Some(granted) = granted else { return true };
    let lack =
        |(what, needs): &(&str, Needs)| Some(format!("call-api of {what} ({})", scope::missing(needs, granted)?));
    let lacking: Vec<String> = READS.iter().filter_map(lack).collect();
    told(granted, &lacking, method, report);
    scope::suffices(PRODUCTS, granted)
}

fn told(granted: &[String], lacking: &[String], method: &Method, report: &mut Report) {
    let granted = match granted.join(", ") {
        none if none.is_empty() => "no scope".to_owned(),
        some => some,
    };
    if lacking.is_empty() {
        let message = format!("All cards have the scopes they need. Granted: {granted}.");
        return report.passed("scopes", message);
    }
    let message = format!("These cards lack scopes: {}. Granted: {granted}.", lacking.join(", "));
    let remedy = format!("If you want one of these cards, its scope is lacking. {}", method.widened);
    report.warning("scopes-missing", message, &remedy, Responsible::User);
}
