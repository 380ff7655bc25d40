use crate::action::invoke;
use crate::contract::{FailureClass, Step};
use crate::fake::{Script, call, json_answer};
use serde_json::{Value, json};

fn done(step: Step) -> Value {
    match step {
        Step::Done(output) => output,
        Step::More(_) => panic!("the card is done at once"),
    }
}

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
    let output = done(invoke(&mut host, &call(), "get-issue", input, None).expect("read").step);
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
    let output = done(invoke(&mut host, &call(), "get-issue", json!({ "issue": "DEMO-1" }), None).expect("read").step);
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
    for (issue, sent) in
        [("../user", "..%2Fuser"), ("DEMO-1/comment", "DEMO-1%2Fcomment"), ("1?x=y#z", "1%3Fx%3Dy%23z")]
    {
        let mut host = Script::new([json_answer(200, &json!({}))]);
        invoke(&mut host, &call(), "get-issue", json!({ "issue": issue }), None).expect("sent");
        assert_eq!(host.lines(), [format!("GET /rest/api/3/issue/{sent}")]);
    }
}
