//! How many webhooks are used, of as many as there may be.

use super::report::{Report, count};
use crate::action::with_scopes;
use crate::contract::{Error, Responsible};
use crate::event::{self, list_webhooks, webhook_usage};
use crate::jira::answer::Answer;
use crate::jira::client::{Ask, Client};

pub(super) fn ask(client: &Client<'_>) -> Ask {
    list_webhooks(client)
}

/// `answer` is none where the credential lacks the scope to ask.
pub(super) fn say(client: &Client<'_>, answer: Option<Result<Answer, Error>>, report: &mut Report) {
    let usage = match answer {
        None => {
            let message = "How many webhooks are used could not be counted: the credential has no scope to see them.";
            let remedy = "Give the credential the scopes that event cards name, if you want any of them.";
            return report.unknown("webhooks-unseen", message, remedy, Responsible::User);
        }
        Some(answer) => webhook_usage(answer),
    };
    match usage {
        Ok((used, ..)) if !client.deployment.is_cloud() => {
            report.passed(
                "webhooks",
                format!(
                    "Jira has {}, and sets no limit to them.",
                    count(used.into(), "active webhook", "active webhooks")
                ),
            );
        }
        Ok((used, limit, warn_from)) => {
            let message = format!("{used} of {limit} active webhooks of the site are used.");
            if used >= warn_from {
                let remedy = "Remove webhooks that nobody needs, before none can be added.";
                report.warning("webhooks-near-limit", message, remedy, Responsible::ServiceAdmin);
            } else {
                report.passed("webhooks", message);
            }
        }
        Err(error) => report.error(
            &with_scopes(error, client.call, event::SCOPES),
            "How many webhooks are used could not be counted: ",
        ),
    }
}
