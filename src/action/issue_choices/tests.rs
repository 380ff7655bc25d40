use crate::catalog::{options, schema};
use crate::contract::{ChoiceQuery, Choices, Error};
use crate::fake::{Script, Scripted, call, json_answer};
use serde_json::{Value, json};

fn ask(
    host: &mut Script,
    card: &str,
    field: &str,
    text: &str,
    page: Option<&str>,
    input: Value,
) -> Result<Choices, Error> {
    let query = ChoiceQuery {
        card: card.to_owned(),
        field: field.to_owned(),
        input,
        text: text.to_owned(),
        page: page.map(str::to_owned),
    };
    options(host, &call(), &query)
}

fn labels(choices: &Choices) -> Vec<&str> {
    choices.items.iter().map(|choice| choice.label.as_str()).collect()
}

fn types() -> Scripted {
    let kinds = json!([{ "id": "1", "name": "Task" }, { "id": "2", "name": "Bug", "description": "A fault." }]);
    json_answer(200, &json!({ "total": 2, "issueTypes": kinds }))
}

#[test]
fn projects_are_searched_and_paged_by_jira() {
    let page = |last: bool| {
        json_answer(
            200,
            &json!({ "isLast": last, "total": 51, "values": [{ "key": "DEMO", "name": "Demonstration" }] }),
        )
    };
    let mut host = Script::new([page(false)]);
    let choices = ask(&mut host, "create-issue", "/project", " de mo ", None, json!({})).expect("choices");
    assert_eq!(host.lines(), ["GET /rest/api/3/project/search?startAt=0&maxResults=50&orderBy=name&query=de%20mo"]);
    assert_eq!((labels(&choices), choices.next.as_deref()), (vec!["Demonstration"], Some("1")));
    assert_eq!(choices.items[0].value, json!("DEMO"));
    let mut host = Script::new([page(true)]);
    let choices = ask(&mut host, "create-issue", "/project", "", Some("50"), json!({})).expect("choices");
    assert_eq!(host.lines(), ["GET /rest/api/3/project/search?startAt=50&maxResults=50&orderBy=name"]);
    assert_eq!(choices.next, None);
}

#[test]
fn issue_types_are_those_of_the_project_and_filtered_by_the_text() {
    let mut host = Script::new([types()]);
    let choices =
        ask(&mut host, "create-issue", "/issue-type", "", None, json!({ "project": "DEMO" })).expect("choices");
    assert_eq!(labels(&choices), ["Bug", "Task"]);
    assert_eq!(choices.items[0].detail, "A fault.");
    let mut host = Script::new([types()]);
    let choices =
        ask(&mut host, "create-issue", "/issue-type", "BU", None, json!({ "project": "DEMO" })).expect("choices");
    assert_eq!(labels(&choices), ["Bug"]);
}

#[test]
fn a_question_that_has_no_answer_says_why() {
    for (card, field, page, input, code) in [
        ("create-issue", "/issue-type", None, json!({}), "jira.field-required"),
        ("create-issue", "/summary", None, json!({}), "jira.no-options"),
        ("create-issue", "/project", Some("next"), json!({}), "jira.page-invalid"),
        ("no-card", "/project", None, json!({}), "jira.card-unknown"),
    ] {
        let error = ask(&mut Script::new([]), card, field, "", page, input).expect_err(code);
        assert_eq!(error.failure().code, code);
    }
    let mut host = Script::new([json_answer(404, &json!({ "errorMessages": ["No project."] }))]);
    let error =
        ask(&mut host, "create-issue", "/issue-type", "", None, json!({ "project": "NOPE" })).expect_err("none");
    assert_eq!(
        (error.failure().code.as_str(), error.failure().fields[0].pointer.as_str()),
        ("jira.project-unknown", "/project")
    );
}

#[test]
fn a_list_that_is_none_is_an_error_and_no_empty_choice() {
    let bodies = [
        json!(null),
        json!("hi"),
        json!({}),
        json!({ "values": {} }),
        json!({ "values": [1] }),
        json!([{ "id": "1" }]),
    ];
    for body in bodies {
        for (card, field) in
            [("create-issue", "/project"), ("create-issue", "/issue-type"), ("issue-created", "/issue-types")]
        {
            let mut host = Script::new([json_answer(200, &body)]);
            let error = ask(&mut host, card, field, "", None, json!({ "project": "DEMO" })).expect_err("no list");
            assert_eq!(error.failure().code, "jira.answer-invalid", "{field} {body}");
        }
        let mut host = Script::new([types(), json_answer(200, &body)]);
        let chosen = json!({ "project": "DEMO", "issue-type": "Task" });
        let error = schema(&mut host, &call(), "create-issue", &chosen).expect_err("no list");
        assert_eq!(error.failure().code, "jira.answer-invalid", "{body}");
    }
}

#[test]
fn the_schema_of_a_project_and_type_says_what_is_required_and_allowed() {
    let field = |id: &str, name: &str, required: bool, default: bool, schema: Value, allowed: Value| json!({ "fieldId": id, "name": name, "required": required, "hasDefaultValue": default, "schema": schema, "allowedValues": allowed });
    let fields = json!([
        field("summary", "Summary", true, false, json!({ "type": "string" }), Value::Null),
        field("description", "Description", true, false, json!({ "type": "string" }), Value::Null),
        field("reporter", "Reporter", true, false, json!({ "type": "user" }), Value::Null),
        field(
            "priority",
            "Priority",
            true,
            true,
            json!({ "type": "priority" }),
            json!([{ "id": "1", "name": "High" }])
        ),
        field(
            "customfield_1",
            "Risk",
            true,
            false,
            json!({ "type": "option" }),
            json!([{ "id": "1", "value": "Low" }])
        ),
        field(
            "customfield_2",
            "Platforms",
            false,
            false,
            json!({ "type": "array", "items": "option" }),
            json!([{ "id": "1", "value": "Web" }])
        )
    ]);
    let mut host = Script::new([types(), json_answer(200, &json!({ "total": 6, "fields": fields }))]);
    let chosen = json!({ "project": "DEMO", "issue-type": "Task" });
    let narrowed = schema(&mut host, &call(), "create-issue", &chosen).expect("a schema").input;
    assert_eq!(narrowed["required"], json!(["project", "issue-type", "summary", "description", "fields"]));
    let of_fields = &narrowed["properties"]["fields"];
    assert_eq!(of_fields["required"], json!(["customfield_1"]));
    assert_eq!(of_fields["properties"]["customfield_1"]["enum"], json!(["Low"]));
    assert_eq!(of_fields["properties"]["customfield_2"]["items"]["enum"], json!(["Web"]));
    assert_eq!(of_fields["properties"].get("summary"), None);
    let validator = jsonschema::validator_for(&narrowed).expect("a schema");
    let complete = json!({ "project": "DEMO", "issue-type": "Task", "summary": "S", "description": "d", "fields": { "customfield_1": "Low" } });
    assert!(validator.is_valid(&complete));
    for (pointer, wrong) in
        [("/fields/customfield_1", json!("Huge")), ("/fields", json!({})), ("/description", json!(1))]
    {
        let mut input = complete.clone();
        *input.pointer_mut(pointer).expect("a member") = wrong;
        assert!(!validator.is_valid(&input), "{pointer}");
    }
}
