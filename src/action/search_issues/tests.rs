use crate::action::invoke;
use crate::contract::{Error, FailureClass, Step};
use crate::fake::{Script, Scripted, call, done, json_answer};
use serde_json::{Value, json};

fn page(keys: &[&str], next: Option<&str>) -> Scripted {
    let issues: Vec<Value> = keys.iter().map(|key| json!({ "id": "1", "key": key, "fields": {} })).collect();
    let mut body = json!({ "issues": issues, "isLast": next.is_none() });
    if let Some(next) = next {
        body["nextPageToken"] = json!(next);
    }
    json_answer(200, &body)
}

fn search(host: &mut Script, input: &Value, state: Option<String>) -> Result<Step, Error> {
    Ok(invoke(host, &call(), "search-issues", input.clone(), state)?.step)
}

fn keys(output: &Value) -> Vec<&str> {
    output["issues"].as_array().expect("a list").iter().filter_map(|issue| issue["key"].as_str()).collect()
}

#[test]
fn one_page_says_where_the_next_begins() {
    let mut host = Script::new([page(&["DEMO-1"], Some("t1"))]);
    let input = json!({ "jql": "project = DEMO", "max-results": 1, "fields": ["summary"] });
    let output = done(&search(&mut host, &input, None).expect("a page"));
    assert_eq!(host.lines(), ["POST /rest/api/3/search/jql"]);
    assert_eq!(host.body(0), json!({ "jql": "project = DEMO", "fields": ["summary"], "maxResults": 1 }));
    assert_eq!((&output["more"], &output["next-page-token"]), (&json!(true), &json!("t1")));

    let mut host = Script::new([page(&["DEMO-2"], None)]);
    let next = json!({ "jql": "project = DEMO", "page-token": "t1" });
    let output = done(&search(&mut host, &next, None).expect("a page"));
    assert_eq!(host.body(0)["nextPageToken"], "t1");
    assert_eq!(host.body(0)["maxResults"], 50);
    assert_eq!((&output["more"], &output["next-page-token"]), (&json!(false), &Value::Null));
}

#[test]
fn all_pages_come_one_call_at_a_time_and_none_is_lost() {
    let input = json!({ "jql": "project = DEMO", "all": true });
    let (mut state, mut progress) = (None, Vec::new());
    // The last page may be empty, and the one before may be short: only the token tells.
    for answer in [page(&["A-1", "A-2"], Some("t1")), page(&["A-3"], Some("t2")), page(&[], None)] {
        match search(&mut Script::new([answer]), &input, state.take()).expect("a page") {
            Step::More(more) => {
                progress.push(more.done);
                state = Some(more.state);
            }
            step => {
                let output = done(&step);
                assert_eq!(keys(&output), ["A-1", "A-2", "A-3"]);
                assert_eq!(output["more"], false);
                assert_eq!(progress, [2, 3]);
                return;
            }
        }
    }
    panic!("the search never ended");
}

#[test]
fn a_token_that_repeats_itself_ends_the_search() {
    let input = json!({ "jql": "project = DEMO", "all": true });
    let Ok(Step::More(more)) = search(&mut Script::new([page(&["A-1"], Some("t1"))]), &input, None) else {
        panic!("more is due")
    };
    let again = search(&mut Script::new([page(&["A-2"], Some("t1"))]), &input, Some(more.state));
    assert!(matches!(again, Ok(Step::Done(_))));
}

#[test]
fn an_expired_token_names_the_token_and_not_the_query() {
    let said = json!({ "errorMessages": ["The nextPageToken is invalid or has expired."], "errors": {} });
    let input = json!({ "jql": "project = DEMO", "page-token": "old" });
    let error = search(&mut Script::new([json_answer(400, &said)]), &input, None).expect_err("refused");
    assert_eq!(error.failure().code, "jira.page-token-invalid");
    assert_eq!(error.failure().fields[0].pointer, "/page-token");
    assert!(error.failure().remedy.contains("first page"));
}

#[test]
fn what_jira_refuses_of_a_query_is_said_at_the_query() {
    for (said, code) in [
        ("Unbounded JQL queries are not allowed here. Please add a search restriction to your query.", "jql-unbounded"),
        ("Error in the JQL Query: Expecting a field name at the end of the query.", "jql-refused"),
        ("The value 'NOPE' does not exist for the field 'project'.", "jql-refused"),
    ] {
        let refusal = json_answer(400, &json!({ "errorMessages": [said], "errors": {} }));
        let error = search(&mut Script::new([refusal]), &json!({ "jql": "x" }), None).expect_err("refused");
        assert_eq!(error.failure().code, format!("jira.{code}"));
        assert_eq!(error.failure().fields[0].pointer, "/jql");
    }
}

#[test]
fn answers_and_states_of_another_shape_are_errors() {
    let input = json!({ "jql": "project = DEMO" });
    for body in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "issues": {} }),
        json!({ "issues": [1, null, {}] }),
        json!({ "issues": [{ "id": "1", "key": "DEMO-1" }, { "id": "" }] }),
    ] {
        let error = search(&mut Script::new([json_answer(200, &body)]), &input, None).expect_err("no list");
        assert!(matches!(error, Error::Permanent(_)), "{error:?}");
        let failure = error.failure();
        assert_eq!((failure.code.as_str(), failure.class), ("jira.answer-invalid", FailureClass::Protocol), "{body}");
    }
    let error =
        search(&mut Script::new([]), &input, Some(json!({ "at": 3 }).to_string())).expect_err("no state of ours");
    assert_eq!(error.failure().code, "jira.state-invalid");
}
