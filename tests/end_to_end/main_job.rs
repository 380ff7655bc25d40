//! The main job, from a site, an address and a token to an issue that a flow changed; and the
//! harm that must do nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Serving;
use crate::http;
use crate::simulator::{Captured, eventually, text};
use crate::stage::Stage;

/// Labels every new bug.
const TRIAGE: &str = r#"
name: triage-new-bugs
on:
  event: issue-created
  connection: demo
  filter: { projects: [DEMO] }
  when: event.issue.fields.issuetype.name == "Bug"
steps:
  - id: label
    action: update-issue
    connection: demo
    input:
      issue: ${{ event.issue.key }}
      fields:
        labels: [triaged]
        summary: "[triage] ${{ event.issue.fields.summary }}"
"#;

/// Long enough for a run that should not be there to show itself.
const SUSPENSE: Duration = Duration::from_millis(600);

/// A stage whose host serves the triage flow.
pub(crate) fn triage() -> (Stage, Serving) {
    let stage = Stage::connected();
    stage.host.file("flows/triage.yaml", TRIAGE);
    let serving = stage.host.serve(&["--flows", "flows"]);
    eventually("the webhook", || Some(()).filter(|()| !webhooks(&stage).is_empty()));
    (stage, serving)
}

/// The webhooks that Jira lists.
pub(crate) fn webhooks(stage: &Stage) -> Vec<Value> {
    let listed = stage.jira.ask("GET", "/rest/webhooks/1.0/webhook", &Value::Null).json();
    listed.as_array().cloned().expect("Jira lists webhooks in an array")
}

/// Runs that are over.
pub(crate) fn finished_runs(stage: &Stage) -> Vec<Value> {
    let over = |run: &Value| matches!(run["state"].as_str(), Some("done" | "failed" | "uncertain" | "dead"));
    stage.host.run(&["runs", "list"]).list().into_iter().filter(over).collect()
}

/// Creates a bug, waits for its run, and answers with the issue's key, the run, and the delivery.
pub(crate) fn one_bug(stage: &Stage) -> (String, Value, Value) {
    let input = json!({"project": "DEMO", "issue-type": "Bug", "summary": "The printer burns", "description": "It burns **brightly**."});
    let created = stage.run("create-issue", &input).expect(0);
    let run = eventually("the run", || finished_runs(stage).pop());
    let delivery = eventually("the delivery", || {
        let all = stage.jira.deliveries();
        all.into_iter()
            .find(|delivery| delivery["state"] == "delivered" && text(&delivery["event"]).contains("created"))
    });
    (text(&created["key"]), run, delivery)
}

/// Sends a delivery to where the registered webhook points.
pub(crate) fn deliver(delivery: &Value, captured: &Captured) -> u16 {
    http::send("POST", &text(&delivery["url"]), &captured.sendable(), captured.body.as_bytes()).status
}

#[test]
fn an_event_runs_a_flow_that_changes_the_issue() {
    let (stage, serving) = triage();
    let hooks = webhooks(&stage);
    assert_eq!(hooks.len(), 1, "one registration for all subscriptions: {hooks:?}");
    assert_eq!(hooks[0]["isSigned"], true, "{hooks:?}");
    assert!(text(&hooks[0]["url"]).starts_with(serving.url()), "{hooks:?} {}", serving.ready());

    let (key, run, _) = one_bug(&stage);
    assert_eq!(run["state"], "done", "{run:#}");
    let issue = stage.jira.ask("GET", &format!("/rest/api/3/issue/{key}"), &Value::Null).json();
    assert_eq!(issue["fields"]["labels"], json!(["triaged"]));
    assert_eq!(issue["fields"]["summary"], "[triage] The printer burns");
    let read = stage.run("get-issue", &json!({"issue": key})).expect(0);
    assert!(read.to_string().contains("[triage] The printer burns"), "{read:#}");

    let shown = stage.host.run(&["runs", "show", &text(&run["id"])]).expect(0);
    for part in ["label", "update-issue", &key, "triaged"] {
        assert!(shown.to_string().contains(part), "the run does not show {part}: {shown:#}");
    }
    let events = stage.host.run(&["events", "list"]).list();
    let created = events.iter().find(|event| event["card"] == "issue-created").expect("the event is kept");
    let event = stage.host.run(&["events", "show", &text(&created["id"])]).expect(0);
    assert!(event.to_string().contains(&key), "{event:#}");
}

#[test]
fn an_issue_the_flow_does_not_want_starts_no_run() {
    let (stage, _serving) = triage();
    stage.task("Not a bug");
    stage.jira.wait_for_deliveries(1);
    std::thread::sleep(SUSPENSE);
    let runs = stage.host.run(&["runs", "list"]).list();
    assert!(runs.iter().all(|run| run["state"] == "skipped"), "{runs:#?}");
}

#[test]
fn a_forged_delivery_is_refused_and_starts_nothing() {
    let (stage, _serving) = triage();
    let (_, _, delivery) = one_bug(&stage);
    let before = stage.host.run(&["runs", "list"]).list().len();
    let mut genuine = stage.jira.captured(&text(&delivery["identifier"]));
    for (name, value) in &mut genuine.headers {
        if name.eq_ignore_ascii_case("x-atlassian-webhook-identifier") {
            // The refusal must not come from having seen it before.
            *value = "forged-0001".to_owned();
        }
    }
    let mut changed = genuine.clone();
    changed.body = genuine.body.replacen("printer", "scanner", 1);
    assert_ne!(changed.body, genuine.body);
    let mut unsigned = genuine.clone();
    unsigned.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-hub-signature"));
    assert_eq!(deliver(&delivery, &changed), 401);
    assert_eq!(deliver(&delivery, &unsigned), 401);
    let mut elsewhere = delivery.clone();
    elsewhere["url"] = json!(format!("{}x", text(&delivery["url"])));
    assert_eq!(deliver(&elsewhere, &genuine), 404, "a callback that was never registered");
    std::thread::sleep(SUSPENSE);
    assert_eq!(stage.host.run(&["runs", "list"]).list().len(), before);
    assert_eq!(deliver(&delivery, &genuine), 200, "and a genuine one is let in");
}

#[test]
fn a_duplicate_delivery_starts_nothing() {
    let (stage, _serving) = triage();
    let (_, _, delivery) = one_bug(&stage);
    let before = stage.host.run(&["runs", "list"]).list().len();
    let path = format!("/webhooks/deliveries/{}/redeliver", text(&delivery["identifier"]));
    stage.jira.control("POST", &path, &Value::Null);
    let attempts = eventually("the second attempt", || {
        let again = stage.jira.deliveries();
        let same = again.into_iter().find(|other| other["identifier"] == delivery["identifier"])?;
        same["attempts"].as_array().filter(|attempts| attempts.len() > 1).cloned()
    });
    assert_eq!(attempts.last().expect("an attempt")["status"], 200);
    std::thread::sleep(SUSPENSE);
    assert_eq!(stage.host.run(&["runs", "list"]).list().len(), before);
}

#[test]
fn what_was_acknowledged_is_processed_after_the_host_was_ended_and_started_again() {
    let (stage, serving) = triage();
    let address = serving.url().trim_start_matches("http://").to_owned();
    let (_, _, delivery) = one_bug(&stage);
    drop(serving);
    let _again = stage.host.serve_at(&address, &["--flows", "flows"]);
    assert_eq!(webhooks(&stage).len(), 1, "the webhook is known again, not doubled");
    let genuine = stage.jira.captured(&text(&delivery["identifier"]));
    assert_eq!(deliver(&delivery, &genuine), 200);
    std::thread::sleep(SUSPENSE);
    assert_eq!(finished_runs(&stage).len(), 1, "the identifier outlived the process");
}

#[test]
fn a_revoked_token_stops_all_calls_after_at_most_two_failures_on_the_wire() {
    let stage = Stage::connected();
    stage.jira.forget_wire();
    stage.jira.control("POST", "/accounts/admin/revoke-token", &Value::Null);
    for _ in 0..5 {
        let refused = stage.run("get-issue", &json!({"issue": "DEMO-1"}));
        assert_eq!(refused.expect(3)["error"]["class"], "credential");
    }
    let failures = stage.jira.refused_logins();
    assert!((1..=2).contains(&failures), "{failures} failures on the wire");
    let held = stage.run("get-issue", &json!({"issue": "DEMO-1"}));
    held.fails(3, "host.account-held");

    stage.jira.control("POST", "/accounts/admin/restore-token", &Value::Null);
    let released = stage.host.run(&["connection", "check", "demo", "--release"]);
    assert_eq!(released.code, 0, "a person may try again: {released:#?}");
    assert_eq!(stage.run("search-issues", &json!({"jql": "project = DEMO"})).code, 0);
}
