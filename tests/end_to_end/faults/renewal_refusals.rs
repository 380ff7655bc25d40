//! A5, A9: what a service says when it refuses, and what a host makes of it: a missing scope is no reason to renew, what
//! passes leaves the grant alone, and what is over is over once.

use serde_json::{Value, json};

use super::granted::{Granted, SCOPES};
use crate::figure::{exceptions, figure};
use crate::harness::Outcome;
use crate::simulator::text;
use crate::stage::Stage;

/// A way in whose credential may read and not write.
fn reading() -> Vec<(&'static str, &'static str, Stage)> {
    let narrow = Granted::cloud(&["demo"]);
    narrow.stage.host.run(&["oauth-client", "remove", "app"]).expect(0);
    narrow.register(&SCOPES, &["read:jira-work"]);
    narrow.authorize("demo", &[]).expect(0);
    let mut token = Stage::new();
    let url = token.jira.url().to_owned();
    token.host.set("HARNESS_CONNECT_TO", &format!("https://*.atlassian.net={url},https://api.atlassian.com={url}"));
    let scopes = json!({"kind": "scoped", "scopes": ["read:jira-user", "read:jira-work"]});
    let made = token.jira.control("POST", "/accounts/admin/tokens", &scopes);
    let email = token.jira.account("admin").email;
    token.connect_at("demo", "demo", &email, &text(&made["token"]), &[]).expect(0);
    vec![("a grant for reading", "write:jira-work", narrow.stage), ("a token for reading", "write:jira-work", token)]
}

#[test]
fn a5_a_missing_scope_is_named_and_renews_nothing() {
    let (mut asked, mut wrong, mut renewals) = (0, Vec::new(), 0);
    for (what, scope, stage) in reading() {
        let created = stage.jira.ask(
            "POST",
            "/rest/api/2/issue",
            &json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "The first"}}),
        );
        assert_eq!(created.status, 201, "{created:?}");
        stage.jira.control("DELETE", "/token-endpoint/calls", &Value::Null);
        let mut judge = |card: &str, input: Value, may: bool| {
            asked += 1;
            let ran = stage.run(card, &input);
            let error = ran.json()["error"].clone();
            let named = error["class"] == "scope" && error.to_string().contains(scope);
            if (ran.code == 0) != may || (!may && !named) {
                wrong.push(format!("{what}, {card}: exit {}, {error}", ran.code));
            }
        };
        for _ in 0..4 {
            let input = json!({"project": "DEMO", "issue-type": "Task", "summary": "Not to be"});
            let comment = json!({"issue": "DEMO-1", "body": "Not to be"});
            let update = json!({"issue": "DEMO-1", "fields": {"labels": ["no"]}});
            for (card, input) in [("create-issue", input), ("add-comment", comment), ("update-issue", update)] {
                judge(card, input, false);
                // The breaker is as it was: what may be done is done at once.
                judge("get-issue", json!({"issue": "DEMO-1"}), true);
            }
        }
        // Nor is it after several in a row: the service itself says that it is about a scope.
        for _ in 0..4 {
            judge("add-comment", json!({"issue": "DEMO-1", "body": "Not to be"}), false);
        }
        judge("get-issue", json!({"issue": "DEMO-1"}), true);
        let calls = stage.jira.control("GET", "/token-endpoint", &Value::Null)["calls"].clone();
        renewals += calls.as_object().map_or(0, serde_json::Map::len);
        let shown = stage.host.run(&["connection", "show", "demo"]).json();
        if !shown["held"].is_null() {
            wrong.push(format!("{what}: held, {}", shown["held"]));
        }
    }
    figure(
        "A5",
        "cards that write, again and again and each before one that reads, with a grant and a token whose scopes are for reading",
        "the missing scope is named; refresh calls = 0; the breaker is untouched",
        format!(
            "{} of {asked} as they should be, {renewals} token calls{}",
            asked - wrong.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && renewals == 0,
    );
}

#[test]
fn an_access_token_that_dies_before_its_time_is_renewed_and_holds_nobody() {
    let granted = Granted::connected();
    let jira = &granted.stage.jira;
    let read = || granted.stage.run("get-issue", &json!({"issue": "DEMO-1"}));
    let grants = jira.control("GET", "/grants", &Value::Null);
    let grants = grants.as_array().cloned().unwrap_or_else(|| grants["grants"].as_array().cloned().unwrap_or_default());
    let path = format!("/grants/{}/expire", text(&grants[0]["id"]));
    let refused = jira.refused_logins();
    for times in 1..=3 {
        jira.control("POST", &path, &json!({"access": true}));
        read().expect(0);
        assert_eq!(jira.refused_logins() - refused, times, "it is found out once each time");
    }
    let shown = granted.stage.host.run(&["connection", "show", "demo"]).json();
    assert!(shown["held"].is_null(), "{shown:#}");
}

/// What becomes of a grant whose renewal is answered so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is tried again later, with the same tokens.
    Passes,
    /// An operator has to see to the client; the tokens stay.
    Client,
    /// Only a person can help.
    Over,
}

/// Answers to a renewal: a fault of the simulator's token endpoint, and what it says of the grant.
fn answers() -> Vec<(&'static str, Value, Fate)> {
    let refused = |status: u16, error: &str, more: &str| json!({"status": status, "body": {"error": error, "error_description": more}});
    let plain = |status: u16, body: Value| json!({"status": status, "body": body});
    let unknown = "Unknown or invalid refresh token.";
    vec![
        ("500", plain(500, json!({"error": "server_error"})), Fate::Passes),
        ("500 that says invalid_grant", refused(500, "invalid_grant", unknown), Fate::Passes),
        ("502 with a page", plain(502, json!("<html>Bad gateway</html>")), Fate::Passes),
        ("503, later", json!({"status": 503, "headers": {"Retry-After": "1"}}), Fate::Passes),
        ("429", json!({"status": 429, "headers": {"Retry-After": "1"}}), Fate::Passes),
        ("403 of a firewall", plain(403, json!("<html>Forbidden</html>")), Fate::Passes),
        ("404", plain(404, json!({})), Fate::Passes),
        (
            "302 to a login page",
            json!({"status": 302, "headers": {"Location": "http://127.0.0.1:1/login"}}),
            Fate::Passes,
        ),
        ("200 with a page", plain(200, json!("<html>Maintenance</html>")), Fate::Passes),
        ("200 with nothing", plain(200, json!({})), Fate::Passes),
        (
            "200 with a token that no header can hold",
            plain(200, json!({"access_token": "a b\r\n", "token_type": "Bearer"})),
            Fate::Passes,
        ),
        ("no answer, nothing done", json!({"cut": "before-commit"}), Fate::Passes),
        ("no answer, all done, with a leeway", json!({"cut": "after-commit"}), Fate::Passes),
        ("half an answer, with a leeway", json!({"cut": "mid-body"}), Fate::Passes),
        ("a whole answer of half a JSON, with a leeway", json!({"truncate_body_to": 40}), Fate::Passes),
        ("401 invalid_client", refused(401, "invalid_client", ""), Fate::Client),
        ("401 access_denied, as of a changed secret", refused(401, "access_denied", "Unauthorized"), Fate::Client),
        ("400 invalid_scope", refused(400, "invalid_scope", ""), Fate::Client),
        ("403 invalid_grant", refused(403, "invalid_grant", unknown), Fate::Over),
        ("400 invalid_grant", refused(400, "invalid_grant", ""), Fate::Over),
        ("401 invalid_grant", refused(401, "invalid_grant", ""), Fate::Over),
        ("403 unauthorized_client", refused(403, "unauthorized_client", "refresh_token is invalid"), Fate::Over),
        ("403 in words alone", plain(403, json!({"message": unknown})), Fate::Over),
    ]
}

fn alarms(granted: &Granted, code: &str) -> i64 {
    let sql = "SELECT count(*) FROM alarm WHERE code = ?1";
    granted.database().query_row(sql, [code], |row| row.get(0)).expect("alarms can be counted")
}

/// One answer; what of it went wrong.
fn misjudged(granted: &Granted, fault: &Value, fate: Fate) -> Result<(), String> {
    granted.time_passes();
    let (tokens, over, clients) = (granted.tokens(), granted.alarms(), alarms(granted, "host.grant-not-renewed"));
    let mut fault = fault.clone();
    fault["match"] = json!({"path": "/oauth/token", "method": "POST"});
    granted.stage.jira.fault(&fault);
    let first: Outcome = granted.read();
    let error = first.json()["error"].clone();
    let code = text(&error["code"]);
    let kept = granted.tokens() == tokens;
    let (row, told) = (granted.row(), granted.alarms() - over);
    let asked = alarms(granted, "host.grant-not-renewed") - clients;
    let seen = format!("exit {}, {code}, dead: {:?}, {told} alarms", first.code, row.dead);
    let right = match fate {
        Fate::Passes => first.code == 4 && code != "host.grant-dead" && told + asked as usize == 0,
        Fate::Client => first.code == 3 && code == "host.client-refused" && told == 0 && asked == 1,
        Fate::Over => first.code == 3 && code == "host.grant-dead" && told == 1,
    };
    if !right || !kept || row.dead.is_some() != (fate == Fate::Over) {
        return Err(format!("{fate:?}, but {seen}, {asked} for an operator, same tokens: {kept}"));
    }
    // The service is well again, and its pause is over.
    granted.pause_is_over();
    let before = granted.renewals();
    let next = granted.read();
    if fate != Fate::Over {
        return if next.code == 0 { Ok(()) } else { Err(format!("it did not go on: {}", next.stdout)) };
    }
    if next.code != 3 || granted.renewals() != before || granted.alarms() - over != 1 {
        return Err(format!("what is over was tried again: exit {}, {:?}", next.code, granted.renewals()));
    }
    let healed = granted.reauthorize().code == 0 && granted.read().code == 0;
    if healed { Ok(()) } else { Err("authorizing anew did not help".to_owned()) }
}

#[test]
fn a9_what_passes_and_what_is_over_are_told_apart() {
    let granted = Granted::connected();
    granted.stage.jira.settings(&json!({"refresh_leeway_s": 600}));
    let answers = answers();
    let wrong: Vec<String> = answers
        .iter()
        .filter_map(|(what, fault, fate)| Some(format!("{what}: {}", misjudged(&granted, fault, *fate).err()?)))
        .collect();
    let count = |fate: Fate| answers.iter().filter(|(.., one)| *one == fate).count();
    figure(
        "A9",
        "a renewal is answered with faults that pass, refusals of the client, and refusals of the grant",
        "retried or dead once; misclassified = 0",
        format!(
            "{} misclassified of {}: {} pass, {} are the client's, {} are over{}",
            wrong.len(),
            answers.len(),
            count(Fate::Passes),
            count(Fate::Client),
            count(Fate::Over),
            exceptions(&wrong[..wrong.len().min(4)])
        ),
        wrong.is_empty(),
    );
}

#[test]
fn a9_a_rotated_client_secret_is_asked_with_once_and_put_right_without_a_person_in_a_browser() {
    let granted = Granted::connected();
    let jira = &granted.stage.jira;
    let app = text(&jira.control("GET", "/apps", &Value::Null)[0]["client_id"]);
    let rotated = jira.control("POST", &format!("/apps/{app}/rotate-secret"), &Value::Null);
    granted.time_passes();
    jira.control("DELETE", "/token-endpoint/calls", &Value::Null);
    for _ in 0..3 {
        let refused = granted.read();
        let refused = refused.fails(3, "host.client-refused");
        assert!(text(&refused["remedy"]).contains("edit app --secret client-secret=@FILE"), "{refused:#}");
    }
    assert_eq!(granted.renewals(), (0, 1), "the pause holds for commands that are started anew");
    assert_eq!((alarms(&granted, "host.grant-not-renewed"), granted.row().dead), (1, None));
    let secret = granted.stage.host.file("rotated", text(&rotated["client_secret"]));
    let secret = format!("client-secret=@{}", secret.display());
    let edited = granted.stage.host.run(&["oauth-client", "edit", "app", "--secret", &secret]).expect(0);
    assert_eq!(edited["name"], "app");
    assert_eq!(granted.read().code, 0, "{:?}", granted.row());
    assert_eq!(granted.renewals(), (1, 1));

    // Scopes are asked for when it is authorized again; the callback is checked, and nothing is half done.
    let edit = |more: &[&str]| granted.stage.host.run(&[&["oauth-client", "edit", "app"], more].concat());
    edit(&["--scope", "read:jira-wrok"]).fails(2, "host.scope-unknown");
    edit(&["--callback", "http://10.0.0.1/"]).fails(2, "host.callback");
    let misspelled = edit(&["--secret", &secret.replace("client-secret=", "other=")]).fails(2, "host.not-a-secret");
    assert!(text(&misspelled["remedy"]).contains("client-secret"), "{misspelled:#}");
    edit(&[]).fails(2, "host.input-missing");
    let narrower = edit(&["--scope", "read:jira-work", "--scope", "read:jira-user"]);
    assert!(narrower.stderr.contains("harness connection reauthorize demo"), "{narrower:?}");
    assert_eq!(granted.reauthorize().code, 0);
    let shown = granted.stage.host.run(&["connection", "show", "demo"]).json();
    assert!(!shown["credential"]["scopes"].to_string().contains("write:jira-work"), "{shown:#}");
}
