use super::{describe, options};
use crate::contract::ChoiceQuery;
use crate::fake::{Script, call, json_answer};
use serde_json::{Value, json};

fn manifest() -> Value {
    serde_json::from_str(describe(None).manifest).expect("the manifest is JSON")
}

#[test]
fn the_manifest_kept_is_that_of_the_types() {
    let built = super::manifest();
    if std::env::var_os("JIRA_MANIFEST").is_some_and(|wish| wish == "write") {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog/manifest.json");
        std::fs::write(place, built).expect("the manifest can be written");
        return;
    }
    assert!(built == describe(None).manifest, "a card changed and the manifest did not: run `cargo xtask manifest`");
}

/// Whether a value fits, apart from how long a text or how large a number is, which the cards look at themselves.
fn fits(schema: &Value, value: &Value) -> bool {
    fn loose(schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                members.retain(|name, _| !matches!(name.as_str(), "minLength" | "maximum" | "format"));
                // Of a whole number that begins at 1 the reader takes 0 too.
                members.entry("minimum").and_modify(|least| *least = json!(0));
                members.values_mut().for_each(loose);
            }
            Value::Array(items) => items.iter_mut().for_each(loose),
            _ => {}
        }
    }
    let mut schema = schema.clone();
    loose(&mut schema);
    obeys(&schema, value).is_empty()
}

#[test]
fn every_card_reads_what_its_schema_allows_and_nothing_else() {
    let readers: Vec<_> = crate::action::CARDS.iter().map(|card| (card.id, card.read)).collect();
    let readers = readers.into_iter().chain(crate::event::CARDS.iter().map(|card| (card.id, card.read)));
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(7),
        json!(""),
        json!("x"),
        json!("GET"),
        json!("agile"),
        json!([]),
        json!(["x"]),
        json!(["x", 1]),
        json!({}),
        json!({ "x": "y" }),
        json!({ "x": 1 }),
        json!({ "type": "role", "name": "x" }),
        json!({ "type": "team", "name": "x" }),
        json!({ "type": "role" }),
        json!({ "name": "x" }),
        json!({ "type": "group", "name": "x", "more": 1 }),
    ];
    let manifest = manifest();
    let cards = manifest["cards"].as_array().expect("cards");
    let mut compared = 0;
    for (id, read) in readers {
        let card = cards.iter().find(|card| card["id"] == id).expect("every card is in the manifest");
        let schema = card.get("input").or_else(|| card.get("filter")).expect("a schema");
        let whole = |value: &Value| assert_eq!(read(value.clone()).is_ok(), fits(schema, value), "{id}: {value}");
        values.iter().for_each(whole);
        for member in schema["properties"].as_object().expect("members").keys().map(String::as_str).chain(["unknown"]) {
            // What a text for people may hold is looked at when it is used, with a better message.
            let rich = schema["properties"][member].to_string().contains("Document (ADF)");
            let mut without = card["sample"]["input"].clone();
            without.as_object_mut().expect("an object").remove(member);
            whole(&without);
            for value in values.iter().filter(|value| !rich || value.is_string()) {
                without[member] = value.clone();
                whole(&without);
                compared += 1;
            }
        }
    }
    assert!(compared > 700, "only {compared} inputs were compared");
}

fn obeys(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("the schema is one");
    validator.iter_errors(instance).map(|error| format!("{error} at {}", error.instance_path())).collect()
}

#[test]
fn the_manifest_obeys_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../wit/manifest.schema.json")).expect("JSON");
    assert_eq!(obeys(&schema, &manifest()), Vec::<String>::new());
}

#[test]
fn every_sample_obeys_the_schemas_of_its_card() {
    for card in manifest()["cards"].as_array().expect("cards") {
        let input = card.get("input").or_else(|| card.get("filter")).expect("a schema of the input");
        let name = &card["id"];
        assert_eq!(obeys(input, &card["sample"]["input"]), Vec::<String>::new(), "input of {name}");
        assert_eq!(obeys(&card["output"], &card["sample"]["output"]), Vec::<String>::new(), "output of {name}");
    }
}

#[test]
fn cards_and_fields_have_their_agreed_ids() {
    let manifest = manifest();
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
    for card in manifest()["cards"].as_array().expect("cards") {
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
    assert_eq!(lacking(json!({ "deployment": "data-center", "version": "9.12.0", "administers": true })), 0);
    assert_eq!(lacking(json!({ "method": "customer-service" })), 8);
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
