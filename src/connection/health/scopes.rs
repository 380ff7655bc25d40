//! The scopes that were granted, against those that each card needs.

use super::report::Report;
use crate::action;
use crate::contract::{Call, Responsible};
use crate::event;
use crate::jira::scope::{self, Needs};

/// Whether the credential may list webhooks: unknown scopes may.
pub(super) fn may_see_webhooks(call: &Call) -> bool {
    call.granted_scopes.as_ref().is_none_or(|granted| scope::suffices(event::SCOPES, granted))
}

/// Names each card that lacks scopes, and which.
pub(super) fn say(call: &Call, report: &mut Report) {
    let Some(granted) = &call.granted_scopes else {
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
        .filter_map(|(card, needs)| Some(format!("{card} ({})", missing(needs, granted)?)))
        .collect();
    told(granted, &lacking, report);
}

/// The same for Customer Service Management, whose operations each have a scope.
pub(super) fn customer_service(call: &Call, report: &mut Report) {
    let Some(granted) = &call.granted_scopes else { return };
    let any = granted.iter().any(|scope| scope.ends_with(":jira-service-management"));
    let lacking = if any { Vec::new() } else { vec!["call-api (read:customer:jira-service-management)".to_owned()] };
    told(granted, &lacking, report);
}

fn told(granted: &[String], lacking: &[String], report: &mut Report) {
    let granted = match granted.join(", ") {
        none if none.is_empty() => "no scope".to_owned(),
        some => some,
    };
    if lacking.is_empty() {
        let message = format!("All cards have the scopes they need. Granted: {granted}.");
        return report.passed("scopes", message);
    }
    let message = format!("These cards lack scopes: {}. Granted: {granted}.", lacking.join(", "));
    let remedy = "Authorize again with these scopes, if you want the cards: the app has to have them too.";
    report.warning("scopes-missing", message, remedy, Responsible::User);
}

/// What a card lacks, by the first list that speaks of the same deployment as what was granted.
fn missing(needs: Needs, granted: &[String]) -> Option<String> {
    if needs.is_empty() || scope::suffices(needs, granted) {
        return None;
    }
    let plain = |scopes: &[&str]| scopes.iter().all(|scope| !scope.contains(':'));
    let center = granted.iter().any(|scope| scope::CENTER.contains(&scope.as_str()));
    let list = needs.iter().find(|list| plain(list) == center).or_else(|| needs.first())?;
    let lacks: Vec<&str> = list.iter().copied().filter(|scope| !granted.iter().any(|known| known == scope)).collect();
    Some(lacks.join(", "))
}
