use crate::action::invoke;
use crate::contract::{Error, FailureClass};
use crate::fake::{Script, call, done, empty_answer, json_answer};
use serde_json::{Value, json};

#[test]
fn an_issue_is_read_with_its_description_as_markdown() {
    let text = json!([{ "type": "text", "text": "broken", "marks": [{ "type": "strong" }] }]);
    let description = json!({ "type": "doc", "version": 1, "content": [{ "type": "paragraph", "content": text }] });
    let issue = json!({
        "id": "10001", "key": "DEMO-1", "self": "x", "expand": "names", "names": { "summary": "Summary" },
        "changelog": { "total": 0 },
        "fields": { "summary": "S", "status": { "name": "To Do" }, "description": description }
    });
    let mut host = Script::new([json_answer(200, &issue)]);
    let input = json!({ "issue": " DEMO-1 ", "fields": ["*all", "-comment"], "expand": ["names", "changelog"] });
    let output = done(&invoke(&mut host, &call(), "get-issue", input, None).expect("read").step);
    assert_eq!(host.lines(), ["GET /rest/api/3/issue/DEMO-1?fields=%2Aall%2C-comment&expand=names%2Cchangelog"]);
    assert_eq!(output["description-markdown"], "**broken**");
    assert_eq!((&output["summary"], &output["status"]), (&json!("S"), &json!("To Do")));
    assert_eq!(output["names"], json!({ "summary": "Summary" }));
    assert_eq!(output["expanded"], json!({ "changelog": { "total": 0 } }));
    assert_eq!(output["url"], "https://demo.atlassian.net/browse/DEMO-1");
}

#[test]
fn what_was_not_asked_for_is_null_and_not_an_error() {
    let mut host = Script::new([json_answer(200, &json!({ "id": "1", "key": "DEMO-1", "fields": {} }))]);
    let output = done(&invoke(&mut host, &call(), "get-issue", json!({ "issue": "DEMO-1" }), None).expect("read").step);
    assert_eq!(host.lines(), ["GET /rest/api/3/issue/DEMO-1"]);
    assert_eq!((&output["summary"], &output["description-markdown"]), (&Value::Null, &Value::Null));
}

#[test]
fn an_issue_that_is_not_there_is_not_found() {
    let said =
        json!({ "errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {} });
    let mut host = Script::new([json_answer(404, &said)]);
    let error = invoke(&mut host, &call(), "get-issue", json!({ "issue": "DEMO-9" }), None).expect_err("not found");
    assert_eq!(error.failure().class, FailureClass::NotFound);
}

#[test]
fn a_key_never_becomes_another_path() {
    for issue in ["../../x", "%2e%2e/", "..;/x", "DEMO-1\\..", "DEMO-1/comment", "1?x=y", "1#z", "DEMO 1", " "] {
        for (card, more) in [
            ("get-issue", json!({})),
            ("update-issue", json!({ "summary": "S", "clear": ["Risk"] })),
            ("add-comment", json!({ "body": "x" })),
        ] {
            let mut input = more;
            input["issue"] = json!(issue);
            let mut host = Script::new([]);
            let error = invoke(&mut host, &call(), card, input, None).expect_err("refused");
            assert!(matches!(error, Error::Permanent(_)), "{error:?}");
            assert_eq!(error.failure().code, "jira.key-invalid", "{card} {issue:?}");
            assert_eq!(error.failure().fields[0].pointer, "/issue");
        }
    }
}

#[test]
fn an_answer_that_holds_no_issue_is_an_error_and_no_empty_issue() {
    let mut answers = vec![empty_answer(200), empty_answer(204)];
    for body in [
        json!(null),
        json!("hi"),
        json!([]),
        json!({}),
        json!({ "errorMessages": ["x"] }),
        json!({ "id": 1, "key": "DEMO-1" }),
        json!({ "id": "1", "key": "" }),
    ] {
        answers.push(json_answer(200, &body));
    }
    for answer in answers {
        let mut host = Script::new([answer]);
        let error = invoke(&mut host, &call(), "get-issue", json!({ "issue": "DEMO-1" }), None).expect_err("no issue");
        assert!(matches!(error, Error::Permanent(_)), "{error:?}");
        let failure = error.failure();
        assert_eq!((failure.code.as_str(), failure.class), ("jira.answer-invalid", FailureClass::Protocol));
    }
}
