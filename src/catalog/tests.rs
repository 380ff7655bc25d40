use super::{describe, options};
use crate::contract::ChoiceQuery;
use crate::fake::{Script, call, json_answer};
use serde_json::{Value, json};

fn obeys(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("the schema is one");
    validator.iter_errors(instance).map(|error| format!("{error} at {}", error.instance_path())).collect()
}

#[test]
fn the_manifest_obeys_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../wit/manifest.schema.json")).expect("JSON");
    assert_eq!(obeys(&schema, &describe(None).manifest), Vec::<String>::new());
}

#[test]
fn every_sample_obeys_the_schemas_of_its_card() {
    for card in describe(None).manifest["cards"].as_array().expect("cards") {
        let input = card.get("input").or_else(|| card.get("filter")).expect("a schema of the input");
        let name = &card["id"];
        assert_eq!(obeys(input, &card["sample"]["input"]), Vec::<String>::new(), "input of {name}");
        assert_eq!(obeys(&card["output"], &card["sample"]["output"]), Vec::<String>::new(), "output of {name}");
    }
}

#[test]
fn cards_and_fields_have_their_agreed_ids() {
    let manifest = describe(None).manifest;
    let ids: Vec<&str> = manifest["cards"].as_array().expect("cards").iter().filter_map(|c| c["id"].as_str()).collect();
    assert_eq!(
        ids,
        [
            "create-issue",
            "update-issue",
            "get-issue",
            "search-issues",
            "add-comment",
            "call-api",
            "issue-created",
            "issue-updated",
            "issue-deleted"
        ]
    );
    let form = &manifest["auth-methods"][0]["form"];
    assert_eq!(form["required"], json!(["site", "email", "token"]));
    assert_eq!(form["properties"]["token"]["writeOnly"], true);
}

#[test]
fn every_field_of_every_form_says_what_it_is() {
    for card in describe(None).manifest["cards"].as_array().expect("cards") {
        let schema = card.get("input").or_else(|| card.get("filter")).expect("a schema");
        for (name, field) in schema["properties"].as_object().expect("fields") {
            assert!(field.get("description").is_some(), "{} {name}: {field}", card["id"]);
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }
}

#[test]
fn a_deployment_and_an_account_lack_what_they_lack() {
    let lacking = |settings: Value| {
        let mut connection = call().connection;
        connection.settings = settings;
        describe(Some(&connection)).lacking.len()
    };
    assert_eq!(lacking(json!({ "deployment": "cloud", "administers": true })), 0);
    assert_eq!(lacking(json!({ "deployment": "cloud", "administers": false })), 3);
    assert_eq!(lacking(json!({ "deployment": "data-center" })), 9);
}

fn query(field: &str, input: Value, text: &str, page: Option<&str>) -> ChoiceQuery {
    let page = page.map(str::to_owned);
    ChoiceQuery { card: "create-issue".to_owned(), field: field.to_owned(), input, text: text.to_owned(), page }
}

#[test]
fn projects_are_searched_and_paged_by_jira() {
    let page = json!({ "values": [{ "id": "1", "key": "DEMO", "name": "Demo" }], "isLast": false, "total": 2 });
    let mut host = Script::new([json_answer(200, &page)]);
    let choices = options(&mut host, &call(), &query("/project", json!({}), "de mo", None)).expect("choices");
    assert_eq!(host.lines(), ["GET /rest/api/3/project/search?startAt=0&maxResults=50&orderBy=name&query=de%20mo"]);
    assert_eq!((choices.items[0].value.clone(), choices.items[0].label.as_str()), (json!("DEMO"), "Demo"));
    assert_eq!(choices.next.as_deref(), Some("1"));
}

#[test]
fn issue_types_are_those_of_the_chosen_project() {
    let types = json!({ "issueTypes": [{ "id": "1", "name": "Bug" }, { "id": "2", "name": "Task" }], "total": 2 });
    let mut host = Script::new([json_answer(200, &types)]);
    let choices = options(&mut host, &call(), &query("/issue-type", json!({ "project": "DEMO" }), "bu", None));
    assert_eq!(choices.expect("choices").items.len(), 1);
    let mut host = Script::new([]);
    let error = options(&mut host, &call(), &query("/issue-type", json!({}), "", None)).expect_err("no project");
    assert_eq!(error.failure().fields[0].pointer, "/project");
    let error = options(&mut host, &call(), &query("/summary", json!({}), "", None)).expect_err("no list");
    assert_eq!(error.failure().code, "jira.no-options");
}
