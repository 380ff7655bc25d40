//! Recorded answers, and what the report makes of them.

mod address;
mod credential;
mod standing;

use super::check;
use crate::contract::{Call, Finding, Health, Outcome};
use crate::fake::{Script, Scripted, call, json_answer, raw_answer};
use serde_json::{Value, json};

pub(super) fn cloud() -> Scripted {
    json_answer(
        200,
        &json!({ "deploymentType": "Cloud", "version": "1001.0.0-SNAPSHOT", "baseUrl": crate::fake::SITE }),
    )
}

pub(super) fn center(version: &str) -> Scripted {
    let base = "https://jira.example.test/jira";
    json_answer(200, &json!({ "deploymentType": "Server", "version": version, "baseUrl": base, "buildNumber": 1 }))
}

pub(super) fn tenant() -> Scripted {
    json_answer(200, &json!({ "cloudId": "cloud-1" }))
}

pub(super) fn myself() -> Scripted {
    json_answer(
        200,
        &json!({ "accountId": "acc-1", "displayName": "Administrator", "emailAddress": "Administrator@example.test", "timeZone": "Europe/Vienna" }),
    )
}

pub(super) fn own_myself() -> Scripted {
    json_answer(
        200,
        &json!({ "key": "JIRAUSER10000", "name": "admin", "displayName": "Administrator", "timeZone": "Europe/Vienna" }),
    )
}

pub(super) fn permissions(administers: bool, others: bool) -> Scripted {
    let has = |has: bool| json!({ "havePermission": has });
    let of_projects = ["BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS"];
    let mut all = json!({ "ADMINISTER": has(administers) });
    for key in of_projects {
        all[key] = has(others);
    }
    json_answer(200, &json!({ "permissions": all }))
}

pub(super) fn total(total: u64) -> Scripted {
    json_answer(200, &json!({ "total": total, "values": [] }))
}

pub(super) fn webhooks(number: u64) -> Scripted {
    let hook = |id| json!({ "self": format!("https://x/webhook/{id}"), "enabled": true });
    json_answer(200, &Value::Array((0..number).map(hook).collect()))
}

/// All that is asked after the identity, as a healthy Jira Cloud answers it.
pub(super) fn healthy() -> Vec<Scripted> {
    vec![permissions(true, true), total(3), total(1), webhooks(2)]
}

/// An answer to a stranger, as a site gives it to a credential that it does not accept.
pub(super) fn strangers() -> Scripted {
    let body = br#"{"errorMessages":["Client must be authenticated to access this resource."]}"#;
    raw_answer(401, &[("x-seraph-loginreason", "AUTHENTICATED_FAILED")], body)
}

/// A call of a connection made in this way, with more settings.
pub(super) fn made(method: &str, more: &Value) -> Call {
    let mut call = call();
    call.connection.settings["method"] = json!(method);
    for (name, value) in more.as_object().expect("settings") {
        call.connection.settings[name] = value.clone();
    }
    call
}

/// A connection to a Jira of one's own.
pub(super) fn own(method: &str) -> Call {
    let mut call = call();
    call.connection.settings = json!({ "method": method, "site": "https://jira.example.test/jira/" });
    call
}

pub(super) fn checked(call: &Call, answers: Vec<Scripted>) -> (Health, Script) {
    let mut host = Script::new(answers);
    let health = check(&mut host, call).expect("a report");
    (health, host)
}

pub(super) fn outcome(health: &Health, code: &str) -> Option<Outcome> {
    health.findings.iter().find(|finding| finding.code == code).map(|finding| finding.outcome)
}

pub(super) fn last(health: &Health) -> &Finding {
    health.findings.last().expect("a finding")
}

pub(super) fn codes(health: &Health) -> Vec<&str> {
    health.findings.iter().map(|finding| finding.code.trim_start_matches("jira.")).collect()
}
