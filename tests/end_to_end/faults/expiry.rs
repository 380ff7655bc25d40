//! A15: a person is told in time that a credential will end.

use std::time::{SystemTime, UNIX_EPOCH};

use jira_simulator::{Config, Personality};
use serde_json::{Value, json};

use crate::built;
use crate::figure::{exceptions, figure};
use crate::harness::Harness;
use crate::simulator::{Jira, text};
use crate::stage::Stage;

const DAY: u64 = 24 * 3600;

/// The day so many days from today, in UTC.
fn day(from_today: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let database = rusqlite::Connection::open_in_memory().expect("a database in memory");
    let later = (now + from_today * DAY) as i64;
    database.query_row("SELECT date(?1, 'unixepoch')", [later], |row| row.get(0)).expect("a day")
}

/// The finding about the expiry in a health report: its code, state and the sentence.
fn expiry(report: &Value) -> Option<(String, String, String)> {
    let report = if report["health"].is_object() { &report["health"] } else { report };
    let findings = report["findings"].as_array()?;
    let finding =
        findings.iter().find(|finding| finding["code"].as_str().is_some_and(|code| code.contains("expir")))?;
    let part = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let remedy = finding["remedy"].as_str().unwrap_or_default();
    Some((part("code"), part("outcome"), format!("{} {remedy}", part("message"))))
}

/// What is due for a token with so many days left: the code, and whether a person is warned.
fn due(days: u64) -> (&'static str, bool) {
    match days {
        0..7 => ("jira.expires-very-soon", true),
        7..30 => ("jira.expires-soon", true),
        _ => ("jira.expiry", false),
    }
}

/// Adds a personal access token's connection to a Data Center, and answers with its report.
fn personal(jira: &Jira, host: &Harness, name: &str, days: Option<u64>) -> Value {
    let wish = json!({"kind": "personal", "label": name, "days": days});
    let made = jira.control("POST", "/accounts/admin/tokens", &wish);
    let token = host.file(name, made["token"].as_str().expect("a token"));
    let (site, token) = (format!("site={}", jira.url()), format!("token=@{}", token.display()));
    let connector = built::connector().display().to_string();
    let arguments = ["connection", "add", name, "--connector", &connector, "--method", "personal-access-token"];
    let report = host.run(&[&arguments[..], &["--set", &site, "--secret", &token, "--allow-private"]].concat());
    let report = report.expect(0);
    // One at a time, so that it is known whose day is told.
    jira.control("DELETE", &format!("/tokens/{}", text(&made["id"])), &Value::Null);
    report
}

#[test]
fn a15_a_credential_that_will_end_is_warned_of_in_time() {
    let (mut wrong, mut told) = (Vec::new(), 0);
    let mut check = |what: String, report: &Value, days: u64| {
        told += 1;
        let (code, warned) = due(days);
        let found = expiry(report);
        let fits = found.as_ref().is_some_and(|(found, state, text)| {
            let remedy = !warned || text.contains("replace the credential");
            found == code && (state == "warning") == warned && remedy
        });
        wrong.extend((!fits).then(|| format!("{what}: {found:?}")));
    };

    // Data Center says when its tokens end: at the minute, so that of 30 days 29 whole ones are left.
    let jira = Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: "9.12.0".parse().expect("a release"),
        ..Config::default()
    });
    let host = Harness::new();
    for days in [60, 31, 30, 8, 7, 1] {
        let report = personal(&jira, &host, &format!("in-{days}"), Some(days));
        check(format!("personal, {days} days"), &report, days - 1);
    }

    // Of a Cloud token the person knows the day, and it ends in the course of that.
    let stage = Stage::new();
    for days in [60, 30, 29, 7, 6, 0] {
        let expires = format!("expires={}", day(days));
        let report = stage.connect(&format!("in-{days}"), "admin", &["--set", &expires]).expect(0);
        check(format!("API token, {days} days"), &report, days);
    }
    let passed = stage.connect("passed", "admin", &["--set", "expires=2020-01-01"]).expect(0);
    let passed = expiry(&passed);
    let all = told + 1;
    if !passed.as_ref().is_some_and(|(code, state, _)| code == "jira.expiry-passed" && state == "warning") {
        wrong.push(format!("a day that is over: {passed:?}"));
    }
    figure(
        "A15",
        "personal access tokens with 60 to 1 days left, API tokens whose day is 60 to 0 days ahead, and one whose day is over",
        "warned from 30 days on, urgently from 7: all",
        format!("{} of {all} as due{}", all - wrong.len(), exceptions(&wrong)),
        wrong.is_empty(),
    );
}

/// What is said of the token's end now.
fn told(stage: &Stage) -> Option<String> {
    let report = stage.host.run(&["connection", "check", "demo"]).expect(0);
    expiry(&report).map(|(code, _, _)| code)
}

#[test]
fn the_day_that_was_entered_goes_with_its_token() {
    let stage = Stage::new();
    stage.connect("demo", "admin", &["--set", &format!("expires={}", day(20))]).expect(0);
    assert_eq!(told(&stage).as_deref(), Some("jira.expires-soon"));

    // The day of the old token is not that of the new one, nor is it kept where none is entered.
    let another = |expires: &[&str]| {
        let made = stage.jira.control("POST", "/accounts/admin/tokens", &json!({ "kind": "classic", "label": "new" }));
        let token = format!("token=@{}", stage.host.file("new", text(&made["token"])).display());
        let arguments = ["connection", "replace-credential", "demo", "--secret", &token];
        stage.host.run(&[&arguments[..], expires].concat()).expect(0);
    };
    another(&[]);
    assert_eq!(told(&stage).as_deref(), Some("jira.expiry-unknown"));
    another(&["--set", &format!("expires={}", day(90))]);
    assert_eq!(told(&stage).as_deref(), Some("jira.expiry"));

    // It is the connection's to correct, and to forget.
    for (expires, code) in [(day(3), "jira.expires-very-soon"), (String::new(), "jira.expiry-unknown")] {
        stage.host.run(&["connection", "edit", "demo", "--set", &format!("expires={expires}")]).expect(0);
        assert_eq!(told(&stage).as_deref(), Some(code));
    }
}
