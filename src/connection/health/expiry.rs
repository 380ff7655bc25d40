//! When the credential expires, where that is known, warned of ahead.

use super::report::{Report, count};
use crate::connection::Expiry;
use crate::contract::{Error, Responsible};
use crate::jira::answer::Answer;
use crate::jira::client::Ask;
use crate::jira::timestamp;
use serde_json::Value;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// From how many days ahead a person is warned, and from how many urgently.
const SOON: u64 = 30;
const VERY_SOON: u64 = 7;
/// For how many days an API token may be made, and one for each end of the day. Source: Atlassian, "Manage API tokens for
/// your Atlassian account".
const LONGEST: u64 = 365 + 2;

/// The account's personal access tokens. Source: Atlassian, "Using personal access tokens", section on REST.
pub(super) fn ask() -> Ask {
    Ask::new("GET", "rest/pat/latest/tokens", "pat/tokens")
}

/// Says what the form named, or what Jira lists of tokens.
pub(super) fn say(now_ms: u64, known: Expiry, tokens: Option<Result<Answer, Error>>, report: &mut Report) {
    if known == Expiry::Given {
        given(now_ms, report);
    }
    match tokens {
        Some(Ok(answer)) => listed(now_ms, &answer.value(), report),
        Some(Err(error)) => report.error(&error, "When the token expires could not be found out: "),
        None => {}
    }
}

/// The day that a person gave.
fn given(now_ms: u64, report: &mut Report) {
    let remedy = "Enter the day on which it expires: you are warned ahead.";
    let Some((day, at)) = report.text("expires").and_then(|day| {
        let at = timestamp::parse(&format!("{day}T00:00Z"))?;
        Some((day, at))
    }) else {
        let message = "When the token expires is not known: Atlassian tells nobody, and no day was entered. It is within a \
                       year of its making.";
        return report.unknown("expiry-unknown", message, remedy, Responsible::User);
    };
    // It expires in the course of its day, somewhere on earth.
    let end = at + DAY_MS;
    if end > now_ms + LONGEST * DAY_MS {
        let message = format!("The token was said to expire on {day}, but none lasts longer than a year.");
        return report.unknown("expiry-unknown", message, remedy, Responsible::User);
    }
    warn(now_ms, end, &day, "The token", report);
}

/// Which of several tokens the connection uses is not told: the first that expires is the one to know of.
fn listed(now_ms: u64, tokens: &Value, report: &mut Report) {
    let Some(tokens) = tokens.as_array() else {
        let message = "Jira's list of the account's tokens is not what was due: when this one expires is not known.";
        return report.unknown("expiry-unknown", message, "", Responsible::User);
    };
    let days: Vec<Day> = tokens.iter().map(Day::of).collect();
    let known = || days.iter().filter_map(|day| if let Day::At(at) = day { Some(*at) } else { None });
    let first = known().filter(|at| *at > now_ms).min();
    if days.contains(&Day::Unreadable) {
        let message = "Jira names a day on which a token of the account expires, in a way that cannot be read.";
        let remedy = "Look in Jira under your profile, Personal Access Tokens, when it expires.";
        report.unknown("expiry-unknown", message, remedy, Responsible::User);
    }
    match (first, tokens.len()) {
        (Some(at), 1) => warn(now_ms, at, &day_of(at), "The token", report),
        (Some(at), number) => {
            let what = format!(
                "The first of the account's {}, of which this connection uses one,",
                count(number as u64, "token", "tokens")
            );
            warn(now_ms, at, &day_of(at), &what, report);
        }
        (None, 0) => {
            let message = "Jira lists no token of the account, and so does not say when this one expires.";
            report.unknown("expiry-unknown", message, "", Responsible::User);
        }
        // One that has no day, or is past, and was just accepted.
        (None, _) if days.contains(&Day::Never) => report.passed("expiry", "The token does not expire."),
        (None, _) => {
            if let Some(at) = known().max() {
                warn(now_ms, at, &day_of(at), "The token", report);
            }
        }
    }
}

/// When a token expires, as Jira lists it.
#[derive(PartialEq)]
enum Day {
    Never,
    At(u64),
    Unreadable,
}

impl Day {
    fn of(token: &Value) -> Self {
        match token.get("expiringAt") {
            _ if !token.is_object() => Self::Unreadable,
            None | Some(Value::Null) => Self::Never,
            Some(at) => match at.as_u64().or_else(|| timestamp::parse(at.as_str()?)) {
                Some(at) => Self::At(at),
                None => Self::Unreadable,
            },
        }
    }
}

fn day_of(at_ms: u64) -> String {
    timestamp::format(at_ms).chars().take(10).collect()
}

fn warn(now_ms: u64, at_ms: u64, day: &str, what: &str, report: &mut Report) {
    let days = at_ms.saturating_sub(now_ms) / DAY_MS;
    let remedy = "Make a new token and replace the credential: everything that shares it goes on.";
    if at_ms <= now_ms {
        let message = format!("{what} was said to expire on {day}, and still works.");
        report.warning("expiry-passed", message, "Correct the day, or replace the credential.", Responsible::User);
    } else if days < SOON {
        let message = format!("{what} expires on {day}, in {}.", count(days, "day", "days"));
        let code = if days < VERY_SOON { "expires-very-soon" } else { "expires-soon" };
        report.warning(code, message, remedy, Responsible::User);
    } else {
        report.passed("expiry", format!("{what} expires on {day}."));
    }
}
