use super::check;
use crate::contract::{FailureClass, Outcome};
use crate::fake::{Script, Scripted, call, json_answer, raw_answer};
use crate::host::SendError;
use serde_json::{Value, json};

fn myself() -> Scripted {
    json_answer(
        200,
        &json!({ "accountId": "acc-1", "displayName": "Administrator", "emailAddress": "Administrator@example.test", "timeZone": "Europe/Vienna" }),
    )
}

fn rest(administers: bool, webhooks: Scripted) -> Vec<Scripted> {
    vec![
        json_answer(200, &json!({ "deploymentType": "Cloud", "version": "1001.0.0-SNAPSHOT" })),
        json_answer(200, &json!({ "permissions": { "ADMINISTER": { "havePermission": administers } } })),
        webhooks,
        json_answer(200, &json!({ "cloudId": "cloud-1" })),
    ]
}

fn outcome(findings: &[crate::contract::Finding], code: &str) -> Option<Outcome> {
    findings.iter().find(|finding| finding.code == code).map(|finding| finding.outcome)
}

#[test]
fn a_healthy_connection_is_proved_in_two_waves() {
    let mut answers = vec![myself()];
    answers.extend(rest(true, json_answer(200, &json!([]))));
    let mut host = Script::new(answers);
    let health = check(&mut host, &call()).expect("a report");
    assert_eq!(host.batches, [1, 4], "the identity comes first and alone");
    assert!(health.findings.iter().all(|finding| finding.outcome == Outcome::Passed), "{:?}", health.findings);
    let identity = health.identity.expect("an identity");
    assert_eq!((identity.tenant.as_str(), identity.account.as_str()), ("cloud-1", "acc-1"));
    for (name, value) in
        [("deployment", "cloud"), ("cloud-id", "cloud-1"), ("account-id", "acc-1"), ("time-zone", "Europe/Vienna")]
    {
        assert_eq!(health.settings[name], value);
    }
}

#[test]
fn nothing_more_is_asked_once_the_identity_was_refused() {
    let failed = [("x-seraph-loginreason", "AUTHENTICATED_FAILED")];
    let variants: Vec<Scripted> = vec![
        json_answer(401, &json!({ "errorMessages": ["No."] })),
        raw_answer(200, &failed, br#"{"accountId":"acc-1"}"#),
        raw_answer(200, &[], b""),
        json_answer(200, &json!({})),
        json_answer(200, &json!({ "accountId": "" })),
        json_answer(200, &json!({ "displayName": "Anonymous", "accountId": null })),
        raw_answer(200, &[("content-type", "text/html")], b"<html>Log in</html>"),
        raw_answer(403, &[("x-authentication-denied-reason", "CAPTCHA_CHALLENGE")], b""),
    ];
    for answer in variants {
        let mut host = Script::new([answer.clone()]);
        let health = check(&mut host, &call()).expect("a report");
        assert!(health.identity.is_none());
        assert_eq!(host.asked.len(), 1);
        let last = health.findings.last().expect("a finding");
        assert_eq!((last.outcome, last.class), (Outcome::Failed, Some(FailureClass::Credential)), "{answer:?}");
    }
}

#[test]
fn what_may_pass_is_unknown_and_not_failed() {
    for answer in [Err(SendError::Dns), Err(SendError::TimedOut), raw_answer(503, &[], b"")] {
        let mut host = Script::new([answer]);
        let health = check(&mut host, &call()).expect("a report");
        let last = health.findings.last().expect("a finding");
        assert_eq!((last.outcome, last.class), (Outcome::Unknown, Some(FailureClass::Unavailable)));
    }
}

#[test]
fn an_account_that_does_not_administer_is_warned_and_its_webhooks_are_unknown() {
    let mut answers = vec![myself()];
    answers.extend(rest(false, json_answer(403, &json!({ "errorMessages": ["No."] }))));
    let health = check(&mut Script::new(answers), &call()).expect("a report");
    assert_eq!(outcome(&health.findings, "jira.administer-missing"), Some(Outcome::Warning));
    assert_eq!(outcome(&health.findings, "jira.webhooks-forbidden"), Some(Outcome::Unknown));
    assert_eq!(health.settings["administers"], false);
}

#[test]
fn a_site_near_its_limit_of_webhooks_is_warned() {
    let hooks: Vec<Value> =
        (0..80).map(|id| json!({ "self": format!("https://x/webhook/{id}"), "enabled": true })).collect();
    let mut answers = vec![myself()];
    answers.extend(rest(true, json_answer(200, &Value::Array(hooks))));
    let health = check(&mut Script::new(answers), &call()).expect("a report");
    assert_eq!(outcome(&health.findings, "jira.webhooks-near-limit"), Some(Outcome::Warning));
}

#[test]
fn another_account_than_the_one_typed_is_warned_of() {
    let mut answers = vec![json_answer(200, &json!({ "accountId": "acc-2", "emailAddress": "user@example.test" }))];
    answers.extend(rest(true, json_answer(200, &json!([]))));
    let health = check(&mut Script::new(answers), &call()).expect("a report");
    assert_eq!(outcome(&health.findings, "jira.identity-differs"), Some(Outcome::Warning));
}

/// What limits and locks are kept by must not depend on what fails today.
#[test]
fn the_tenant_is_the_same_whatever_fails() {
    let checked = |tenant: Scripted, settings: &[(&str, &str)]| {
        let mut answers = vec![myself()];
        answers.extend(rest(true, json_answer(200, &json!([]))));
        answers[4] = tenant;
        let mut call = call();
        for (name, value) in settings {
            call.connection.settings[*name] = json!(value);
        }
        check(&mut Script::new(answers), &call).expect("a report")
    };
    let tenant = |health: crate::contract::Health| health.identity.map(|identity| identity.tenant);
    let overloaded = || raw_answer(503, &[], b"");
    assert_eq!(tenant(checked(overloaded(), &[("cloud-id", "cloud-1")])).as_deref(), Some("cloud-1"));
    let unknown = checked(overloaded(), &[]);
    assert_eq!(unknown.findings.last().map(|last| last.outcome), Some(Outcome::Unknown));
    assert_eq!(tenant(unknown), None);
    let address = call().connection.settings["site"].as_str().map(str::to_owned).expect("a site");
    let without = tenant(checked(json_answer(404, &json!({})), &[])).expect("a tenant");
    assert!(address.contains(&without), "{address} {without}");
}
