//! The cards on a Data Center: version 2 of the API, wiki markup, user names, numbered pages.

use super::{CARDS, invoke};
use crate::catalog::{describe, options};
use crate::contract::{Call, ChoiceQuery, Error, Step};
use crate::fake::{Script, call, done, empty_answer, json_answer};
use serde_json::{Value, json};

const BASE: &str = "https://jira.example.test/jira/";

fn center(version: &str) -> Call {
    let mut call = call();
    call.connection.settings = json!({
        "method": "personal-access-token", "site": BASE, "deployment": "data-center", "version": version,
        "account-id": "JIRAUSER10000", "account-name": "admin"
    });
    call
}

fn run(host: &mut Script, version: &str, card: &str, input: Value, state: Option<String>) -> Result<Step, Error> {
    invoke(host, &center(version), card, input, state).map(|invoked| invoked.step)
}

fn lines(host: &Script) -> Vec<String> {
    host.asked.iter().map(|r| format!("{} {}", r.method, r.url.trim_start_matches(BASE))).collect()
}

/// Customer Service Management has other paths: a request of a card would end who knows where.
#[test]
fn a_card_of_jiras_own_api_is_refused_by_name_where_another_api_is_behind_the_connection() {
    let mut call = call();
    call.connection.settings["method"] = json!("customer-service");
    for card in CARDS.iter().filter(|card| card.id != "call-api") {
        let error = invoke(&mut Script::new([]), &call, card.id, json!({}), None).map(|_| ()).expect_err("lacking");
        assert_eq!(error.failure().code, "jira.card-lacking");
        assert!(error.failure().message.contains(card.id) && error.failure().remedy.contains("call-api"));
    }
}

#[test]
fn an_issue_is_created_with_wiki_markup_and_a_user_name() {
    let made = json_answer(201, &json!({ "id": "10001", "key": "DEMO-1" }));
    let types = json_answer(200, &json!({ "values": [{ "id": "1", "name": "Bug" }], "total": 1 }));
    let assignee = json!({ "fieldId": "assignee", "name": "Assignee", "schema": { "type": "user" } });
    let mut host = Script::new([types, json_answer(200, &json!({ "values": [assignee], "total": 1 })), made]);
    let input = json!({
        "project": "DEMO", "issue-type": "Bug", "summary": "s", "description": "Seen **twice**",
        "fields": { "Assignee": "me" }
    });
    let output = run(&mut host, "9.12.0", "create-issue", input, None).expect("an issue");
    assert_eq!(done(&output)["url"], format!("{BASE}browse/DEMO-1"));
    assert_eq!(
        lines(&host),
        [
            "GET rest/api/2/issue/createmeta/DEMO/issuetypes?startAt=0&maxResults=200",
            "GET rest/api/2/issue/createmeta/DEMO/issuetypes/1?startAt=0&maxResults=200",
            "POST rest/api/2/issue"
        ]
    );
    let fields = &host.body(2)["fields"];
    assert_eq!(fields["description"], "Seen *twice*");
    assert_eq!(fields["assignee"], json!({ "name": "admin" }));
}

#[test]
fn before_8_4_the_fields_come_of_one_project_and_one_type() {
    let field = json!({ "name": "Severity", "required": true, "schema": { "type": "option" }, "allowedValues": [{ "id": "7", "value": "High" }] });
    let types = json!([{ "id": "1", "name": "Bug", "fields": { "customfield_1": field } }]);
    let meta = json_answer(200, &json!({ "projects": [{ "key": "DEMO", "issuetypes": types }] }));
    let made = json_answer(201, &json!({ "id": "10001", "key": "DEMO-1" }));
    let mut host = Script::new([meta.clone(), made]);
    let input = json!({ "project": "DEMO", "issue-type": "Bug", "summary": "s", "fields": { "Severity": "high" } });
    run(&mut host, "7.13.0", "create-issue", input.clone(), None).expect("an issue");
    assert_eq!(
        lines(&host)[0],
        "GET rest/api/2/issue/createmeta?projectKeys=DEMO&issuetypeNames=Bug&expand=projects.issuetypes.fields"
    );
    assert_eq!(host.body(1)["fields"]["customfield_1"], json!({ "id": "7" }));
    let query = ChoiceQuery {
        card: "create-issue".to_owned(),
        field: "/issue-type".to_owned(),
        input: json!({ "project": "10000" }),
        text: String::new(),
        page: None,
    };
    let mut host = Script::new([meta]);
    assert_eq!(options(&mut host, &center("8.3.4"), &query).expect("types").items[0].label, "Bug");
    assert_eq!(lines(&host), ["GET rest/api/2/issue/createmeta?projectIds=10000"]);

    for (answer, code) in [
        (json!({ "projects": [] }), "jira.project-unknown"),
        (json!({ "projects": [{ "issuetypes": [] }] }), "jira.issue-type-unknown"),
        (json!({ "projects": [{}] }), "jira.answer-invalid"),
        (json!([]), "jira.answer-invalid"),
    ] {
        let mut host = Script::new([json_answer(200, &answer)]);
        let error = run(&mut host, "7.13.0", "create-issue", input.clone(), None).expect_err("no metadata");
        assert_eq!(error.failure().code, code, "{answer}");
    }
}

#[test]
fn a_search_goes_on_by_number() {
    let page = |start: u64, ids: &[&str]| {
        let issues: Vec<Value> =
            ids.iter().map(|id| json!({ "id": id, "key": format!("DEMO-{id}"), "fields": {} })).collect();
        json_answer(200, &json!({ "startAt": start, "maxResults": 2, "total": 3, "issues": issues }))
    };
    let mut host = Script::new([page(0, &["1", "2"]), page(2, &["3"])]);
    let input = json!({ "jql": "project = DEMO", "all": true, "max-results": 2 });
    let Ok(Step::More(more)) = run(&mut host, "9.12.0", "search-issues", input.clone(), None) else {
        panic!("there is a second page")
    };
    let output = done(&run(&mut host, "9.12.0", "search-issues", input, Some(more.state)).expect("the second page"));
    assert_eq!(output["issues"].as_array().map(Vec::len), Some(3));
    assert_eq!((&output["more"], &output["next-page-token"]), (&json!(false), &Value::Null));
    assert_eq!(lines(&host), ["POST rest/api/2/search", "POST rest/api/2/search"]);
    assert_eq!((host.body(0).get("startAt"), &host.body(1)["startAt"]), (None, &json!(2)));

    let mut host = Script::new([page(0, &["1", "2"])]);
    let one = run(&mut host, "9.12.0", "search-issues", json!({ "jql": "project = DEMO" }), None).expect("a page");
    assert_eq!((&done(&one)["more"], &done(&one)["next-page-token"]), (&json!(true), &json!("2")));
    // A page beyond the end is no endless search.
    let mut host = Script::new([page(9, &[])]);
    let beyond = json!({ "jql": "project = DEMO", "page-token": "9" });
    assert_eq!(done(&run(&mut host, "9.12.0", "search-issues", beyond, None).expect("a page"))["more"], false);
    let strange = json!({ "jql": "project = DEMO", "page-token": "abc" });
    let error = run(&mut Script::new([]), "9.12.0", "search-issues", strange, None).expect_err("no token of this kind");
    assert_eq!(error.failure().fields[0].pointer, "/page-token");
}

#[test]
fn comments_updates_reads_and_raw_calls_use_version_2() {
    let mut host = Script::new([
        json_answer(201, &json!({ "id": "7" })),
        empty_answer(204),
        json_answer(200, &json!({ "id": "1", "key": "DEMO-1", "fields": { "description": "*wiki*" } })),
        json_answer(200, &json!([{ "name": "ada", "key": "JIRAUSER1", "emailAddress": "ada@example.test" }])),
    ]);
    let version = "10.3.0";
    run(&mut host, version, "add-comment", json!({ "issue": "DEMO-1", "body": "a_b **c**" }), None).expect("a comment");
    run(&mut host, version, "update-issue", json!({ "issue": "DEMO-1", "description": "# x" }), None).expect("done");
    let read = run(&mut host, version, "get-issue", json!({ "issue": "DEMO-1" }), None).expect("an issue");
    run(&mut host, version, "call-api", json!({ "path": "myself" }), None).expect("an answer");
    assert_eq!(
        (host.body(0)["body"].as_str(), host.body(1)["fields"]["description"].as_str()),
        (Some("a_b *c*"), Some("h1. x"))
    );
    assert_eq!(done(&read)["description-markdown"], Value::Null);
    assert_eq!(done(&read)["fields"]["description"], "*wiki*");
    assert!(lines(&host).iter().all(|line| line.contains(" rest/api/2/")), "{:?}", lines(&host));
}

#[test]
fn a_user_is_found_by_mail_and_named_by_name() {
    let people = json!([
        { "name": "ada", "key": "JIRAUSER1", "emailAddress": "ada@example.test" },
        { "name": "adam", "key": "JIRAUSER2", "emailAddress": "adam@example.test" }
    ]);
    let meta = json!({ "fields": { "assignee": { "name": "Assignee", "schema": { "type": "user" } } } });
    let mut host = Script::new([json_answer(200, &meta), json_answer(200, &people), empty_answer(204)]);
    let input = json!({ "issue": "DEMO-1", "fields": { "assignee": "ada@example.test" } });
    run(&mut host, "9.12.0", "update-issue", input, None).expect("done");
    assert_eq!(lines(&host)[1], "GET rest/api/2/user/search?username=ada%40example.test&maxResults=10");
    assert_eq!(host.body(2)["fields"]["assignee"], json!({ "name": "ada" }));
}

#[test]
fn projects_are_listed_searched_and_paged_here() {
    let projects: Vec<Value> = (0..120)
        .map(|at| json!({ "id": at.to_string(), "key": format!("P{at}"), "name": format!("Project {at:03}") }))
        .collect();
    let query = |text: &str, page: Option<&str>| ChoiceQuery {
        card: "create-issue".to_owned(),
        field: "/project".to_owned(),
        input: json!({}),
        text: text.to_owned(),
        page: page.map(str::to_owned),
    };
    let ask = |query: &ChoiceQuery| {
        let mut host = Script::new([json_answer(200, &Value::Array(projects.clone()))]);
        let choices = options(&mut host, &center("9.12.0"), query).expect("projects");
        assert_eq!(lines(&host), ["GET rest/api/2/project"]);
        (choices.items.len(), choices.items.first().map(|item| item.label.clone()), choices.next)
    };
    assert_eq!(ask(&query("", None)), (50, Some("Project 000".to_owned()), Some("50".to_owned())));
    assert_eq!(ask(&query("", Some("100"))), (20, Some("Project 100".to_owned()), None));
    assert_eq!(ask(&query("p77", None)), (1, Some("Project 077".to_owned()), None));
    assert_eq!(ask(&query("nothing", Some("18446744073709551615"))), (0, None, None));
}

#[test]
fn customer_service_management_is_called_below_its_own_base() {
    let api = "https://api.atlassian.com/jsm/csm/cloudid/c-1/api/v1/";
    let mut call = call();
    call.connection.settings =
        json!({ "method": "customer-service", "site": crate::fake::SITE, "cloud-id": "c-1", "api": api });
    let lacking: Vec<String> = describe(Some(&call.connection)).lacking.into_iter().map(|lack| lack.card).collect();
    assert!(!lacking.contains(&"call-api".to_owned()) && lacking.contains(&"create-issue".to_owned()));
    let mut host = Script::new([json_answer(200, &json!({ "results": [] }))]);
    invoke(&mut host, &call, "call-api", json!({ "path": "product", "query": { "limit": 1 } }), None)
        .expect("products");
    assert_eq!(host.asked[0].url, format!("{api}product?limit=1"));
}

#[test]
fn a_base_that_is_neither_the_site_nor_the_gateway_is_never_asked() {
    for api in ["https://evil.test/", "https://api.atlassian.com.evil.test/", "http://api.atlassian.com/", ""] {
        let mut call = call();
        call.connection.settings["api"] = json!(api);
        let error = invoke(&mut Script::new([]), &call, "call-api", json!({ "path": "myself" }), None).expect_err(api);
        assert_eq!(error.failure().code, "jira.settings-invalid");
    }
}

#[test]
fn the_scopes_that_are_missing_are_named() {
    let refusal = || json_answer(401, &json!({ "code": 401, "message": "Unauthorized; scope does not match" }));
    let reads = Some(vec!["read:jira-work".to_owned()]);
    for (granted, card, named) in [
        (reads.clone(), "add-comment", "lacks what this needs: write:jira-work."),
        // Nobody knows what a token is limited to.
        (None, "add-comment", "lacks what this needs: write:jira-work."),
        // Whatever it is that is called.
        (reads, "call-api", "lacks a scope"),
    ] {
        let mut call = call();
        call.granted_scopes = granted;
        let input = match card {
            "call-api" => json!({ "path": "myself" }),
            _ => json!({ "issue": "DEMO-1", "body": "Seen." }),
        };
        let error = invoke(&mut Script::new([refusal()]), &call, card, input, None).expect_err("refused");
        assert_eq!(error.failure().code, "jira.scope-missing");
        assert!(error.failure().message.contains(named), "{card}: {}", error.failure().message);
    }
}
