//! What the account may do: administer Jira, as webhooks need, and what the cards do in projects.
//!
//! Source: Cloud v3 and Data Center, `GET mypermissions`: without a project, a permission of projects is there where the
//! account has it in any of them.

use super::report::Report;
use crate::contract::{Error, Responsible};
use crate::jira::answer::Answer;
use crate::jira::client::Ask;
use serde_json::json;

/// Permissions of projects, with what people call them.
const OF_PROJECTS: &[(&str, &str)] = &[
    ("BROWSE_PROJECTS", "Browse projects"),
    ("CREATE_ISSUES", "Create issues"),
    ("EDIT_ISSUES", "Edit issues"),
    ("ADD_COMMENTS", "Add comments"),
];

pub(super) fn ask() -> Ask {
    let keys: Vec<&str> = std::iter::once("ADMINISTER").chain(OF_PROJECTS.iter().map(|(key, _)| *key)).collect();
    Ask::api("GET", "mypermissions", "mypermissions").query("permissions", keys.join(","))
}

pub(super) fn say(answer: Result<Answer, Error>, report: &mut Report) {
    let body = match answer {
        Ok(answer) => answer.value(),
        Err(error) => return report.error(&error, "What the account may do is not known: "),
    };
    let has = |key: &str| body["permissions"][key]["havePermission"].as_bool();
    match has("ADMINISTER") {
        Some(true) => {
            report.keep("administers", json!(true));
            report.passed("administer", "The account may administer Jira, as event cards need.");
        }
        Some(false) => {
            report.keep("administers", json!(false));
            let message = "The account may not administer Jira: action cards work, event cards will not.";
            let remedy =
                "Grant the account the global permission Administer Jira, or connect with an account that has it.";
            report.warning("administer-missing", message, remedy, Responsible::ServiceAdmin);
        }
        None => {
            let message = "Whether the account administers Jira is not known: Jira's answer does not say.";
            report.unknown("administer-unknown", message, "Try again later.", Responsible::User);
        }
    }
    let names = |wanted: Option<bool>| -> Vec<&str> {
        OF_PROJECTS.iter().filter(|(key, _)| has(key) == wanted).map(|(_, name)| *name).collect()
    };
    let (missing, unsaid) = (names(Some(false)), names(None));
    if !missing.is_empty() {
        let message = format!("In no project the account has: {}.", missing.join(", "));
        let remedy = "Add the account to a role of the projects that the cards work in, or grant it these permissions.";
        report.warning("project-permissions-missing", message, remedy, Responsible::ServiceAdmin);
    } else if !unsaid.is_empty() {
        let message = format!("Jira's answer does not say whether the account has: {}.", unsaid.join(", "));
        report.unknown("project-permissions-unknown", message, "Try again later.", Responsible::User);
    } else {
        report.passed("project-permissions", "The account may browse, create, edit and comment in some project.");
    }
}
