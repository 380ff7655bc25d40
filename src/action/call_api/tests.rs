use crate::action::invoke;
use crate::contract::{Error, FailureClass};
use crate::fake::{SITE, Script, call, done, empty_answer, json_answer, raw_answer};
use proptest::prelude::*;
use serde_json::{Value, json};

fn run(host: &mut Script, input: Value) -> Result<Value, Error> {
    Ok(done(&invoke(host, &call(), "call-api", input, None)?.step))
}

#[test]
fn each_api_has_its_place_and_a_whole_path_stays_as_it_is() {
    for (input, line) in [
        (json!({ "path": "myself" }), "GET /rest/api/3/myself"),
        (json!({ "path": "/myself" }), "GET /rest/api/3/myself"),
        (json!({ "api": "agile", "path": "board" }), "GET /rest/agile/1.0/board"),
        (json!({ "api": "service-desk", "path": "servicedesk" }), "GET /rest/servicedeskapi/servicedesk"),
        (json!({ "path": "/rest/agile/1.0/board" }), "GET /rest/agile/1.0/board"),
        (json!({ "api": "agile", "path": "/rest/api/2/field" }), "GET /rest/api/2/field"),
        (json!({ "method": "DELETE", "path": "issue/DEMO-1" }), "DELETE /rest/api/3/issue/DEMO-1"),
        (
            json!({ "path": "search/jql", "query": { "jql": "a = b & c", "fields": ["x", "y"], "n": 1, "b": true, "z": null } }),
            "GET /rest/api/3/search/jql?b=true&fields=x&fields=y&jql=a%20%3D%20b%20%26%20c&n=1",
        ),
        (json!({ "path": "group/bulk%20x" }), "GET /rest/api/3/group/bulk%20x"),
        (json!({ "path": "field/" }), "GET /rest/api/3/field/"),
    ] {
        let mut host = Script::new([json_answer(200, &json!({}))]);
        run(&mut host, input).expect("sent");
        assert_eq!(host.lines(), [line]);
    }
}

#[test]
fn no_path_leaves_the_site_or_the_api() {
    let refused = [
        "",
        " ",
        "/",
        "//",
        "///x",
        "//evil.test/x",
        "https://evil.test/",
        "http:evil.test//",
        "HTTPS://evil.test",
        "ftp://evil.test/x",
        ".",
        "..",
        "../",
        "./x",
        "x/..",
        "x/../y",
        "../../secure/admin",
        "/../x",
        "/rest/../x",
        "/rest/api/3/../../../x",
        "x/./y",
        "%2e",
        "%2e%2e",
        "%2E%2e/x",
        ".%2e/x",
        "%2e./x",
        "x/%2e%2e/y",
        "%252e%252e/x",
        "%25",
        "x%2fy",
        "x%2Fy",
        "x%5cy",
        "x\\y",
        "..\\x",
        "\\\\evil.test\\x",
        "x?y=z",
        "x#y",
        "x%3fy",
        "x%23y",
        "x;%3by",
        "x/%00",
        "x%0d%0ay",
        "x\ny",
        "x\r\nhost: evil.test",
        "x\ty",
        "%",
        "%z",
        "%zz",
        "%1",
        "x//y",
        "x%7f",
        "x%0",
        "a/b/%c0%",
    ];
    assert!(refused.len() >= 40, "{} paths", refused.len());
    for path in refused {
        let mut host = Script::new([]);
        let error = run(&mut host, json!({ "path": path })).expect_err(path);
        assert_eq!(error.failure().class, FailureClass::Input, "{path:?}");
        assert_eq!(error.failure().fields[0].pointer, "/path", "{path:?}");
    }
    // What looks odd and is only a name stays a name below the API.
    for path in ["@evil.test", "evil.test:80/x", "user:pw@evil.test/x", "...", "x..y", "~", "x:y", "%C3%A9", "é"] {
        let mut host = Script::new([empty_answer(204)]);
        run(&mut host, json!({ "path": path })).expect(path);
        assert!(host.asked[0].url.starts_with(&format!("{SITE}rest/api/3/")), "{path:?}");
    }
}

#[test]
fn only_harmless_headers_may_be_set() {
    let mut host = Script::new([empty_answer(204)]);
    run(&mut host, json!({ "path": "x", "headers": { "X-ExperimentalApi": "opt-in" } })).expect("sent");
    assert!(host.asked[0].headers.contains(&("x-experimentalapi".to_owned(), "opt-in".to_owned())));
    for (name, value) in [
        ("Authorization", "Basic x"),
        ("authorization ", "x"),
        ("Host", "evil.test"),
        ("Cookie", "x"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("X-Forwarded-For", "::1"),
        ("accept", "a\r\nhost: evil.test"),
        ("accept\r\nhost", "x"),
    ] {
        let mut host = Script::new([]);
        let error = run(&mut host, json!({ "path": "x", "headers": { name: value } })).expect_err(name);
        assert_eq!(error.failure().code, "jira.call-refused", "{name}");
    }
}

#[test]
fn the_answer_is_handed_on_with_status_some_headers_and_body() {
    let headers = [("content-type", "application/json"), ("set-cookie", "secret"), ("etag", "e")];
    let mut host = Script::new([raw_answer(201, &headers, b"{\"id\": 1}")]);
    let output = run(&mut host, json!({ "method": "POST", "path": "x", "body": { "a": 1 } })).expect("answered");
    assert_eq!(
        output,
        json!({ "status": 201, "headers": { "content-type": "application/json", "etag": "e" }, "body": { "id": 1 } })
    );
    assert_eq!(host.body(0), json!({ "a": 1 }));
}

#[test]
fn a_write_whose_answer_is_lost_is_uncertain_and_a_read_is_not() {
    for (method, uncertain) in
        [("GET", false), ("HEAD", false), ("POST", true), ("PUT", true), ("PATCH", true), ("DELETE", true)]
    {
        let mut host = Script::new([empty_answer(500)]);
        let error = run(&mut host, json!({ "method": method, "path": "x" })).expect_err(method);
        assert_eq!(matches!(error, Error::PermanentUncertain(_)), uncertain, "{method}");
    }
}

proptest! {
    #[test]
    fn whatever_is_typed_stays_below_rest(path in "[a-z/.%2eE5cfF?#:;@\\\\ \\n]{0,40}") {
        let mut host = Script::new([empty_answer(204)]);
        if run(&mut host, json!({ "path": path })).is_ok() {
            let url = &host.asked[0].url;
            prop_assert!(url.starts_with(&format!("{SITE}rest/")), "{url}");
            let path = &url[SITE.len()..];
            prop_assert!(path.split('/').all(|part| part != "." && part != ".."), "{url}");
            prop_assert!(!path.contains(['?', '#', '\\', ' ', '\n']) && !path.contains("//"), "{url}");
            let lower = path.to_ascii_lowercase();
            prop_assert!(!["%2e", "%2f", "%5c", "%25"].iter().any(|code| lower.contains(code)), "{url}");
        }
    }
}
