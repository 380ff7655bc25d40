//! What Jira refuses, and how it may fail: each with its stable code, its exit code, and no second
//! write where the first may have happened.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::Outcome;
use crate::stage::Stage;

/// One trouble of a read, and what `get-issue` says of it.
struct Trouble {
    what: &'static str,
    fault: Value,
    exit: i32,
    code: &'static str,
}

fn trouble(what: &'static str, fault: Value, exit: i32, code: &'static str) -> Trouble {
    Trouble { what, fault, exit, code }
}

/// A fault for all calls below `/rest/api/3/issue` until it is removed.
fn with_match(fault: &Value) -> Value {
    let mut fault = fault.clone();
    fault["match"] = json!({"path": "/rest/api/3/issue"});
    fault["times"] = json!(0);
    fault
}

/// Reads an issue that is there, by a host that knows of no earlier trouble: it would hold back.
fn read_in_trouble(fault: &Value) -> Outcome {
    let stage = Stage::connected();
    let key = stage.task("It is there");
    let input = json!({"issue": key});
    assert_eq!(stage.run("get-issue", &input).code, 0, "without trouble it works");
    stage.jira.fault(&with_match(fault));
    stage.run("get-issue", &input)
}

#[test]
fn every_refusal_of_a_read_has_its_code() {
    let page = "<!DOCTYPE html><html><body>Log in</body></html>";
    let refusal = |text: &str| json!({"errorMessages": [text], "errors": {}}).to_string();
    let status = |status: u16| json!({"status": status, "body": refusal("No.")});
    let troubles = [
        trouble(
            "a missing scope",
            json!({"status": 401, "body": r#"{"code":401,"message":"Unauthorized; scope does not match"}"#}),
            3,
            "jira.scope-missing",
        ),
        trouble("a missing permission", status(403), 3, "jira.forbidden"),
        trouble("a missing issue", status(404), 3, "jira.not-found"),
        trouble("a conflict", status(409), 3, "jira.conflict"),
        trouble("something too large", status(413), 3, "jira.too-large"),
        trouble("a removed part of the API", status(410), 3, "jira.gone"),
        trouble("a limit without a time", status(429), 4, "jira.rate-limited"),
        trouble("a fault of the server", status(500), 4, "jira.server-fault"),
        trouble(
            "an overloaded server",
            json!({"status": 503, "headers": {"retry-after": "2"}, "body": ""}),
            4,
            "jira.server-fault",
        ),
        trouble(
            "a gateway without Jira",
            json!({"status": 502, "headers": {"content-type": "text/html"}, "body": page}),
            4,
            "jira.server-fault",
        ),
        trouble(
            "a page instead of JSON",
            json!({"status": 200, "headers": {"content-type": "text/html"}, "body": page}),
            3,
            "jira.login-page",
        ),
        trouble("half a body", json!({"truncate_body_to": 40}), 4, "jira.answer-truncated"),
        trouble(
            "another kind of body",
            json!({"status": 200, "headers": {"content-type": "text/plain"}, "body": "fine"}),
            3,
            "jira.answer-invalid",
        ),
        trouble(
            "a redirect",
            json!({"status": 302, "headers": {"location": "https://elsewhere.example.test/"}, "body": ""}),
            3,
            "jira.redirected",
        ),
        trouble("a connection cut at once", json!({"cut": "before-commit"}), 4, "jira.connection-broken"),
    ];
    let mut wrong = Vec::new();
    for trouble in &troubles {
        let outcome = read_in_trouble(&trouble.fault);
        let error = outcome.json()["error"].clone();
        if outcome.code != trouble.exit || error["code"] != trouble.code {
            wrong.push(format!("{}: exit {}, {}", trouble.what, outcome.code, error));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_read_that_a_limit_stopped_says_how_long_to_wait_in_every_written_form() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(120));
    for (header, at_least, at_most) in [
        (json!({"retry-after": "7"}), 7_000, 7_000),
        (json!({"retry-after": " 7 "}), 7_000, 7_000),
        (json!({"retry-after": date}), 60_000, 121_000),
        (json!({"retry-after": "-5"}), 0, 60_000),
        (json!({"retry-after": "soon"}), 0, 60_000),
        (json!({"x-ratelimit-reset": "2020-01-01T00:00Z"}), 0, 60_000),
        (json!({"beta-retry-after": "100000"}), 0, 60_000),
    ] {
        let limited = read_in_trouble(&json!({"status": 429, "headers": header, "body": ""}));
        let error = limited.fails(4, "jira.rate-limited");
        let wait = error["retry-after-ms"].as_u64().unwrap_or_else(|| panic!("no wait in {error:#}"));
        assert!((at_least..=at_most).contains(&wait), "{header}: {wait} ms");
    }
}

#[test]
fn a_create_whose_answer_is_lost_is_uncertain_and_never_repeated() {
    let stage = Stage::connected();
    let input = json!({"project": "DEMO", "issue-type": "Task", "summary": "Once"});
    for fault in [
        json!({"cut": "after-commit"}),
        json!({"cut": "mid-body"}),
        json!({"cut": "before-commit"}),
        json!({"status": 500, "body": ""}),
        json!({"status": 504, "body": "<html>"}),
        json!({"status": 201, "headers": {"content-type": "text/html"}, "body": "<html>"}),
    ] {
        stage.jira.forget_wire();
        stage.jira.fault(&with_match(&fault));
        let outcome = stage.run("create-issue", &input);
        stage.jira.clear_faults();
        assert_eq!(outcome.expect(5)["error"]["kind"], "uncertain", "{fault}");
        let sent = stage.jira.calls("POST", "/rest/api/3/issue").len();
        assert_eq!(sent, 1, "{fault}: sent {sent} times");
    }
}

#[test]
fn a_create_that_jira_refused_names_the_field_and_a_remedy() {
    let stage = Stage::connected();
    let input =
        json!({"project": "DEMO", "issue-type": "Task", "summary": "x", "fields": {"priority": {"name": "No such"}}});
    let error = stage.run("create-issue", &input).expect(3)["error"].clone();
    assert_eq!(error["class"], "input", "{error:#}");
    let field = &error["fields"][0];
    assert_eq!(field["pointer"], "/fields/priority", "{error:#}");
    assert!(field["message"].as_str().is_some_and(|message| !message.is_empty()), "{error:#}");

    let missing = stage.run("get-issue", &json!({"issue": "DEMO-999999"})).fails(3, "jira.not-found");
    assert_eq!(missing["status"], 404);
    let jql = stage.run("search-issues", &json!({"jql": "project = DEMO AND AND"})).expect(3)["error"].clone();
    assert_eq!(jql["code"], "jira.jql-refused", "{jql:#}");
}

#[test]
fn a_host_that_is_not_there_is_a_matter_of_time() {
    let stage = Stage::connected();
    let Stage { jira, host } = stage;
    drop(jira);
    let outcome = host.run(&["run", "get-issue", "--connection", "demo", "--input", r#"{"issue":"DEMO-1"}"#]);
    // Nothing listens there: refused before anything left, so even a write may be repeated.
    assert_eq!(outcome.expect(4)["error"]["kind"], "transient");
    let input = r#"{"project":"DEMO","issue-type":"Task","summary":"x"}"#;
    assert_eq!(host.run(&["run", "create-issue", "--connection", "demo", "--input", input]).code, 4);
}
