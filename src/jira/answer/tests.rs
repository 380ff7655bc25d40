use super::interpret;
use crate::contract::{Error, FailureClass, Scope};
use crate::fake::{Scripted, json_answer, raw_answer};
use crate::host::SendError;
use crate::jira::client::Ask;
use serde_json::{Value, json};

fn outcome(method: &str, answer: Scripted) -> (&'static str, String, FailureClass) {
    match interpret(&Ask::new(method, "x", "x"), answer, 1_792_007_200_000) {
        Ok(_) => ("ok", String::new(), FailureClass::Input),
        Err(error) => {
            let case = match &error {
                Error::Permanent(_) => "permanent",
                Error::Transient(_) => "transient",
                Error::PermanentUncertain(_) => "uncertain",
            };
            (case, error.failure().code.clone(), error.failure().class)
        }
    }
}

fn said(text: &str) -> Value {
    json!({ "errorMessages": [text], "errors": {} })
}

#[test]
fn each_status_has_its_class_and_code() {
    use FailureClass::{Conflict, Credential, Input, Limit, NotFound, Permission, Protocol, Scope, Unavailable};
    let html = |status| raw_answer(status, &[("content-type", "text/html")], b"<!DOCTYPE html><html>x</html>");
    for (method, answer, case, code, class) in [
        (
            "GET",
            json_answer(401, &said("Client must be authenticated.")),
            "permanent",
            "credential-refused",
            Credential,
        ),
        (
            "GET",
            json_answer(401, &json!({ "code": 401, "message": "Unauthorized; scope does not match" })),
            "permanent",
            "scope-missing",
            Scope,
        ),
        ("GET", json_answer(403, &said("No.")), "permanent", "forbidden", Permission),
        ("POST", raw_answer(403, &[], b"XSRF check failed"), "permanent", "xsrf-refused", Protocol),
        ("GET", json_answer(404, &said("Issue does not exist")), "permanent", "not-found", NotFound),
        ("PUT", json_answer(409, &said("Changed")), "permanent", "conflict", Conflict),
        ("GET", json_answer(410, &said("Gone")), "permanent", "gone", Protocol),
        ("POST", html(413), "permanent", "too-large", Limit),
        ("POST", html(429), "transient", "rate-limited", Limit),
        ("POST", json_answer(400, &said("Bad")), "permanent", "input-refused", Input),
        (
            "POST",
            json_answer(400, &said("Unbounded JQL queries are not allowed here.")),
            "permanent",
            "jql-unbounded",
            Input,
        ),
        ("GET", html(503), "transient", "server-fault", Unavailable),
        ("POST", html(503), "uncertain", "server-fault", Unavailable),
        ("PUT", html(500), "uncertain", "server-fault", Unavailable),
        ("GET", html(200), "permanent", "html-answer", Protocol),
        ("POST", html(200), "uncertain", "html-answer", Protocol),
        ("GET", raw_answer(200, &[], b"{\"a\": [1, 2"), "transient", "answer-truncated", Unavailable),
        ("POST", raw_answer(201, &[], b"{\"id\": \"1"), "uncertain", "answer-truncated", Unavailable),
        ("GET", raw_answer(302, &[("location", "https://x.test/login?a")], b""), "permanent", "redirected", Protocol),
        ("GET", json_answer(418, &said("Tea")), "permanent", "refused", Protocol),
    ] {
        assert_eq!(outcome(method, answer), (case, format!("jira.{code}"), class));
    }
}

#[test]
fn a_refused_login_counts_whatever_the_status_says() {
    for status in [200, 401, 403, 404] {
        for (name, value, code) in [
            ("x-seraph-loginreason", "AUTHENTICATED_FAILED", "jira.credential-refused"),
            ("x-seraph-loginreason", "AUTHENTICATION_DENIED", "jira.captcha-required"),
            ("x-authentication-denied-reason", "CAPTCHA_CHALLENGE; login-url=https://x.test", "jira.captcha-required"),
        ] {
            let answer = raw_answer(status, &[(name, value)], b"{}");
            assert_eq!(outcome("GET", answer), ("permanent", code.to_owned(), FailureClass::Credential));
        }
    }
    let written = raw_answer(201, &[("x-seraph-loginreason", "AUTHENTICATED_FAILED")], b"{}");
    assert_eq!(outcome("POST", written).0, "uncertain");
    assert_eq!(outcome("GET", raw_answer(200, &[("x-seraph-loginreason", "OK")], b"{}")).0, "ok");
}

#[test]
fn only_what_certainly_never_left_may_be_sent_again() {
    let lost = |method, fault: SendError| outcome(method, Err(fault)).0;
    for fault in [SendError::Dns, SendError::Refused, SendError::NoTime] {
        assert_eq!(lost("POST", fault), "transient");
    }
    for fault in [SendError::Denied, SendError::Tls, SendError::Invalid("url".to_owned())] {
        assert_eq!(lost("POST", fault), "permanent");
    }
    for fault in [
        SendError::TimedOut,
        SendError::Broken("x".to_owned()),
        SendError::Truncated { status: 201 },
        SendError::TooLarge { status: Some(201) },
    ] {
        assert_eq!(lost("POST", fault.clone()), "uncertain");
        let read = if matches!(fault, SendError::TooLarge { .. }) { "permanent" } else { "transient" };
        assert_eq!(lost("GET", fault), read);
    }
}

#[test]
fn a_pause_names_its_length_and_its_scope() {
    let headers = [("retry-after", "1847"), ("ratelimit-reason", "jira-quota-global-based")];
    match interpret(&Ask::new("GET", "x", "x"), raw_answer(429, &headers, b""), 0) {
        Err(Error::Transient(backoff)) => {
            assert_eq!((backoff.retry_after_ms, backoff.scope.clone()), (1_847_000, Scope::App));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_servers_own_id_of_the_request_is_kept() {
    let answer = raw_answer(404, &[("atl-traceid", "abc")], b"{}");
    let error = interpret(&Ask::new("GET", "x", "x"), answer, 0).expect_err("not found");
    assert_eq!(error.failure().request_id.as_deref(), Some("abc"));
}
