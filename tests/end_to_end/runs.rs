//! What a person does with flows and runs: checks, rehearses, looks, retries, cancels, gives up.

use std::time::Duration;

use serde_json::{Value, json};

use crate::built;
use crate::harness::Harness;
use crate::main_job::webhooks;
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// Two steps for every new task.
const TWO: &str = r#"
name: two
on: { event: issue-created, connection: demo, when: event.issue.fields.issuetype.name == "Task" }
steps:
  - { id: mark, action: update-issue, connection: demo, input: { issue: "${{ event.issue.key }}", summary: marked } }
  - { id: tell, action: add-comment, connection: demo, input: { issue: "${{ steps.mark.output.issue }}", body: Seen. } }
retry: { attempts: 2, first: 50ms, at-most: 50ms }
"#;

/// A host that serves the flow, the key of a task it was run for, and the run once it is in this state.
fn one_run(stage: &Stage, state: &str) -> (String, Value) {
    let key = stage.task("A task");
    let run = eventually(&format!("a run that is {state}"), || {
        stage.host.run(&["runs", "list", "--state", state, "--flow", "two"]).list().pop()
    });
    (key, run)
}

fn comments(stage: &Stage, key: &str) -> usize {
    let found = stage.jira.ask("GET", &format!("/rest/api/3/issue/{key}/comment"), &Value::Null).json();
    found["comments"].as_array().map_or(0, Vec::len)
}

fn ended(stage: &Stage, id: &str, state: &str) -> Value {
    eventually(&format!("{id} to be {state}"), || {
        let run = stage.host.run(&["runs", "show", id]).expect(0);
        (run["state"] == state).then_some(run)
    })
}

fn serving(flow: &str) -> (Stage, crate::harness::Serving) {
    let stage = Stage::connected();
    stage.host.file("flows/two.yaml", flow);
    let serving = stage.host.serve(&["--flows", "flows"]);
    eventually("the webhook", || Some(()).filter(|()| !webhooks(&stage).is_empty()));
    (stage, serving)
}

#[test]
fn a_run_that_failed_is_a_dead_letter_and_goes_on_from_the_step_that_failed() {
    let (stage, _serving) = serving(TWO);
    stage.jira.fault(&json!({"match": {"path_contains": "/comment"}, "times": 0, "status": 403, "body": "{}"}));
    let (key, run) = one_run(&stage, "failed");
    let id = text(&run["id"]);
    let dead = stage.host.run(&["dead-letters"]).list();
    assert_eq!((dead.len(), &dead[0]["id"], &dead[0]["failure"]["code"]), (1, &run["id"], &json!("jira.forbidden")));
    assert_eq!(stage.host.run(&["dead-letters", "show", &id]).expect(0)["failure"]["who"], "service-admin");
    let edits = stage.jira.calls("PUT", &key).len();

    stage.jira.clear_faults();
    let retried = stage.host.run(&["dead-letters", "retry", &id]).expect(0);
    assert_eq!((&retried["id"], &retried["from-step"]), (&run["id"], &json!("tell")));
    ended(&stage, &id, "done");
    assert_eq!(
        (comments(&stage, &key), stage.jira.calls("PUT", &key).len()),
        (1, edits),
        "what was done is not done again"
    );
    assert!(stage.host.run(&["dead-letters"]).list().is_empty());
    stage.host.run(&["runs", "retry", &id]).fails(2, "host.run-well");

    let anew = stage.host.run(&["runs", "retry", &id, "--from-event"]).expect(0);
    assert_eq!(anew["again-of"], run["id"]);
    ended(&stage, &text(&anew["id"]), "done");
    assert_eq!(comments(&stage, &key), 2);
    assert_eq!(stage.host.run(&["runs", "show", &id]).expect(0)["redone-as"], json!([anew["id"]]));
}

#[test]
fn a_run_goes_on_with_a_flow_that_was_put_right() {
    let (stage, _serving) = serving(&TWO.replace("body: Seen.", "body: \"${{ event.issue.fields.nothing }}\""));
    let (key, run) = one_run(&stage, "failed");
    let id = text(&run["id"]);
    assert_eq!(run["failure"]["code"], "host.expression");
    let right = stage.host.file("right.yaml", TWO);
    let other =
        stage.host.file("other.yaml", TWO.replace("id: mark", "id: label").replace("steps.mark", "steps.label"));
    let retry =
        |file: &std::path::Path| stage.host.run(&["runs", "retry", &id, "--new-definition", &file.to_string_lossy()]);
    retry(&other).fails(2, "host.flow-differs");
    retry(&right).expect(0);
    ended(&stage, &id, "done");
    assert_eq!(comments(&stage, &key), 1);
}

#[test]
fn a_dead_letter_is_dismissed_by_id_or_with_all_of_its_connection_and_may_still_be_taken_up() {
    let (stage, _serving) = serving(&TWO.replace("body: Seen.", "body: \"${{ event.issue.fields.nothing }}\""));
    let (_, run) = one_run(&stage, "failed");
    let id = text(&run["id"]);
    let dismiss = |arguments: &[&str]| stage.host.run(&[&["dead-letters", "dismiss"], arguments].concat());
    dismiss(&[]).fails(2, "host.arguments");
    dismiss(&["--connection", "demo"]).fails(2, "host.arguments");
    dismiss(&["--all", "--connection", "nobody"]).fails(2, "host.connection-unknown");
    dismiss(&[&id, "nobody"]).fails(2, "host.dead-letter-unknown");
    assert_eq!(stage.host.run(&["dead-letters"]).list().len(), 1, "all of them or none");

    assert_eq!(dismiss(&["--all", "--connection", "demo"]).expect(0), json!({"runs": [id], "deliveries": []}));
    assert!(stage.host.run(&["dead-letters"]).list().is_empty());
    dismiss(&[&id]).fails(2, "host.dead-letter-unknown");
    stage.host.run(&["runs", "retry", &id]).expect(0);
    ended(&stage, &id, "failed");
    let told = stage.host.run_plain(&["dead-letters", "dismiss", &id], "");
    assert_eq!((told.code, told.stdout.trim()), (0, format!("run {id} is dismissed").as_str()));
}

#[test]
fn all_that_failed_for_one_reason_is_retried_at_once() {
    let (stage, _serving) = serving(&TWO.replace("body: Seen.", "body: \"${{ event.issue.fields.nothing }}\""));
    let (_, run) = one_run(&stage, "failed");
    let id = text(&run["id"]);
    let retry = |more: &[&str]| stage.host.run(&[&["runs", "retry"], more].concat());
    retry(&[]).fails(2, "host.arguments");
    retry(&["--all", &id]).fails(2, "host.arguments");
    retry(&["--code", "host.expression", &id]).fails(2, "host.arguments");
    let none = json!({"retried": [], "left": []});
    assert_eq!(retry(&["--all", "--flow", "another"]).expect(0), none);
    assert_eq!(retry(&["--all", "--code", "jira.unavailable"]).expect(0), none);
    let alarms = stage.host.run(&["alarms"]).list();
    assert!(alarms.iter().any(|one| one["code"] == "host.run-failed"), "{alarms:#?}");
    let flow = text(&run["flow"]);
    let again = retry(&["--all", "--state", "failed", "--flow", &flow, "--code", "host.expression"]).expect(0);
    assert_eq!(again, json!({"retried": [id], "left": []}));
    ended(&stage, &id, "failed");
}

#[test]
fn a_step_in_doubt_needs_a_word_and_says_what_is_known() {
    let (stage, _serving) = serving(TWO);
    // The comment is made, and its answer is lost.
    stage.jira.fault(&json!({"match": {"path_contains": "/comment"}, "times": 1, "cut": "after-commit"}));
    let (key, run) = one_run(&stage, "uncertain");
    let id = text(&run["id"]);
    stage.host.run(&["runs", "retry", &id]).fails(2, "host.step-uncertain");
    let shown = stage.host.run(&["runs", "show", &id]).expect(0);
    let known = &shown["steps"][1]["failure"]["known"];
    assert_eq!(known["action"], "add-comment");
    assert!(known["idempotency-key"].is_string() && known["began-at-ms"].is_u64(), "{known:#}");
    assert_eq!(stage.host.run(&["dead-letters"]).list().len(), 1);
    stage.host.run(&["runs", "retry", &id, "--as-done", r#"{"id": 7}"#]).fails(2, "host.as-done-output");
    let output =
        stage.host.run(&["card", "show", "add-comment", "--connection", "demo"]).expect(0)["sample"]["output"].clone();
    stage.host.run(&["runs", "retry", &id, "--as-done", &output.to_string()]).expect(0);
    let done = ended(&stage, &id, "done");
    assert_eq!(done["steps"][1]["output"], output);
    assert_eq!(comments(&stage, &key), 1, "it was not made twice");
}

#[test]
fn a_run_is_cancelled_before_its_next_step_also_from_another_process() {
    let (stage, _serving) = serving(&TWO.replace("attempts: 2", "attempts: 9").replace("50ms", "5s"));
    stage.jira.fault(&json!({"match": {"path_contains": "/comment"}, "times": 0, "status": 429, "headers": {"Retry-After": "3"}, "body": "{}"}));
    let (key, run) = one_run(&stage, "waiting");
    let id = text(&run["id"]);
    assert!(run["due-at-ms"].is_u64() && run["failure"]["message"].is_string(), "why and until when: {run:#}");
    assert_eq!(stage.host.run(&["runs", "cancel", &id]).expect(0)["state"], "cancelled");
    stage.jira.clear_faults();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((comments(&stage, &key), ended(&stage, &id, "cancelled")["cancelling"].clone()), (0, json!(false)));
    stage.host.run(&["runs", "cancel", &id]).fails(2, "host.run-over");
    stage.host.run(&["runs", "retry", &id]).expect(0);
    ended(&stage, &id, "done");
    assert_eq!(comments(&stage, &key), 1, "and a person may change their mind");
}

#[test]
fn what_a_service_asked_for_is_listed_and_lifted() {
    let (stage, _serving) = serving(TWO);
    let busy = json!({"match": {"path_contains": "/comment"}, "times": 1, "status": 429, "headers": {"Retry-After": "3000"}, "body": "{}"});
    stage.jira.fault(&busy);
    let (_, run) = one_run(&stage, "waiting");
    let held = stage.host.run(&["holds", "list"]).list();
    assert!(held[0]["for-ms"].as_u64().is_some_and(|wait| wait > 2_900_000), "{held:#?}");
    assert!(run["due-at-ms"].as_u64() >= held[0]["until-ms"].as_u64(), "{run:#} {held:#?}");
    let lifted = stage.host.run(&["holds", "lift", "--connection", "demo"]).expect(0);
    assert!(lifted["lifted"].as_u64().is_some_and(|count| count > 0), "{lifted:#}");
    ended(&stage, &text(&run["id"]), "done");
    assert!(stage.host.run(&["holds", "list"]).list().is_empty());
}

#[test]
fn a_flow_is_checked_against_the_cards_and_everything_wrong_is_told_at_once() {
    let stage = Stage::new();
    let component = built::connector().to_string_lossy().into_owned();
    let wrong = stage.host.file(
        "wrong.yaml",
        r#"
name: wrong
on:
  event: issue-created
  connection: demo
  filter: { projekts: [DEMO] }
  when: event.isue.key == "DEMO-1"
steps:
  - id: mark
    action: update-issue
    connection: demo
    input: { isue: "${{ event.issue.key }}", summary: 7, add: "${{ event.id }}" }
  - id: tell
    action: add-comments
    connection: demo
    input: { issue: "${{ steps.mark.output.isue }}" }
  - id: last
    action: add-comment
    connection: demo
    input: { body: "${{ event.time" }
"#,
    );
    let check =
        |file: &std::path::Path| stage.host.run(&["flow", "check", &file.to_string_lossy(), "--component", &component]);
    // What cannot be read is told first, all of it.
    let told = check(&wrong).expect(2)[0]["problems"].clone();
    let places =
        |told: &Value| told.as_array().expect("a list").iter().map(|one| text(&one["place"])).collect::<Vec<_>>();
    assert_eq!(places(&told), ["steps.last.input/body"], "{told:#}");
    let readable = std::fs::read_to_string(&wrong).expect("it is there").replace("${{ event.time", "${{ event.time }}");
    let told = check(&stage.host.file("readable.yaml", readable)).expect(2)[0]["problems"].clone();
    let found = places(&told);
    for place in [
        "on.filter",
        "on.when",
        "steps.mark.input/issue",
        "steps.mark.input/summary",
        "steps.mark.input/add",
        "steps.mark.input",
        "steps.tell.action",
        "steps.tell.input/issue",
        "steps.last.input/issue",
    ] {
        assert!(found.iter().any(|one| one == place), "{place} is not among {found:?}: {told:#}");
    }
    assert!(told.to_string().contains("issue"), "{told:#}");
    let right = stage.host.file("right.yaml", TWO);
    assert_eq!(check(&right).expect(0)[0]["problems"], json!([]));
    let example = built::root().join("examples/flows/triage-new-bugs.yaml");
    assert_eq!(check(&example).expect(0)[0]["problems"], json!([]));
    let documented = std::fs::read_to_string(built::root().join("docs/flows.md")).expect("the document is there");
    let (_, documented) = documented.split_once("```yaml\n").expect("it shows a flow");
    let documented = documented.split_once("```").expect("the flow ends").0;
    assert_eq!(check(&stage.host.file("documented.yaml", documented)).expect(0)[0]["problems"], json!([]));
    let unknown = stage.host.run(&["flow", "check", &right.to_string_lossy()]);
    assert!(unknown.expect(2)[0]["problems"].to_string().contains("no connection `demo`"), "{unknown:#?}");
}

#[test]
fn what_a_flow_holds_cannot_steer_the_terminal_of_who_checks_it() {
    let host = Harness::new();
    let name = "a\u{1b}]0;title\u{7}\u{202e}b";
    let flow = host.file("hostile.yaml", TWO.replacen("name: two", &format!("name: {}", json!(name)), 1));
    let arguments = ["flow", "check", &*flow.to_string_lossy()];
    let told = host.run_plain(&arguments, "");
    assert!(told.stdout.contains(r"a\u001b]0;title\u0007\u202eb"), "{told:#?}");
    let machine = host.run(&arguments);
    for said in [&told.stdout, &told.stderr, &machine.stdout] {
        assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{said:?}");
    }
    assert!(machine.expect(2)[0]["problems"].to_string().contains("\u{202e}"), "the value is the same: {machine:#?}");
}

#[test]
fn a_flow_is_gone_through_with_a_sample_and_nothing_is_sent() {
    let stage = Stage::connected();
    let flow = stage.host.file("two.yaml", TWO.replace("== \"Task\"", "== \"Bug\""));
    stage.jira.forget_wire();
    let test = |more: &[&str]| stage.host.run(&[&["flow", "test", &flow.to_string_lossy()], more].concat());
    let gone = test(&[]).expect(0);
    assert_eq!((&gone["runs"], gone["problems"].as_array().map(Vec::len)), (&json!(true), Some(0)));
    assert_eq!(gone["steps"][0]["input"], json!({"issue": "DEMO-1", "summary": "marked"}));
    assert_eq!(gone["steps"][1]["input"]["issue"], gone["steps"][0]["output"]["issue"], "the sample stands in");
    let mut event = gone["event"].clone();
    event["issue"]["fields"]["issuetype"]["name"] = json!("Story");
    assert_eq!(test(&["--event", &event.to_string()]).expect(0)["runs"], false);
    event["issue"] = json!({});
    let told = test(&["--event", &event.to_string()]).expect(2)["problems"].clone();
    assert!(told.to_string().contains("on.when") && told.to_string().contains("steps.mark.input"), "{told:#}");
    assert!(stage.jira.wire().is_empty(), "{:?}", stage.jira.wire());
}
