//! A: a dead credential does no harm, and an anonymous answer is never taken for a good one.

use std::time::Duration;

use serde_json::{Value, json};

use crate::figure::figure;
use crate::http;
use crate::simulator::eventually;
use crate::stage::Stage;

const FLOWS: usize = 50;
const EVENTS: usize = 20;

/// A flow with one call, on one of three connections.
fn flow(number: usize) -> String {
    format!(
        "name: reader-{number}\n\
         on: {{ event: issue-created, connection: c{first} }}\n\
         steps:\n\
         \x20 - id: read\n\
         \x20   action: get-issue\n\
         \x20   connection: c{second}\n\
         \x20   input: {{ issue: '${{{{ event.issue.key }}}}' }}\n",
        first = number % 3 + 1,
        second = (number + 1) % 3 + 1,
    )
}

/// Creates issues as the ordinary user, whose token works on.
fn create(stage: &Stage, count: usize) {
    let user = stage.jira.authorization("user");
    for number in 0..count {
        let fields =
            json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": format!("Issue {number}")});
        let url = format!("{}/rest/api/3/issue", stage.jira.url());
        let created = http::send_json("POST", &url, std::slice::from_ref(&user), &json!({"fields": fields}));
        assert_eq!(created.status, 201, "{}", created.body);
    }
}

const OVER: &str = "state IN ('done', 'failed', 'uncertain', 'skipped')";
/// Waits until a person has released the account.
const HELD: &str = "state = 'waiting' AND json_extract(failure, '$.code') = 'host.account-held'";

/// How many runs are so.
fn count(stage: &Stage, so: &str) -> usize {
    let database = rusqlite::Connection::open(stage.host.home().join("harness.db")).expect("the database opens");
    let sql = format!("SELECT count(*) FROM run WHERE {so}");
    database.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_or(0, |count| count as usize)
}

/// How many runs are over.
fn over(stage: &Stage) -> usize {
    count(stage, OVER)
}

/// How many runs nothing more is done about for now: they are over, or wait for the account.
fn at_rest(stage: &Stage) -> usize {
    count(stage, &format!("{OVER} OR ({HELD})"))
}

/// When logins were refused, by the simulator's clock.
fn refused_at(stage: &Stage) -> Vec<i64> {
    let refused = |entry: &Value| matches!(entry["login"].as_str(), Some("failed" | "denied"));
    stage.jira.wire().iter().filter(|entry| refused(entry)).filter_map(|entry| entry["at_ms"].as_i64()).collect()
}

#[test]
fn a1_a_revoked_token_costs_at_most_two_failures_however_many_flows_use_it() {
    let stage = Stage::new();
    for name in ["c1", "c2", "c3"] {
        let added = stage.connect(name, "admin", &[]);
        assert_eq!(added.code, 0, "{added:#?}");
    }
    for number in 0..FLOWS {
        stage.host.file(&format!("flows/reader-{number}.yaml"), flow(number));
    }
    let serving = stage.host.serve(&["--flows", "flows"]);
    let revoke = || stage.jira.control("POST", "/accounts/admin/revoke-token", &Value::Null);
    let heal = || {
        stage.jira.control("POST", "/accounts/admin/restore-token", &Value::Null);
        stage.host.run(&["connection", "check", "c1", "--release"]).code == 0
            && stage.run_as("c2", "get-issue", &json!({"issue": "DEMO-1"})).code == 0
    };

    // Dead before any flow uses it: longer ago than a success speaks for the token.
    revoke();
    std::thread::sleep(Duration::from_millis(5500));
    stage.jira.forget_wire();
    create(&stage, EVENTS);
    eventually("all runs to end or wait", || Some(()).filter(|()| at_rest(&stage) >= FLOWS * EVENTS));
    let failures = stage.jira.refused_logins();
    stage.jira.forget_wire();
    create(&stage, 1);
    eventually("the late runs to wait", || Some(()).filter(|()| at_rest(&stage) >= FLOWS * (EVENTS + 1)));
    assert!(count(&stage, HELD) >= FLOWS, "what nothing was sent for waits");
    let later = stage.jira.refused_logins();
    let healed = heal();
    assert!(healed, "a restored token works again");
    eventually("what waited to go on", || Some(()).filter(|()| over(&stage) >= FLOWS * (EVENTS + 1)));
    assert_eq!(count(&stage, HELD), 0);

    // Dead in the midst of calls that go well: those on their way are refused, too.
    let before = over(&stage);
    stage.jira.forget_wire();
    create(&stage, EVENTS);
    eventually("some runs to go well", || Some(()).filter(|()| over(&stage) >= before + 2 * FLOWS));
    revoke();
    eventually("all runs to end or wait", || Some(()).filter(|()| at_rest(&stage) >= before + FLOWS * EVENTS));
    let refused = refused_at(&stage);
    let first = refused.iter().min().copied().unwrap_or_default();
    let otherwise = refused.iter().filter(|at| **at > first + 1000).count();
    let on_their_way = refused.len() - otherwise;
    drop(serving);
    let healed = heal();
    figure(
        "A1",
        "a token is dead before, or dies under, 50 flows × 20 calls on 3 connections of one account",
        "dead before: ≤ 2 failures on the wire, then 0 until it works again; dies under load: those on their way \
         (≤ 64 calls run at once), ≤ 2 otherwise",
        format!(
            "dead before: {failures} failures on the wire, then {later}; dies under load: {on_their_way} on their \
             way, {otherwise} otherwise; works again: {healed}"
        ),
        (1..=2).contains(&failures)
            && later == 0
            && (1..=64).contains(&on_their_way)
            && on_their_way + otherwise >= 2
            && otherwise <= 2
            && healed,
    );
}

#[test]
fn a3_an_answer_to_a_stranger_is_never_taken_for_the_accounts_own() {
    let stage = Stage::connected();
    let key = stage.task("Public");
    stage.jira.settings(&json!({"anonymous_access": true}));
    let stranger = json!({"x-seraph-loginreason": "AUTHENTICATED_FAILED"});
    let denied = json!({"x-seraph-loginreason": "AUTHENTICATION_DENIED"});
    let captcha = json!({"x-authentication-denied-reason": "CAPTCHA_CHALLENGE; login-url=http://127.0.0.1/login.jsp"});
    let runs: Vec<(&str, Value)> = vec![
        ("get-issue", json!({"issue": key})),
        ("search-issues", json!({"jql": "project = DEMO"})),
        ("call-api", json!({"method": "GET", "path": "/rest/api/3/project/search"})),
        ("create-issue", json!({"project": "DEMO", "issue-type": "Task", "summary": "By nobody"})),
        ("add-comment", json!({"issue": key, "body": "By nobody"})),
    ];
    let (mut asked, mut missed) = (0, Vec::new());
    let mut judge = |what: String, code: i32, error: &Value| {
        asked += 1;
        // A write that went through as a stranger is uncertain; all else is a plain refusal.
        if !matches!(code, 3 | 5) || error["class"] != "credential" {
            missed.push(format!("{what}: exit {code}, {error}"));
        }
    };
    let heal = || {
        stage.jira.clear_faults();
        stage.jira.control("POST", "/accounts/admin/restore-token", &Value::Null);
        let healed = stage.host.run(&["connection", "check", "demo", "--release"]);
        assert_eq!(healed.code, 0, "{healed:#?}");
    };
    for (card, input) in &runs {
        stage.jira.control("POST", "/accounts/admin/revoke-token", &Value::Null);
        let outcome = stage.run(card, input);
        judge(format!("{card} with a dead token on a public site"), outcome.code, &outcome.json()["error"]);
        heal();
        for (what, headers, status, body) in [
            ("200 with an empty list", &stranger, 200, r#"{"issues":[],"isLast":true}"#),
            ("200 with an empty body", &stranger, 200, ""),
            ("404 with the header", &stranger, 404, r#"{"errorMessages":["No."],"errors":{}}"#),
            ("401 denied unseen", &denied, 401, ""),
            ("403 with a captcha", &captcha, 403, ""),
        ] {
            stage.jira.fault(&json!({"match": {"path": "/rest/api/3"}, "times": 0, "status": status, "headers": headers, "body": body}));
            let outcome = stage.run(card, input);
            judge(format!("{card}, {what}"), outcome.code, &outcome.json()["error"]);
            heal();
        }
    }
    // The health check: a 200 alone proves nobody.
    for (what, headers, status, body) in [
        ("an empty body", json!({}), 200, ""),
        ("an empty object", json!({}), 200, "{}"),
        ("a stranger's answer", stranger, 200, r#"{"accountId":"5b10","displayName":"Somebody"}"#),
        ("null", json!({}), 200, "null"),
        ("a login page", json!({"content-type": "text/html"}), 200, "<html></html>"),
        ("no content", json!({}), 204, ""),
    ] {
        stage.jira.fault(&json!({"match": {"path": "/rest/api/3/myself"}, "times": 0, "status": status, "headers": headers, "body": body}));
        let checked = stage.host.run(&["connection", "check", "demo"]);
        asked += 1;
        if checked.code == 0 {
            missed.push(format!("check took {what} for proof"));
        }
        heal();
    }
    figure(
        "A3",
        "answers to a stranger: 200 with the header, empty bodies, captcha; all cards and the health check",
        "100 % detected",
        format!(
            "{} of {asked} detected{}",
            asked - missed.len(),
            missed.iter().take(3).map(|one| format!("; {one}")).collect::<String>()
        ),
        missed.is_empty() && asked >= 30,
    );
}
