use crate::action::invoke;
use crate::contract::Error;
use crate::fake::{Script, call, done, empty_answer, json_answer};
use serde_json::json;

#[test]
fn a_comment_goes_out_as_a_document_with_its_readers_and_its_key() {
    let mut host = Script::new([json_answer(201, &json!({ "id": "10100" }))]);
    let mut call = call();
    call.idempotency_key = Some("run 1 step a".to_owned());
    let input = json!({
        "issue": "DEMO-1", "body": "one\ntwo", "visibility": { "type": "role", "name": "Administrators" }
    });
    let invoked = invoke(&mut host, &call, "add-comment", input, None).expect("added");
    let output = done(&invoked.step);
    let url = "https://demo.atlassian.net/browse/DEMO-1?focusedCommentId=10100";
    assert_eq!(output, json!({ "id": "10100", "url": url }));
    assert_eq!(host.lines(), ["POST /rest/api/3/issue/DEMO-1/comment"]);
    let words = json!([{ "type": "text", "text": "one" }, { "type": "hardBreak" }, { "type": "text", "text": "two" }]);
    assert_eq!(
        host.body(0),
        json!({
            "body": { "type": "doc", "version": 1, "content": [{ "type": "paragraph", "content": words }] },
            "visibility": { "type": "role", "value": "Administrators" },
            "properties": [{ "key": "workflow-connector.op", "value": { "id": "run 1 step a" } }]
        })
    );
}

#[test]
fn a_refused_text_is_said_at_the_text() {
    let refusal = json!({ "errorMessages": [], "errors": { "comment": "Comment body can not be empty!" } });
    let mut host = Script::new([json_answer(400, &refusal)]);
    let input = json!({ "issue": "DEMO-1", "body": "" });
    let error = invoke(&mut host, &call(), "add-comment", input, None).expect_err("refused");
    let field = &error.failure().fields[0];
    assert_eq!((field.pointer.as_str(), field.name.as_str()), ("/body", "Text"));
}

#[test]
fn a_comment_whose_answer_is_lost_or_names_none_is_uncertain() {
    let nameless = |body| json_answer(201, &body);
    for answer in [
        Err(crate::host::SendError::TimedOut),
        empty_answer(502),
        empty_answer(201),
        nameless(json!("hi")),
        nameless(json!({ "id": "" })),
    ] {
        let mut host = Script::new([answer]);
        let input = json!({ "issue": "DEMO-1", "body": "x" });
        let error = invoke(&mut host, &call(), "add-comment", input, None).expect_err("uncertain");
        assert!(matches!(error, Error::PermanentUncertain(_)), "{error:?}");
        assert!(!error.failure().repeatable);
    }
}
