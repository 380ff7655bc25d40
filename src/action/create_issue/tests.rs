use crate::action::invoke;
use crate::contract::{Error, FailureClass, Hold, Memo, Scope};
use crate::fake::{Script, call, done, empty_answer, json_answer};
use serde_json::{Value, json};

fn created() -> crate::fake::Scripted {
    json_answer(201, &json!({ "id": "10001", "key": "DEMO-1", "self": "x" }))
}

fn types() -> crate::fake::Scripted {
    let types = json!([{ "id": "10004", "name": "Bug" }, { "id": "10005", "name": "Task" }]);
    json_answer(200, &json!({ "startAt": 0, "maxResults": 200, "total": 2, "issueTypes": types }))
}

fn fields() -> crate::fake::Scripted {
    let field = |id: &str, name: &str, schema: Value, allowed: Value| json!({ "fieldId": id, "key": id, "name": name, "required": false, "schema": schema, "allowedValues": allowed });
    let options = json!([
        { "id": "1", "value": "Red", "children": [{ "id": "11", "value": "Dark" }] },
        { "id": "2", "value": "Blue" }
    ]);
    let custom = |name: &str| format!("com.atlassian.jira.plugin.system.customfieldtypes:{name}");
    let list = json!([
        field("customfield_1", "Colour", json!({ "type": "option", "custom": custom("select") }), options.clone()),
        field(
            "customfield_2",
            "Colours",
            json!({ "type": "array", "items": "option", "custom": custom("multiselect") }),
            options.clone()
        ),
        field("customfield_3", "Notes", json!({ "type": "string", "custom": custom("textarea") }), Value::Null),
        field("customfield_4", "Points", json!({ "type": "number", "custom": custom("float") }), Value::Null),
        field(
            "customfield_5",
            "Shade",
            json!({ "type": "option-with-child", "custom": custom("cascadingselect") }),
            options
        ),
        field("customfield_6", "Helper", json!({ "type": "user", "custom": custom("userpicker") }), Value::Null),
        field("customfield_7", "Due by", json!({ "type": "date", "custom": custom("datepicker") }), Value::Null),
        field(
            "components",
            "Components",
            json!({ "type": "array", "items": "component", "system": "components" }),
            json!([{ "id": "7", "name": "Door" }])
        )
    ]);
    json_answer(200, &json!({ "startAt": 0, "maxResults": 200, "total": 8, "fields": list }))
}

fn input(fields: Value) -> Value {
    json!({ "project": "DEMO", "issue-type": "Bug", "summary": "S", "fields": fields })
}

#[test]
fn a_plain_issue_takes_one_request() {
    let mut host = Script::new([created()]);
    let mut call = call();
    call.idempotency_key = Some("run 1 step a".to_owned());
    let mut given = input(json!({ "labels": ["a"], "priority": "High", "customfield_9": { "id": "3" } }));
    given["description"] = json!("It is **broken**");
    given["parent"] = json!("DEMO-9");
    let output = done(&invoke(&mut host, &call, "create-issue", given, None).expect("created").step);
    assert_eq!(output, json!({ "id": "10001", "key": "DEMO-1", "url": "https://demo.atlassian.net/browse/DEMO-1" }));
    assert_eq!(host.lines(), ["POST /rest/api/3/issue"]);
    let body = host.body(0);
    assert_eq!(body["properties"], json!([{ "key": "workflow-connector.op", "value": { "id": "run 1 step a" } }]));
    assert_eq!(body["fields"]["project"], json!({ "key": "DEMO" }));
    assert_eq!(body["fields"]["issuetype"], json!({ "name": "Bug" }));
    assert_eq!(body["fields"]["priority"], json!({ "name": "High" }));
    assert_eq!(body["fields"]["parent"], json!({ "key": "DEMO-9" }));
    assert_eq!(body["fields"]["labels"], json!(["a"]));
    assert_eq!(body["fields"]["customfield_9"], json!({ "id": "3" }));
    assert_eq!(body["fields"]["description"]["content"][0]["content"][1]["marks"], json!([{ "type": "strong" }]));
}

#[test]
fn names_and_values_are_found_out_by_metadata_which_is_noted() {
    let mut host = Script::new([types(), fields(), created()]);
    let given = input(json!({
        "colour": "blue", "Colours": ["Red", "2"], "Notes": "*x*", "Points": "3", "Shade": "Red / Dark",
        "Helper": "me", "Due by": "2026-12-01", "Components": ["Door"]
    }));
    let invoked = invoke(&mut host, &call(), "create-issue", given.clone(), None).expect("created");
    assert_eq!(
        host.lines(),
        [
            "GET /rest/api/3/issue/createmeta/DEMO/issuetypes?startAt=0&maxResults=200",
            "GET /rest/api/3/issue/createmeta/DEMO/issuetypes/10004?startAt=0&maxResults=200",
            "POST /rest/api/3/issue"
        ]
    );
    let sent = &host.body(2)["fields"];
    assert_eq!(sent["customfield_1"], json!({ "id": "2" }));
    assert_eq!(sent["customfield_2"], json!([{ "id": "1" }, { "id": "2" }]));
    assert_eq!(sent["customfield_3"]["type"], "doc");
    assert_eq!(sent["customfield_4"], json!(3));
    assert_eq!(sent["customfield_5"], json!({ "id": "1", "child": { "id": "11" } }));
    assert_eq!(sent["customfield_6"], json!({ "accountId": "acc-1" }));
    assert_eq!(sent["customfield_7"], json!("2026-12-01"));
    assert_eq!(sent["components"], json!([{ "id": "7" }]));

    let memo = invoked.aside.memo.expect("a note is left");
    let mut again = call();
    again.memo = Some(Memo { data: memo.clone(), age_ms: 1000 });
    let mut host = Script::new([created()]);
    invoke(&mut host, &again, "create-issue", given.clone(), None).expect("created");
    assert_eq!(host.lines(), ["POST /rest/api/3/issue"], "a fresh note spares the requests");

    again.memo = Some(Memo { data: memo, age_ms: 11 * 60 * 1000 });
    let mut host = Script::new([types(), fields(), created()]);
    invoke(&mut host, &again, "create-issue", given, None).expect("created");
    assert_eq!(host.asked.len(), 3, "an old note is not believed");
}

#[test]
fn unknown_names_and_values_are_refused_before_anything_is_written() {
    for (given, code, pointer) in [
        (json!({ "Colour": "Green" }), "jira.value-unknown", "/fields/Colour"),
        (json!({ "Smell": "x" }), "jira.field-unknown", "/fields/Smell"),
        (json!({ "Points": "many" }), "jira.value-invalid", "/fields/Points"),
        (json!({ "Due by": "tomorrow" }), "jira.value-invalid", "/fields/Due by"),
        (json!({ "Colours": ["Red", "Green"] }), "jira.value-unknown", "/fields/Colours/1"),
    ] {
        let mut host = Script::new([types(), fields()]);
        let error = invoke(&mut host, &call(), "create-issue", input(given), None).expect_err("refused");
        assert_eq!(error.failure().code, code);
        assert_eq!(error.failure().fields[0].pointer, pointer);
        assert_eq!(error.failure().class, FailureClass::Input);
    }
}

#[test]
fn a_refused_field_is_named_as_the_person_named_it() {
    let refusal = json!({ "errorMessages": [], "errors": {
        "summary": "You must specify a summary of the issue.",
        "customfield_1": "Field 'customfield_1' cannot be set. It is not on the appropriate screen, or unknown."
    } });
    let mut host = Script::new([types(), fields(), json_answer(400, &refusal)]);
    let error =
        invoke(&mut host, &call(), "create-issue", input(json!({ "Colour": "Red" })), None).expect_err("refused");
    let failure = error.failure();
    assert_eq!(failure.status, Some(400));
    let named: Vec<_> = failure.fields.iter().map(|f| (f.pointer.as_str(), f.name.as_str())).collect();
    assert_eq!(named, [("/fields/Colour", "Colour"), ("/summary", "Summary")]);
}

#[test]
fn a_held_scope_is_not_sent_into() {
    for scope in [Scope::Tenant, Scope::App, Scope::Endpoint("POST issue".to_owned())] {
        let mut call = call();
        call.held = vec![Hold { scope, for_ms: 500 }];
        let mut host = Script::new([]);
        match invoke(&mut host, &call, "create-issue", input(json!({})), None) {
            Err(Error::Transient(backoff)) => assert_eq!(backoff.retry_after_ms, 500),
            other => panic!("not held: {other:?}"),
        }
        assert!(host.asked.is_empty());
    }
}

#[test]
fn an_answer_that_names_no_issue_is_uncertain() {
    let mut host = Script::new([empty_answer(201)]);
    let error = invoke(&mut host, &call(), "create-issue", input(json!({})), None).expect_err("uncertain");
    assert!(matches!(error, Error::PermanentUncertain(_)));
}

#[test]
fn an_input_that_does_not_fit_names_the_member() {
    let mut host = Script::new([]);
    let error = invoke(&mut host, &call(), "create-issue", json!({ "project": "DEMO" }), None).expect_err("refused");
    assert_eq!(error.failure().fields[0].pointer, "/issue-type");
}

#[test]
fn the_schema_of_a_project_and_type_holds_their_fields() {
    let mut host = Script::new([types(), fields()]);
    let chosen = json!({ "project": "DEMO", "issue-type": "bug" });
    let schema = crate::catalog::schema(&mut host, &call(), "create-issue", &chosen).expect("a schema");
    let properties = &schema.input["properties"]["fields"]["properties"];
    assert_eq!(properties["customfield_1"]["title"], "Colour");
    assert_eq!(properties["customfield_1"]["enum"], json!(["Red", "Blue"]));
    assert_eq!(properties["customfield_4"]["type"], "number");
    assert_eq!(properties["customfield_2"]["type"], "array");
}

#[test]
fn a_parent_that_is_no_issue_is_refused_before_anything_is_sent() {
    for parent in ["../../x", "DEMO-1?x", "DEMO 1", ""] {
        let mut input = json!({ "project": "DEMO", "issue-type": "Bug", "summary": "S", "fields": { "Risk": "Low" } });
        input["parent"] = json!(parent);
        let error = invoke(&mut Script::new([]), &call(), "create-issue", input, None).expect_err("refused");
        assert_eq!(error.failure().code, "jira.key-invalid");
        assert_eq!(error.failure().fields[0].pointer, "/parent");
    }
}
