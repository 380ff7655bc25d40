//! A scripted session that asks the simulator for everything it has.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use serde_json::{Value, json};

use super::{check, documents, judge};
use crate::http;
use crate::simulator::{Jira, text};

/// An issue's body in Atlassian's document format.
fn paragraph(words: &str) -> Value {
    json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": words}]}]})
}

#[test]
fn every_answer_of_a_whole_session_is_as_atlassian_documents_it() {
    let jira = Jira::start();
    let ask = |method: &str, path: &str, body: Value| jira.ask(method, path, &body);
    let get = |path: &str| ask("GET", path, Value::Null);

    for path in [
        "/rest/api/3/myself",
        "/rest/api/3/serverInfo",
        "/rest/api/3/mypermissions?permissions=ADMINISTER,BROWSE_PROJECTS",
        "/rest/api/3/project/search",
        "/rest/api/3/project/search?query=dem&maxResults=1",
        "/rest/api/3/project/DEMO",
        "/rest/api/3/field",
        "/rest/api/3/issuetype",
        "/rest/api/3/priority/search",
        "/rest/api/3/issue/createmeta/DEMO/issuetypes",
    ] {
        let answer = get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let types = get("/rest/api/3/issue/createmeta/DEMO/issuetypes").json();
    let types = types["issueTypes"].as_array().expect("issue types").clone();
    for kind in &types {
        get(&format!("/rest/api/3/issue/createmeta/DEMO/issuetypes/{}", text(&kind["id"])));
    }

    let fields = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "A whole session", "description": paragraph("all of it"), "labels": ["session"]});
    let created = ask("POST", "/rest/api/3/issue", json!({"fields": fields}));
    assert_eq!(created.status, 201, "{}", created.body);
    let key = text(&created.json()["key"]);
    let issue = format!("/rest/api/3/issue/{key}");
    assert_eq!(get(&issue).status, 200);
    get(&format!("{issue}?expand=changelog,names,schema,editmeta,transitions,renderedFields&fields=*all"));
    assert_eq!(get(&format!("{issue}/editmeta")).status, 200);
    let summary = json!({"fields": {"summary": "A longer session"}});
    assert_eq!(ask("PUT", &issue, summary).status, 204);
    let comment = ask("POST", &format!("{issue}/comment"), json!({"body": paragraph("a comment")}));
    assert_eq!(comment.status, 201, "{}", comment.body);
    assert_eq!(get(&format!("{issue}/comment")).status, 200);
    get(&format!("{issue}/comment/{}", text(&comment.json()["id"])));
    let transitions = get(&format!("{issue}/transitions"));
    assert_eq!(transitions.status, 200);
    let transition = json!({"transition": {"id": transitions.json()["transitions"][0]["id"]}});
    assert_eq!(ask("POST", &format!("{issue}/transitions"), transition).status, 204);
    get(&format!("{issue}/changelog"));
    jira.advance(Duration::from_secs(600));
    let search = json!({"jql": "project = DEMO order by created desc", "fields": ["*navigable"], "maxResults": 2});
    assert_eq!(ask("POST", "/rest/api/3/search/jql", search).status, 200);
    assert_eq!(get("/rest/api/3/search/jql?jql=project%20%3D%20DEMO&fields=summary&maxResults=1").status, 200);

    // Refusals have documented shapes too.
    assert_eq!(ask("POST", "/rest/api/3/issue", json!({"fields": {"project": {"key": "DEMO"}}})).status, 400);
    assert_eq!(ask("PUT", &issue, json!({"fields": {"no-such-field": 1}})).status, 400);
    assert_eq!(get("/rest/api/3/issue/DEMO-99999").status, 404);
    assert_eq!(get("/rest/api/3/project/NOPE").status, 404);
    assert_eq!(ask("POST", "/rest/api/3/search/jql", json!({"jql": "project = "})).status, 400);
    let anonymous = http::send("GET", &format!("{}/rest/api/3/myself", jira.url()), &[], b"");
    assert_eq!(anonymous.status, 401);
    assert_eq!(ask("DELETE", &issue, Value::Null).status, 204);
    let Some(verdict) = judge(&jira) else { return };
    assert!(verdict.validated > 30, "only {} answers were held against a schema", verdict.validated);
}

#[test]
fn an_answer_that_is_not_as_documented_is_found() {
    let Some(documents) = documents() else { return };
    let entry = |status: u16, body: Value| json!({"method": "GET", "path": "/rest/api/3/issue/DEMO-1", "status": status, "response_body": body.to_string()});
    assert_eq!(check(documents, &entry(200, json!({"id": "1", "key": "DEMO-1"}))), Ok(true));
    assert!(check(documents, &entry(200, json!({"id": 1}))).is_err(), "an id is a string");
    assert!(check(documents, &entry(218, json!({}))).is_err(), "the status is not listed");
    let unknown = json!({"method": "GET", "path": "/rest/api/3/nothing", "status": 200, "response_body": "{}"});
    assert!(check(documents, &unknown).is_err(), "there is no such operation");
    let refusal = |body: Value| json!({"method": "GET", "path": "/rest/api/3/issue/DEMO-1", "status": 404, "response_body": body.to_string(), "response_headers": {"content-type": "application/json"}});
    assert_eq!(check(documents, &refusal(json!({"errorMessages": ["No."], "errors": {}}))), Ok(true));
    assert!(check(documents, &refusal(json!({"errorMessages": "No."}))).is_err(), "messages are a list");
    assert!(check(documents, &refusal(json!({"message": "No."}))).is_err(), "no refusal of Jira looks like this");
}

#[test]
fn a_test_whose_jira_answered_otherwise_fails_at_its_end() {
    let jira = Jira::start();
    // No document lists 413 for this operation.
    let too_large = vec![b' '; 11 << 20];
    let url = format!("{}/rest/api/3/issue/DEMO-1", jira.url());
    drop(http::try_send("PUT", &url, &[jira.authorization("admin")], &too_large));
    assert_eq!(jira.calls("PUT", "/rest/api/3/issue/DEMO-1").len(), 1);
    let ended = std::panic::catch_unwind(AssertUnwindSafe(move || drop(jira)));
    assert_eq!(ended.is_err(), documents().is_some());
}
