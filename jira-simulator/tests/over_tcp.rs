//! The simulator as its users meet it: over TCP.

#![allow(missing_docs, unreachable_pub)]

mod client;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use client::Jira;
use jira_simulator::{Config, Personality, Version};
use serde_json::{Value, json};

fn bug(summary: &str) -> Value {
    json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}, "summary": summary}})
}

/// Answers POSTs with the statuses given, one after another, then 200; hands over head and body.
fn receiver(statuses: &'static [u16]) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let (head, body) = loop {
                let Ok(length @ 1..) = stream.read(&mut buffer) else { break (String::new(), String::new()) };
                bytes.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_lowercase();
                let wanted = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .and_then(|length| length.parse().ok())
                    .unwrap_or(0);
                if body.len() >= wanted {
                    break (head, body.to_owned());
                }
            };
            let status = statuses.get(number).copied().unwrap_or(200);
            let _ = stream
                .write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn register(jira: &Jira, url: &str, jql: &str) -> (u16, Value) {
    let hook = json!({
        "name": "test", "url": url, "events": ["jira:issue_created", "jira:issue_updated", "jira:issue_deleted"],
        "filters": {"issue-related-events-section": jql}, "secret": "fake-signing-secret",
    });
    jira.call("admin", "POST", "/rest/webhooks/1.0/webhook", Some(hook))
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_signed_delivery_is_retried_with_the_same_identifier_until_it_is_accepted() {
    let jira = Jira::start(Config::default());
    let (url, received) = receiver(&[503, 429]);
    let (status, hook) = register(&jira, &url, "project = DEMO");
    assert_eq!((status, &hook["isSigned"]), (201, &json!(true)));
    assert!(hook.get("secret").is_none());
    jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("first")));
    let mut identifiers = Vec::new();
    for retry in 0..3 {
        if retry > 0 {
            // The attempt is recorded a moment after it was answered.
            std::thread::sleep(Duration::from_millis(100));
            jira.control("POST", "/time/advance", Some(json!({"ms": 15 * 60_000 + 1})));
        }
        let (head, body) = received.recv_timeout(SOON).expect("a delivery");
        let header =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned);
        assert!(header("x-hub-signature").is_some_and(|signature| signature.starts_with("sha256=")));
        assert_eq!(header("x-atlassian-webhook-retry"), (retry > 0).then(|| retry.to_string()));
        assert_eq!(header("x-atlassian-webhook-flow").as_deref(), Some("primary"));
        identifiers.push(header("x-atlassian-webhook-identifier"));
        let body: Value = serde_json::from_str(&body).expect("json");
        assert_eq!(body["webhookEvent"], "jira:issue_created");
        assert_eq!(body["issue"]["fields"]["summary"], "first");
    }
    assert!(identifiers[0].is_some() && identifiers.iter().all(|id| *id == identifiers[0]));
    std::thread::sleep(Duration::from_millis(100));
    let (_, deliveries) = jira.control("GET", "/webhooks/deliveries", None);
    assert_eq!(
        (&deliveries[0]["state"], deliveries[0]["attempts"].as_array().map(Vec::len)),
        (&json!("delivered"), Some(3))
    );
}

#[test]
fn another_4xx_is_final_and_the_filter_keeps_other_projects_out() {
    let jira = Jira::start(Config::default());
    let (url, received) = receiver(&[401]);
    register(&jira, &url, "project = OPS");
    jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("not for this hook")));
    let task = json!({"fields": {"project": {"key": "OPS"}, "issuetype": {"name": "Task"}, "summary": "wanted"}});
    jira.call("admin", "POST", "/rest/api/3/issue", Some(task));
    assert!(received.recv_timeout(SOON).expect("a delivery").1.contains("wanted"));
    std::thread::sleep(Duration::from_millis(100));
    let (_, deliveries) = jira.control("GET", "/webhooks/deliveries", None);
    assert_eq!(deliveries.as_array().map(Vec::len), Some(1));
    assert_eq!(deliveries[0]["state"], "failed");
}

#[test]
fn an_update_tells_each_change_with_before_and_after() {
    let jira = Jira::start(Config::default());
    let (url, received) = receiver(&[]);
    let (_, issue) = jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("before")));
    register(&jira, &url, "");
    let path = format!("/rest/api/3/issue/{}", issue["key"].as_str().expect("a key"));
    let edit = json!({"fields": {"summary": "after"}, "update": {"labels": [{"add": "x"}]}});
    assert_eq!(jira.call("admin", "PUT", &path, Some(edit)).0, 204);
    let body: Value = serde_json::from_str(&received.recv_timeout(SOON).expect("a delivery").1).expect("json");
    let items = body["changelog"]["items"].as_array().expect("items").clone();
    let summary = items.iter().find(|item| item["field"] == "summary").expect("the summary");
    assert_eq!((&summary["fromString"], &summary["toString"]), (&json!("before"), &json!("after")));
    assert_eq!(jira.call("admin", "PUT", &path, Some(json!({"fields": {"summary": "after"}}))).0, 204);
    assert!(received.recv_timeout(Duration::from_millis(300)).is_err(), "nothing changed, so nothing is told");
}

#[test]
fn webhooks_are_for_administrators_and_end_at_a_hundred_active_ones() {
    let jira = Jira::start(Config::default());
    assert_eq!(jira.call("user", "GET", "/rest/webhooks/1.0/webhook", None).0, 403);
    jira.control("POST", "/webhooks/seed", Some(json!({"count": 100, "enabled": true})));
    jira.control("POST", "/webhooks/seed", Some(json!({"count": 3, "enabled": false})));
    let (status, body) = register(&jira, "http://127.0.0.1:9/", "");
    assert_eq!(status, 400);
    assert!(body["errorMessages"][0].as_str().is_some_and(|message| message.contains("100")));
    assert_eq!(jira.call("admin", "DELETE", "/rest/webhooks/1.0/webhook/1", None).0, 204);
    assert_eq!(register(&jira, "http://127.0.0.1:9/", "").0, 201);
}

#[test]
fn a_cut_before_the_commit_leaves_nothing_and_one_after_it_leaves_the_issue() {
    let jira = Jira::start(Config::default());
    let access = jira.account("admin");
    let authorization = Jira::basic(&access.email, &access.token);
    for (cut, issues) in [("before-commit", 0), ("after-commit", 1), ("mid-body", 2)] {
        let fault = json!({"match": {"method": "POST", "path": "/rest/api/3/issue"}, "cut": cut});
        jira.control("POST", "/faults", Some(fault));
        let url = jira.url("/rest/api/3/issue");
        assert!(jira.send("POST", &url, &authorization, Some(&bug(cut))).is_err(), "{cut} must not be answered");
        let (_, found) = jira.call("admin", "GET", "/rest/api/3/search/jql?jql=project%3DDEMO", None);
        assert_eq!(found["issues"].as_array().map(Vec::len), Some(issues), "{cut}");
    }
}

#[test]
fn a_revoked_token_is_silently_anonymous() {
    let jira = Jira::start(Config::default());
    jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("hidden")));
    jira.control("POST", "/accounts/admin/revoke-token", None);
    assert_eq!(jira.call("admin", "GET", "/rest/api/3/myself", None).0, 401);
    let (status, found) = jira.call("admin", "GET", "/rest/api/3/search/jql?jql=project%3DDEMO", None);
    assert_eq!((status, &found["issues"]), (200, &json!([])));
    assert_eq!(jira.call("admin", "GET", "/rest/api/3/issue/DEMO-1", None).0, 404);
    assert_eq!(
        jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("lost"))).1["errors"]["project"],
        "Specify a valid project ID or key"
    );
    let (_, wire) = jira.control("GET", "/wire", None);
    let last = wire["entries"].as_array().and_then(|entries| entries.last()).expect("an entry");
    assert_eq!((&last["login"], &last["account"]), (&json!("failed"), &json!("admin")));
    assert_eq!(last["response_headers"]["x-seraph-loginreason"], "AUTHENTICATED_FAILED");
    jira.control("POST", "/accounts/admin/restore-token", None);
    jira.control("POST", "/accounts/admin/lock", None);
    assert_eq!(jira.call("admin", "GET", "/rest/api/3/myself", None).0, 403);
}

#[test]
fn search_lags_as_long_as_it_is_told_to_and_pages_by_token() {
    let jira = Jira::start(Config::default());
    jira.control("PATCH", "/settings", Some(json!({"index_lag_ms": 60_000})));
    for number in 0..3 {
        jira.call("admin", "POST", "/rest/api/3/issue", Some(bug(&format!("number {number}"))));
    }
    let search = |token: Option<&Value>| {
        let mut body = json!({"jql": "project = DEMO order by key", "maxResults": 2, "fields": ["summary"]});
        if let Some(token) = token {
            body["nextPageToken"] = token.clone();
        }
        jira.call("admin", "POST", "/rest/api/3/search/jql", Some(body)).1
    };
    assert_eq!(search(None)["issues"], json!([]));
    jira.control("POST", "/time/advance", Some(json!({"ms": 60_001})));
    let first = search(None);
    assert_eq!((first["issues"].as_array().map(Vec::len), &first["isLast"]), (Some(2), &json!(false)));
    let second = search(first.get("nextPageToken"));
    assert_eq!((&second["issues"][0]["key"], second.get("nextPageToken")), (&json!("DEMO-3"), None));
    assert_eq!(jira.call("admin", "GET", "/rest/api/3/search/jql?jql=", None).0, 400);
    assert_eq!(jira.call("admin", "GET", "/rest/api/3/search?jql=project%3DDEMO", None).0, 410);
}

#[test]
fn a_data_center_speaks_v2_with_user_names_and_has_its_webhooks_by_version() {
    let config = |version: &str| Config {
        personality: Personality::DataCenter,
        version: version.parse::<Version>().expect("a version"),
        ..Config::default()
    };
    let jira = Jira::start(config("10.3.0"));
    let token = format!("Bearer {}", jira.account("admin").token);
    let get = |path: &str| {
        let answer = jira.send("GET", &jira.url(path), &token, None).expect("an answer");
        (answer.status().as_u16(), serde_json::from_str::<Value>(answer.body()).unwrap_or(Value::Null))
    };
    assert_eq!(get("/rest/api/2/myself").1["name"], "admin");
    assert_eq!(get("/rest/api/2/serverInfo").1["versionNumbers"], json!([10, 3, 0]));
    assert_eq!(get("/rest/api/3/myself").0, 404);
    assert_eq!(get("/rest/webhooks/1.0/webhook").0, 404);
    assert_eq!(get("/rest/jira-webhook/1.0/webhooks").0, 200);
    let post = |body: &Value| {
        let answer = jira.send("POST", &jira.url("/rest/jira-webhook/1.0/webhooks"), &token, Some(body));
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), serde_json::from_str::<Value>(answer.body()).unwrap_or(Value::Null))
    };
    let mut hook = json!({
        "name": "n", "url": "http://127.0.0.1:1/", "events": ["jira:issue_created"], "active": false,
        "configuration": {"SECRET": "fake-secret", "EXCLUDE_BODY": "true"},
    });
    let (status, made) = post(&hook);
    assert_eq!(
        (status, &made["active"], &made["configuration"]),
        (201, &json!(false), &json!({"EXCLUDE_BODY": "true"}))
    );
    assert!(made["id"].is_u64() && !made.to_string().contains("fake-secret"), "{made}");
    hook["configuration"]["EXCLUDE_BODY"] = json!(true);
    assert_eq!(post(&hook).0, 400, "its members are texts");
    assert_eq!(get("/rest/api/2/search?jql=project%3DDEMO").1["total"], 0);
}

#[test]
fn a_route_the_simulator_lacks_is_said_so() {
    let jira = Jira::start(Config::default());
    let (status, body) = jira.call("admin", "GET", "/rest/api/3/filter/1", None);
    assert_eq!(
        (status, &body["errorMessages"][0]),
        (404, &json!("the simulator lacks route GET /rest/api/3/filter/1"))
    );
}
