//! Requests as they are: with headers of their own, and no redirect followed.

use std::sync::OnceLock;

use serde_json::Value;

/// Sends a request; an empty body is none.
pub fn raw(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> http::Response<String> {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    let agent = AGENT
        .get_or_init(|| ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().new_agent());
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = if body.is_empty() {
        agent.run(request.body(()).expect("a request")).expect("an answer")
    } else {
        agent.run(request.body(body.to_owned()).expect("a request")).expect("an answer")
    };
    let text = response.body_mut().read_to_string().expect("a text");
    response.map(|_| text)
}

/// Status and JSON of an answer; null where the body is none.
pub fn read(answer: &http::Response<String>) -> (u16, Value) {
    (answer.status().as_u16(), serde_json::from_str(answer.body()).unwrap_or(Value::Null))
}

/// Sends a form.
pub fn form(url: &str, pairs: &[(&str, &str)]) -> http::Response<String> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    raw("POST", url, &[("content-type", "application/x-www-form-urlencoded")], &body)
}
