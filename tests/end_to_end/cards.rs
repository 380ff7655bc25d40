//! Every card of the manifest, used for real: a card that nobody uses here fails.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::built;
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// How an action card is used: its input for an issue that is there, and what Jira holds then.
type Use = (&'static str, fn(&str) -> Value, fn(&Stage, &str, &Value) -> bool);

const ACTIONS: [Use; 6] = [
    (
        "create-issue",
        |_| json!({"project": "DEMO", "issue-type": "Task", "summary": "Created by its card"}),
        |stage, _, output| issue(stage, &text(&output["key"]))["fields"]["summary"] == "Created by its card",
    ),
    (
        "update-issue",
        |key| json!({"issue": key, "fields": {"summary": "Updated by its card"}}),
        |stage, key, _| issue(stage, key)["fields"]["summary"] == "Updated by its card",
    ),
    ("get-issue", |key| json!({"issue": key}), |_, key, output| output.to_string().contains(key)),
    ("search-issues", |key| json!({"jql": format!("key = {key}")}), |_, key, output| output.to_string().contains(key)),
    (
        "add-comment",
        |key| json!({"issue": key, "body": "Said by its card"}),
        |stage, key, output| {
            let comment = format!("/rest/api/3/issue/{key}/comment/{}", text(&output["id"]));
            stage.jira.ask("GET", &comment, &Value::Null).body.contains("Said by its card")
        },
    ),
    (
        "call-api",
        |key| json!({"method": "DELETE", "path": format!("/rest/api/3/issue/{key}")}),
        |stage, key, _| stage.jira.ask("GET", &format!("/rest/api/3/issue/{key}"), &Value::Null).status == 404,
    ),
];

/// What makes an event happen at the stage's Jira, to the issue of this key.
type Cause = fn(&Stage, &str);

/// What happens in Jira, to an issue that is there, for an event card to tell of it.
const EVENTS: [(&str, Cause); 3] = [
    ("issue-created", |stage, _| drop(issue_of(stage, "One more"))),
    ("issue-updated", |stage, key| {
        let change = json!({"fields": {"summary": "Changed by somebody"}});
        assert_eq!(stage.jira.ask("PUT", &format!("/rest/api/3/issue/{key}"), &change).status, 204);
    }),
    ("issue-deleted", |stage, key| {
        assert_eq!(stage.jira.ask("DELETE", &format!("/rest/api/3/issue/{key}"), &Value::Null).status, 204);
    }),
];

fn issue(stage: &Stage, key: &str) -> Value {
    stage.jira.ask("GET", &format!("/rest/api/3/issue/{key}"), &Value::Null).json()
}

/// Makes an issue in Jira itself.
fn issue_of(stage: &Stage, summary: &str) -> String {
    let fields = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": summary});
    let created = stage.jira.ask("POST", "/rest/api/3/issue", &json!({"fields": fields}));
    assert_eq!(created.status, 201, "{}", created.body);
    text(&created.json()["key"])
}

/// The cards of one kind, as the manifest has them.
fn cards(stage: &Stage, kind: &str) -> Vec<Value> {
    let inspected = stage.host.run(&["inspect", &built::connector().to_string_lossy()]).expect(0);
    let cards = inspected["manifest"]["cards"].as_array().expect("a manifest lists its cards").clone();
    let found: Vec<_> = cards.into_iter().filter(|card| card["kind"] == kind).collect();
    assert!(!found.is_empty(), "no card of the kind {kind}");
    found
}

/// Holds what a card gave against the schema that its manifest promises.
fn assert_keeps_promise(card: &Value, given: &Value) {
    let validator = jsonschema::validator_for(&card["output"]).expect("the card's output is a JSON Schema");
    let wrong: Vec<_> = validator.iter_errors(given).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{} gave what it does not promise: {}\n{given:#}", card["id"], wrong.join("; "));
}

#[test]
fn every_action_card_works_on_jira_and_gives_what_its_manifest_promises() {
    let stage = Stage::connected();
    for card in cards(&stage, "action") {
        let id = text(&card["id"]);
        let Some((_, input, worked)) = ACTIONS.iter().find(|(known, ..)| *known == id) else {
            panic!(
                "the action card `{id}` is never used end to end: add a row to ACTIONS in tests/end_to_end/cards.rs, \
                 with an input for an issue that is there and a look at what the simulated Jira holds afterwards"
            );
        };
        let key = issue_of(&stage, "Something to work on");
        stage.jira.advance(std::time::Duration::from_secs(600));
        let output = stage.run(&id, &input(&key)).expect(0);
        assert_keeps_promise(&card, &output);
        assert!(worked(&stage, &key, &output), "{id} ended well, but Jira does not show it: {output:#}");
    }
}

#[test]
fn every_event_card_starts_a_run_and_gives_what_its_manifest_promises() {
    let stage = Stage::connected();
    let cards = cards(&stage, "event");
    for card in &cards {
        let id = text(&card["id"]);
        let mut flow = format!("name: hear-{id}\non: {{ event: {id}, connection: demo }}\nsteps:\n");
        let step =
            "  - { id: look, action: call-api, connection: demo, input: { method: GET, path: /rest/api/3/myself } }";
        writeln!(flow, "{step}").expect("text takes text");
        stage.host.file(&format!("flows/{id}.yaml"), flow);
    }
    let key = issue_of(&stage, "Something to talk of");
    let _serving = stage.host.serve(&["--flows", "flows"]);
    for card in &cards {
        let id = text(&card["id"]);
        let Some((_, happen)) = EVENTS.iter().find(|(known, _)| *known == id) else {
            panic!(
                "the event card `{id}` is never heard end to end: add a row to EVENTS in tests/end_to_end/cards.rs \
                 that makes it happen in the simulated Jira"
            );
        };
        happen(&stage, &key);
        let event = eventually(&format!("an event of {id}"), || {
            stage.host.run(&["events", "list"]).list().into_iter().find(|event| event["card"] == id)
        });
        let event = stage.host.run(&["events", "show", &text(&event["id"])]).expect(0);
        assert_keeps_promise(card, &event["payload"]);
        let run = eventually(&format!("a run that {id} started"), || {
            let flow = format!("hear-{id}");
            let runs = stage.host.run(&["runs", "list"]).list();
            runs.into_iter().find(|run| run["flow"] == flow.as_str() && run["state"] != "running")
        });
        assert_eq!(run["state"], "done", "{run:#}");
    }
}
