//! Each command of the host: what it prints, how it ends, what it says of what is wrong.

use serde_json::{Value, json};

use crate::built;
use crate::harness::Harness;
use crate::main_job::{one_bug, triage, webhooks};
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// Every command there is.
const COMMANDS: [&[&str]; 47] = [
    &["inspect"],
    &["connection"],
    &["connection", "add"],
    &["connection", "list"],
    &["connection", "show"],
    &["connection", "check"],
    &["connection", "replace-credential"],
    &["connection", "reauthorize"],
    &["connection", "edit"],
    &["connection", "rename"],
    &["connection", "remove"],
    &["oauth-client"],
    &["oauth-client", "add"],
    &["oauth-client", "list"],
    &["oauth-client", "show"],
    &["oauth-client", "remove"],
    &["card", "list"],
    &["card", "show"],
    &["card", "reference"],
    &["options"],
    &["schema"],
    &["run"],
    &["quota"],
    &["subscribe"],
    &["subscriptions"],
    &["unsubscribe"],
    &["event", "decode"],
    &["serve"],
    &["runs"],
    &["runs", "list"],
    &["runs", "show"],
    &["runs", "retry"],
    &["runs", "cancel"],
    &["dead-letters"],
    &["dead-letters", "list"],
    &["dead-letters", "show"],
    &["dead-letters", "retry"],
    &["dead-letters", "dismiss"],
    &["flow"],
    &["flow", "check"],
    &["flow", "test"],
    &["holds"],
    &["holds", "list"],
    &["holds", "lift"],
    &["events"],
    &["events", "list"],
    &["events", "show"],
];

fn connector() -> String {
    built::connector().to_string_lossy().into_owned()
}

#[test]
fn every_command_explains_itself_with_examples() {
    let host = Harness::fresh();
    for command in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let help = host.run_plain(&arguments, "");
        assert_eq!(help.code, 0, "{help:#?}");
        let example = help.stdout.to_lowercase().contains("example");
        assert!(example && help.stdout.contains("harness "), "no example in the help of {command:?}:\n{}", help.stdout);
        assert!(help.stdout.contains("--json"), "{command:?} does not offer --json");
    }
}

#[test]
fn a_home_that_is_not_there_and_a_level_that_is_none_are_mistakes_and_nothing_is_made() {
    let mut host = Harness::fresh();
    for command in [&["connection", "list"][..], &["alarms"], &["runs", "list"], &["dead-letters"], &["card", "list"]] {
        host.run(command).fails(2, "host.home-missing");
        assert!(!host.home().exists(), "{command:?}");
    }
    host.set("HARNESS_LOG", "foo");
    let told = host.run(&["card", "list", "--connector", &connector()]).fails(2, "host.log-level");
    assert!(told["message"].as_str().is_some_and(|message| message.contains("`foo`")), "{told:#}");
}

#[test]
fn inspect_shows_manifest_imports_exports_and_size() {
    let host = Harness::new();
    let found = host.run(&["inspect", &connector()]).expect(0);
    assert!(found["size"].as_u64().is_some_and(|size| size > 10_000), "{found:#}");
    let names = |list: &Value| list.as_array().expect("a list").iter().map(text).collect::<Vec<_>>();
    assert!(names(&found["imports"]).iter().any(|name| name.starts_with("wasi:http/outgoing-handler@")));
    for interface in ["types", "catalog", "connection", "action", "event"] {
        let name = format!("workflow:connector/{interface}@0.1.0");
        assert!(names(&found["exports"]).contains(&name), "{name} is not exported: {}", found["exports"]);
    }
    assert_eq!(found["manifest"]["connector"]["id"], "jira");
    let cards: Vec<_> =
        found["manifest"]["cards"].as_array().expect("cards").iter().map(|card| text(&card["id"])).collect();
    for card in [
        "create-issue",
        "update-issue",
        "get-issue",
        "search-issues",
        "add-comment",
        "call-api",
        "issue-created",
        "issue-updated",
        "issue-deleted",
    ] {
        assert!(cards.contains(&card.to_owned()), "{card} is missing in {cards:?}");
    }
    assert_eq!(host.run(&["inspect", "no-such.wasm"]).code, 2);
    let text_file = host.file("text.wasm", "not a component");
    assert_eq!(host.run(&["inspect", &text_file.to_string_lossy()]).code, 2);
}

#[test]
fn a_connection_is_added_listed_shown_checked_and_removed() {
    let stage = Stage::new();
    let added = stage.connect("demo", "admin", &[]);
    let report = added.expect(0);
    assert!(
        report["health"]["findings"].as_array().is_some_and(|findings| findings.len() > 2),
        "no health report: {report:#}"
    );
    let listed = stage.host.run(&["connection", "list"]).list();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["name"], "demo");
    let shown = stage.host.run(&["connection", "show", "demo"]).expect(0);
    assert!(shown.to_string().contains(&stage.jira.account("admin").email), "{shown:#}");
    assert!(!shown.to_string().contains(&stage.jira.account("admin").token));
    assert_eq!(stage.host.run(&["connection", "check", "demo"]).code, 0);
    assert_eq!(stage.connect("demo", "admin", &[]).code, 2, "the name is taken");
    assert_eq!(stage.host.run(&["connection", "remove", "demo"]).code, 0);
    assert!(stage.host.run(&["connection", "list"]).list().is_empty());
    assert_eq!(stage.host.run(&["connection", "check", "demo"]).code, 2, "there is no such connection");
    assert_eq!(stage.host.run(&["connection", "show", "demo"]).code, 2);
}

#[test]
fn a_connection_whose_webhook_cannot_be_removed_is_kept_until_a_person_says_otherwise() {
    let stage = Stage::connected();
    let url = "http://127.0.0.1:9";
    stage.host.run(&["subscribe", "issue-created", "--connection", "demo", "--public-url", url]).expect(0);
    stage.jira.fault(&json!({"match": {"path": "/rest/webhooks"}, "times": 0, "status": 403, "body": ""}));

    let refused = stage.host.run(&["connection", "remove", "demo"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    let error = refused.json()["error"].clone();
    assert!(text(&error["message"]).contains("`demo` is kept"), "{error:#}");
    assert!(text(&error["remedy"]).contains("--leave-registrations"), "{error:#}");
    assert_eq!(stage.host.run(&["connection", "list"]).list().len(), 1, "its credential is what removes the webhook");

    stage.jira.clear_faults();
    assert_eq!(stage.host.run(&["connection", "remove", "demo"]).code, 0);
    assert!(webhooks(&stage).is_empty(), "the second try removed it");

    stage.connect("demo", "admin", &[]).expect(0);
    stage.host.run(&["subscribe", "issue-created", "--connection", "demo", "--public-url", url]).expect(0);
    stage.jira.fault(&json!({"match": {"path": "/rest/webhooks"}, "times": 0, "status": 403, "body": ""}));
    let left = stage.host.run(&["connection", "remove", "demo", "--leave-registrations"]).expect(0);
    assert_eq!(left["left-over"].as_array().map(Vec::len), Some(1), "{left:#}");
    assert!(stage.host.run(&["connection", "list"]).list().is_empty());
}

#[test]
fn a_connection_that_cannot_be_proved_is_kept_as_unproven() {
    let stage = Stage::new();
    let email = stage.jira.account("admin").email;
    let added = stage.connect_with("demo", &email, "fake-token-that-never-worked", &[]);
    assert_eq!(added.code, 3, "{added:#?}");
    let shown = stage.host.run(&["connection", "show", "demo"]).expect(0);
    assert!(shown.to_string().contains("unproven"), "{shown:#}");
    let unchecked = stage.connect_with("other", &email, "fake-token-that-never-worked", &["--no-check"]);
    assert_eq!(unchecked.code, 0, "{unchecked:#?}");
}

#[test]
fn a_private_address_needs_the_operators_word() {
    let stage = Stage::new();
    let account = stage.jira.account("admin");
    let token = stage.host.file("token", &account.token);
    let (site, email, token) = (
        format!("site={}", stage.jira.url()),
        format!("email={}", account.email),
        format!("token=@{}", token.display()),
    );
    let connector = connector();
    let refused = stage.host.run(&[
        "connection",
        "add",
        "demo",
        "--connector",
        &connector,
        "--method",
        "api-token",
        "--set",
        &site,
        "--set",
        &email,
        "--secret",
        &token,
    ]);
    assert!(matches!(refused.code, 2 | 3), "{refused:#?}");
    assert!(stage.jira.wire().is_empty(), "nothing was sent: {:?}", stage.jira.wire());
}

#[test]
fn wrong_words_on_the_command_line_are_bad_input() {
    let stage = Stage::connected();
    let connector = connector();
    for arguments in [
        &["no-such-command"][..],
        &["run", "create-issue", "--connection", "demo", "--input", "{"],
        &["run", "create-issue", "--connection", "demo", "--input", "{}"],
        &["run", "create-issue", "--connection", "nobody", "--input", "{}"],
        &["run", "no-such-card", "--connection", "demo", "--input", "{}"],
        &["run", "issue-created", "--connection", "demo", "--input", "{}"],
        &["run", "get-issue", "--connection", "demo", "--input", "@no-such-file"],
        &["connection", "add", "x", "--connector", &connector, "--method", "no-such-method"],
        &["connection", "add", "x", "--connector", &connector, "--method", "api-token", "--set", "site=demo"],
        &["connection", "add", "x", "--connector", &connector, "--method", "api-token", "--set", "token=visible"],
        &["options", "create-issue", "summary", "--connection", "demo"],
        &["subscribe", "no-such-event", "--connection", "demo", "--public-url", "http://127.0.0.1:1"],
        &["runs", "show", "no-such-run"],
        &["events", "show", "no-such-event"],
        &["unsubscribe", "no-such-subscription"],
        &["serve", "--listen", "no-address"],
        &["serve", "--listen", "127.0.0.1:0", "--flows", "no-such-folder"],
    ] {
        let outcome = stage.host.run(arguments);
        let error = outcome.json()["error"].clone();
        assert!(outcome.code == 2 && error["kind"] == "bad-input", "{arguments:?}: {outcome:#?}");
        assert!(error["message"].is_string(), "{outcome:#?}");
    }
}

#[test]
fn cards_are_listed_and_shown_for_a_connection_and_for_a_component() {
    let stage = Stage::connected();
    let by_connection = stage.host.run(&["card", "list", "--connection", "demo"]).list();
    let by_component = stage.host.run(&["card", "list", "--connector", &connector()]).list();
    assert_eq!(by_connection.len(), by_component.len());
    assert_eq!(by_connection.len(), 9);
    let card = stage.host.run(&["card", "show", "create-issue", "--connector", &connector()]).expect(0);
    for field in ["project", "issue-type", "summary", "description", "fields"] {
        assert!(card["input"]["properties"].get(field).is_some(), "no {field} in {:#}", card["input"]);
    }
    let told = stage.host.run_plain(&["card", "show", "create-issue", "--connection", "demo"], "");
    assert_eq!(told.code, 0, "{told:#?}");
    assert!(
        told.stdout.contains("FIELD") && !told.stdout.contains("\"properties\""),
        "a table, not a schema: {told:#?}"
    );
    assert!(told.stdout.contains("harness run create-issue --connection demo --input '{"), "{told:#?}");
}

#[test]
fn live_options_and_the_schema_of_a_project_and_type_come_from_jira() {
    let stage = Stage::connected();
    let options = |field: &str, more: &[&str]| {
        let mut arguments = vec!["options", "create-issue", field, "--connection", "demo"];
        arguments.extend(more);
        stage.host.run(&arguments).expect(0).to_string()
    };
    assert!(options("project", &[]).contains("DEMO"));
    assert!(options("project", &["--query", "dem"]).contains("DEMO"));
    assert!(!options("project", &["--query", "zzz"]).contains("DEMO"));
    let types = options("issue-type", &["--input", r#"{"project":"DEMO"}"#]);
    for kind in ["Epic", "Story", "Task", "Bug", "Sub-task"] {
        assert!(types.contains(kind), "{kind} is missing in {types}");
    }
    let schema = |input: &str| {
        stage.host.run(&["schema", "create-issue", "--connection", "demo", "--input", input]).expect(0)["input"]
            .to_string()
    };
    let of_bug = schema(r#"{"project":"DEMO","issue-type":"Bug"}"#);
    assert!(of_bug.contains("priority"), "the fields of a bug: {of_bug}");
    assert_ne!(of_bug, schema("{}"), "the schema follows what is chosen");
}

#[test]
fn every_action_does_its_work() {
    let stage = Stage::connected();
    let created = stage.run("create-issue", &json!({"project": "DEMO", "issue-type": "Story", "summary": "One", "description": "Some **bold** words", "fields": {"labels": ["first"]}})).expect(0);
    let key = text(&created["key"]);
    assert!(text(&created["url"]).starts_with(stage.jira.url()) && text(&created["url"]).contains(&key), "{created:#}");
    let stored = stage.jira.ask("GET", &format!("/rest/api/3/issue/{key}"), &Value::Null).json();
    assert_eq!(stored["fields"]["labels"], json!(["first"]));
    assert!(
        stored["fields"]["description"].to_string().contains(r#"{"type":"strong"}"#),
        "{:#}",
        stored["fields"]["description"]
    );

    stage.run("update-issue", &json!({"issue": key, "fields": {"summary": "Two"}})).expect(0);
    let read = stage.run("get-issue", &json!({"issue": key})).expect(0);
    assert!(read.to_string().contains("Two"), "{read:#}");
    let comment = stage.run("add-comment", &json!({"issue": key, "body": "A *plain* word"})).expect(0);
    assert!(comment["id"].is_string(), "{comment:#}");
    let comments = stage.jira.ask("GET", &format!("/rest/api/3/issue/{key}/comment"), &Value::Null).json();
    assert_eq!(comments["comments"].as_array().map(Vec::len), Some(1), "{comments:#}");

    stage.jira.advance(std::time::Duration::from_secs(600));
    let found = stage.run("search-issues", &json!({"jql": format!("key = {key}")})).expect(0);
    assert!(found.to_string().contains(&key), "{found:#}");
    let raw = stage
        .run(
            "call-api",
            &json!({"method": "GET", "path": format!("/rest/api/3/issue/{key}"), "query": {"fields": "summary"}}),
        )
        .expect(0);
    assert_eq!(raw["status"], 200, "{raw:#}");
    assert_eq!(raw["body"]["fields"]["summary"], "Two", "{raw:#}");
    let input = stage.host.file("input.json", json!({"issue": key}).to_string());
    let from_file = format!("@{}", input.display());
    assert_eq!(stage.host.run(&["run", "get-issue", "--connection", "demo", "--input", &from_file]).code, 0);
    let piped = stage
        .host
        .run_with(&["run", "get-issue", "--connection", "demo", "--input", "-"], &json!({"issue": key}).to_string());
    assert_eq!(piped.code, 0, "{piped:#?}");
}

#[test]
fn the_quota_says_fine_near_full_and_cannot_tell() {
    let stage = Stage::connected();
    let quota = || stage.host.run(&["quota", "--connection", "demo"]);
    let seed = |count: u32| {
        stage.jira.control("POST", "/webhooks/seed", &json!({"count": count, "enabled": true}));
    };
    assert_eq!(quota().code, 0);
    seed(79);
    assert_eq!(quota().code, 0);
    seed(1);
    let near = quota();
    assert_eq!(near.code, 1, "{near:#?}");
    assert!(near.stdout.contains("80"), "{near:#?}");
    stage.jira.control("POST", "/webhooks/seed", &json!({"count": 5, "enabled": false}));
    assert_eq!(quota().code, 1, "disabled ones do not count");
    seed(20);
    let full = quota();
    assert_eq!(full.code, 2, "{full:#?}");
    assert!(full.stdout.contains("100"), "{full:#?}");

    let refused =
        stage.host.run(&["subscribe", "issue-created", "--connection", "demo", "--public-url", "http://127.0.0.1:9"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    let error = refused.json()["error"].clone();
    assert_eq!(error["class"], "limit", "{error:#}");
    assert_eq!(webhooks(&stage).iter().filter(|hook| hook["enabled"] == true).count(), 100, "nothing was registered");

    let user = stage.connect("user", "user", &[]);
    assert!(matches!(user.code, 0 | 3), "{user:#?}");
    let unknown = stage.host.run(&["quota", "--connection", "user"]);
    assert_eq!(unknown.code, 3, "cannot check is never 0 used: {unknown:#?}");
    assert_eq!(stage.host.run(&["quota", "--connection", "nobody"]).code, 3);
    assert_eq!(stage.host.run(&["quota"]).code, 3);
    stage.jira.fault(&json!({"match": {"path": "/rest/webhooks"}, "times": 0, "status": 503, "body": ""}));
    assert_eq!(quota().code, 3);
}

#[test]
fn subscribing_registers_once_and_the_last_unsubscribing_removes() {
    let stage = Stage::connected();
    let subscribe = |event: &str, more: &[&str]| {
        let mut arguments = vec!["subscribe", event, "--connection", "demo", "--public-url", "http://127.0.0.1:9"];
        arguments.extend(more);
        stage.host.run(&arguments).expect(0)
    };
    subscribe("issue-created", &[]);
    subscribe("issue-deleted", &["--filter", r#"{"projects":["DEMO"]}"#]);
    assert_eq!(webhooks(&stage).len(), 1, "one registration for all subscriptions");
    let subscriptions = stage.host.run(&["subscriptions"]).list();
    assert_eq!(subscriptions.len(), 2);
    for subscription in &subscriptions {
        assert_eq!(stage.host.run(&["unsubscribe", &text(&subscription["id"])]).code, 0);
    }
    assert!(webhooks(&stage).is_empty(), "wanting nothing removes ours");
    assert!(stage.host.run(&["subscriptions"]).list().is_empty());
}

#[test]
fn events_without_a_flow_are_kept_and_listed() {
    let stage = Stage::connected();
    let address = crate::harness::free_address();
    let url = format!("http://{address}");
    for event in ["issue-created", "issue-updated", "issue-deleted"] {
        stage.host.run(&["subscribe", event, "--connection", "demo", "--public-url", &url]).expect(0);
    }
    let _serving = stage.host.serve_at(&address, &[]);
    let key = stage.task("First");
    stage.run("update-issue", &json!({"issue": key, "fields": {"summary": "Second"}})).expect(0);
    assert_eq!(stage.jira.ask("DELETE", &format!("/rest/api/3/issue/{key}"), &Value::Null).status, 204);
    let events = eventually("three events", || {
        let events = stage.host.run(&["events", "list"]).list();
        (events.len() >= 3).then_some(events)
    });
    let find = |card: &str| {
        let event =
            events.iter().find(|event| event["card"] == card).unwrap_or_else(|| panic!("no {card} in {events:#?}"));
        stage.host.run(&["events", "show", &text(&event["id"])]).expect(0).to_string()
    };
    find("issue-deleted");
    let updated = find("issue-updated");
    for part in ["summary", "First", "Second", &key, "account-id"] {
        assert!(updated.contains(part), "no {part} in {updated}");
    }
    assert!(find("issue-created").contains("First"));
    assert!(stage.host.run(&["runs", "list"]).list().is_empty());
}

#[test]
fn a_captured_delivery_decodes_without_a_connection() {
    let (stage, _serving) = triage();
    let (key, _, delivery) = one_bug(&stage);
    let captured = stage.jira.captured(&text(&delivery["identifier"]));
    let headers: serde_json::Map<_, _> =
        captured.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let lines: String = captured.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let body = stage.host.file("body.json", &captured.body);
    for written in [Value::Object(headers).to_string(), lines] {
        let headers = stage.host.file("headers", written);
        let (headers, body) = (headers.to_string_lossy(), body.to_string_lossy());
        let decoded =
            stage.host.run(&["event", "decode", "--connector", &connector(), "--headers", &headers, "--body", &body]);
        let decoded = decoded.expect(0).to_string();
        assert!(decoded.contains(&key) && decoded.contains("issue-created"), "{decoded}");
    }
    let garbage = stage.host.file("garbage", "{");
    let (headers, garbage) = (stage.host.folder().join("headers"), garbage.to_string_lossy().into_owned());
    let refused = stage.host.run(&[
        "event",
        "decode",
        "--connector",
        &connector(),
        "--headers",
        &headers.to_string_lossy(),
        "--body",
        &garbage,
    ]);
    assert!(matches!(refused.code, 2 | 3), "{refused:#?}");
}

#[test]
fn without_json_results_go_to_stdout_and_all_else_to_stderr() {
    let stage = Stage::connected();
    let failed =
        stage.host.run_plain(&["run", "get-issue", "--connection", "demo", "--input", r#"{"issue":"DEMO-999"}"#], "");
    assert_eq!(failed.code, 3);
    assert!(failed.stdout.is_empty() && !failed.stderr.is_empty(), "{failed:#?}");
    let listed = stage.host.run_plain(&["connection", "list"], "");
    assert!(listed.code == 0 && listed.stdout.contains("demo"), "{listed:#?}");
}
