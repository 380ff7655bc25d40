use crate::action::invoke;
use crate::contract::{Error, FailureClass};
use crate::fake::{Script, Scripted, call, done, empty_answer, json_answer};
use serde_json::{Value, json};

fn editable() -> Scripted {
    let field = |key: &str, name: &str, schema: Value, allowed: Value| json!({ "key": key, "name": name, "required": false, "schema": schema, "allowedValues": allowed });
    let severities = json!([{ "id": "1", "value": "Minor" }, { "id": "2", "value": "Major" }]);
    let sprint = json!({ "type": "array", "items": "json", "custom": "com.pyxis.greenhopper.jira:gh-sprint" });
    json_answer(
        200,
        &json!({ "fields": {
        "customfield_1": field("customfield_1", "Severity", json!({ "type": "option", "custom": "x:select" }), severities.clone()),
        "customfield_2": field("customfield_2", "Platforms", json!({ "type": "array", "items": "option", "custom": "x:multiselect" }), severities),
        "customfield_3": field("customfield_3", "Sprint", sprint, Value::Null),
        "labels": field("labels", "Labels", json!({ "type": "array", "items": "string", "system": "labels" }), Value::Null),
        "duedate": field("duedate", "Due date", json!({ "type": "date", "system": "duedate" }), Value::Null)
    } }),
    )
}

fn update(host: &mut Script, input: Value) -> Result<Value, Error> {
    Ok(done(&invoke(host, &call(), "update-issue", input, None)?.step))
}

#[test]
fn plain_changes_take_one_request() {
    let mut host = Script::new([empty_answer(204)]);
    let output = update(
        &mut host,
        json!({
            "issue": "DEMO-1", "summary": "S", "parent": "DEMO-9",
            "fields": { "priority": "High" }, "add": { "labels": ["a", "b"] }, "remove": { "labels": ["c"] }
        }),
    );
    let changed = json!(["labels", "parent", "priority", "summary"]);
    let expected = json!({ "issue": "DEMO-1", "url": "https://demo.atlassian.net/browse/DEMO-1", "changed": changed });
    assert_eq!(output.expect("updated"), expected);
    assert_eq!(host.lines(), ["PUT /rest/api/3/issue/DEMO-1"]);
    assert_eq!(
        host.body(0),
        json!({
            "fields": { "priority": { "name": "High" }, "summary": "S", "parent": { "key": "DEMO-9" } },
            "update": { "labels": [{ "add": "a" }, { "add": "b" }, { "remove": "c" }] }
        })
    );
}

#[test]
fn names_are_found_out_by_the_issues_own_metadata() {
    let mut host = Script::new([editable(), empty_answer(204)]);
    let input = json!({
        "issue": "DEMO-1", "fields": { "severity": "major", "Sprint": "7" }, "add": { "Platforms": "Minor" },
        "clear": ["Due date", "Labels"], "notify-users": false
    });
    update(&mut host, input).expect("updated");
    assert_eq!(
        host.lines(),
        ["GET /rest/api/3/issue/DEMO-1/editmeta", "PUT /rest/api/3/issue/DEMO-1?notifyUsers=false"]
    );
    assert_eq!(
        host.body(1),
        json!({
            "fields": { "customfield_1": { "id": "2" }, "customfield_3": 7, "duedate": null, "labels": [] },
            "update": { "customfield_2": [{ "add": { "id": "1" } }] }
        })
    );
}

#[test]
fn what_contradicts_itself_is_refused_before_anything_is_written() {
    for (input, code) in [
        (json!({ "issue": "DEMO-1" }), "jira.nothing-to-do"),
        (json!({ "issue": "..", "summary": "S" }), "jira.key-invalid"),
        (json!({ "issue": "DEMO-1", "parent": "DEMO-1/../x" }), "jira.key-invalid"),
        (json!({ "issue": "DEMO-1", "summary": "S", "fields": { "summary": "T" } }), "jira.field-twice"),
        (json!({ "issue": "DEMO-1", "fields": { "labels": ["a"] }, "add": { "labels": ["b"] } }), "jira.field-twice"),
        (json!({ "issue": "DEMO-1", "fields": { "labels": ["a"] }, "clear": ["labels"] }), "jira.field-twice"),
        (json!({ "issue": "DEMO-1", "add": { "Severity": "Major" } }), "jira.value-invalid"),
        (json!({ "issue": "DEMO-1", "clear": ["Smell"] }), "jira.field-unknown"),
    ] {
        let mut host = Script::new([editable()]);
        let error = update(&mut host, input.clone()).expect_err("refused");
        assert_eq!((error.failure().code.as_str(), error.failure().class), (code, FailureClass::Input), "{input}");
        assert!(host.lines().iter().all(|line| line.starts_with("GET")), "{input}");
    }
}

#[test]
fn metadata_that_is_none_is_an_error_and_nothing_is_written() {
    for body in [json!(null), json!([]), json!({}), json!({ "fields": [] }), json!({ "fields": { "labels": 1 } })] {
        let mut host = Script::new([json_answer(200, &body)]);
        let error = update(&mut host, json!({ "issue": "DEMO-1", "clear": ["Due date"] })).expect_err("no metadata");
        assert_eq!(error.failure().code, "jira.answer-invalid", "{body}");
    }
}

#[test]
fn a_refused_field_that_was_not_given_gets_its_name() {
    let refusal = json!({ "errorMessages": [], "errors": { "customfield_1": "Severity is required." } });
    let mut host = Script::new([json_answer(400, &refusal), editable()]);
    let error = update(&mut host, json!({ "issue": "DEMO-1", "summary": "S" })).expect_err("refused");
    assert_eq!(error.failure().fields[0].name, "Severity");
    assert_eq!(error.failure().fields[0].pointer, "/fields/customfield_1");
    assert_eq!(error.failure().message, "Severity is required.");
    assert!(error.failure().remedy.contains("Minor, Major"), "{}", error.failure().remedy);
}

#[test]
fn a_lost_answer_may_be_repeated_for_the_same_change_changes_nothing_more() {
    let mut host = Script::new([Err(crate::host::SendError::TimedOut)]);
    match update(&mut host, json!({ "issue": "DEMO-1", "summary": "S" })) {
        Err(Error::PermanentUncertain(failure)) => assert!(failure.repeatable),
        other => panic!("{other:?}"),
    }
}
