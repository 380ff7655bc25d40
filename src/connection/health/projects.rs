//! How many projects the account sees, and how many of them are for service.

use super::report::{Report, count};
use crate::contract::{Error, Responsible};
use crate::jira::answer::Answer;
use crate::jira::client::Ask;
use crate::jira::deployment::Deployment;
use crate::json::{self, Members};
use serde_json::Value;

/// The type of projects of Jira Service Management.
const SERVICE: &str = "service_desk";

/// Cloud counts; Data Center can only list. Source: `GET project/search` of Cloud v3, `GET project` of Data Center.
pub(super) fn asks(deployment: Deployment) -> Vec<Ask> {
    if !deployment.is_cloud() {
        return vec![Ask::api("GET", "project", "project")];
    }
    let count = || Ask::api("GET", "project/search", "project/search").query("maxResults", 1);
    vec![count(), count().query("typeKey", SERVICE)]
}

/// All, and those for service.
pub(super) fn read(
    deployment: Deployment,
    next: &mut dyn FnMut() -> Result<Answer, Error>,
) -> Result<(u64, u64), Error> {
    let invalid = |answer: &Answer| answer.invalid("Jira's list of projects is not what was due.");
    if deployment.is_cloud() {
        let (all, service) = (next(), next());
        let total =
            |answer: Answer| answer.value().get("total").and_then(Value::as_u64).ok_or_else(|| invalid(&answer));
        return Ok((total(all?)?, total(service?)?));
    }
    let answer = next()?;
    let list = json::items(&answer.body).ok_or_else(|| invalid(&answer))?;
    let service = |project: &&&str| {
        Members::of(project).is_some_and(|it| it.string("projectTypeKey").as_deref() == Some(SERVICE))
    };
    let of_service = list.iter().filter(service).count();
    Ok((list.len() as u64, of_service as u64))
}

pub(super) fn say(seen: Result<(u64, u64), Error>, report: &mut Report) {
    match seen {
        Ok((0, _)) => {
            let remedy = "Give the account the permission Browse projects in the projects that the cards work in.";
            report.warning("no-projects", "The account sees no project.", remedy, Responsible::ServiceAdmin);
        }
        Ok((all, service)) => {
            let message =
                format!("The account sees {}, {service} of them for service.", count(all, "project", "projects"));
            report.passed("projects", message);
        }
        Err(error) => report.error(&error, "How many projects the account sees could not be counted: "),
    }
}
